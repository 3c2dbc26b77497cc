/** One round: servers, clients and faults, from the first connection to a record on disk. */
import { Context } from './clients/context.ts'
import { Patience } from './clients/patience.ts'
import { Workload } from './clients/workload.ts'
import { Nemesis, pause } from './faults/nemesis.ts'
import type { Theme } from './faults/themes.ts'
import { openWorld } from './faults/world.ts'
import { seededRandom } from './random.ts'
import { Recorder, type StoreKind } from './record.ts'

export interface RoundOptions {
  /** How long faults are made. */
  readonly minutes: number
  readonly seed: number
  readonly nodes: number
  readonly store: StoreKind
  readonly theme: Theme
  readonly plant: string | undefined
  /** A round that looks for something planted need not see enough of everything. */
  readonly untilFound: boolean
  readonly folder: string
  readonly servers: string
  /** Of the record. */
  readonly file: string
}

/** A machine that is busy with other things needs longer for as much; but not for ever. */
const faultsPerMinute = 20
const acknowledgedPerMinute = 1_000
const slownessMax = 4

/** The servers did not come up: nothing was done, and nothing can be said. */
export class NotBegun extends Error {}

/** Resolves with a line about what was done. */
export async function runRound(options: RoundOptions): Promise<string> {
  const { seed, minutes, folder, servers, file, plant, store, nodes, theme } = options
  const recorder = new Recorder(file)
  const world = await openWorld({ folder, store, nodes, servers }).catch((error: unknown) => {
    throw new NotBegun(error instanceof Error ? error.message : String(error))
  })
  try {
    recorder.add({ k: 'run', seed, minutes, nodes, store, theme: theme.name, planted: plant ?? null })
    const context = new Context(world, recorder, seed)
    const workload = new Workload(context)
    await pause(1_500) // A moment without faults, for sessions to begin.
    const readUpTo = (stream: string): number => context.followed.get(stream) ?? 0
    const nemesis = new Nemesis({ world, recorder, theme, readUpTo, random: seededRandom(seed, 'faults') })
    try {
      const beganMs = performance.now()
      const goesOn = new Patience(recorder, [], context.slowness).begin()
      await nemesis.run(() => {
        const passed = (performance.now() - beganMs) / (minutes * 60_000)
        const sawEnough = options.untilFound || context.acknowledged >= minutes * acknowledgedPerMinute
        const isEnough = nemesis.made >= minutes * faultsPerMinute && sawEnough
        // Where nothing is acknowledged any more the end is to say what is wrong.
        return passed >= (isEnough || !goesOn() ? 1 : slownessMax)
      })
      await world.mend()
    } catch (error) {
      // A server that does not start again is a finding; of the log, which nobody reads now, nothing can be said.
      recorder.add({ k: 'settled', early: true, missing: [error instanceof Error ? error.message : String(error)] })
      await workload.abandon()
      return 'ended early'
    }
    recorder.add({ k: 'settled', missing: await workload.finish() })
    return `faults: ${[...nemesis.counts].map(([kind, count]) => `${kind} ${count}`).join(', ')}`
  } finally {
    await world.close()
    await recorder.close()
  }
}
