/** One door to the loads, for commands that come from another process: `perform(command)`. */
import { firstSync, listen, pace, publish, type Listening, type Publishing, type Reading } from './loads.ts'
import { makeNatsStream, openNats, type NatsModules } from './nats.ts'
import type { Opener, Target } from './subject.ts'
import { openTidemark } from './tidemark.ts'

export type Command =
  /** Makes what must be there before anything is published in it. */
  | { readonly do: 'prepare'; readonly targets: readonly Target[] }
  | { readonly do: 'first-sync'; readonly target: Target; readonly count: number }
  | {
      readonly do: 'publish'
      readonly targets: readonly Target[]
      readonly window: number
      readonly warmUpMs: number
      readonly countMs: number
    }
  | { readonly do: 'listen'; readonly target: Target; readonly count: number; readonly warmUp: number }
  | { readonly do: 'heard' }
  | { readonly do: 'pace'; readonly target: Target; readonly count: number; readonly perSecond: number }

/** What each command answers. */
export interface Answers {
  readonly prepare: void
  readonly 'first-sync': Reading
  readonly publish: Publishing
  readonly listen: void
  readonly heard: Listening
  readonly pace: void
}

export type Perform = (command: Command) => Promise<Answers[Command['do']]>

/** What differs from place to place. */
export interface Place {
  /** Undefined where they are not to be had. */
  readonly nats?: NatsModules
  /** Undefined where the SDK's own default is durable. */
  readonly outbox?: (folder: string) => NonNullable<Parameters<typeof openTidemark>[1]>
}

export function performer({ nats, outbox }: Place): Perform {
  const modules = (): NatsModules => {
    if (!nats) throw new Error('the clients of NATS are not to be had here')
    return nats
  }
  const open: Opener = async (target) =>
    target.system === 'nats'
      ? await openNats(modules(), target)
      : openTidemark(target, target.folder === undefined ? undefined : outbox?.(target.folder))
  const prepare = async (...targets: readonly Target[]): Promise<void> => {
    for (const target of targets) if (target.system === 'nats') await makeNatsStream(modules(), target)
  }
  let heard: Promise<Listening> | undefined
  return async (command) => {
    switch (command.do) {
      case 'prepare':
        return await prepare(...command.targets)
      case 'first-sync':
        return await firstSync(open, command.target, command.count)
      case 'publish':
        await prepare(...command.targets)
        return await publish(open, command.targets, command)
      case 'listen':
        await prepare(command.target)
        ;({ heard } = await listen(open, command.target, command.count, command.warmUp))
        return
      case 'heard':
        if (!heard) throw new Error('nobody listens')
        return await heard
      case 'pace':
        return await pace(open, command.target, command.count, command.perSecond)
      default:
        return command satisfies never
    }
  }
}
