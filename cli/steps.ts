/** A life cycle as a list of named steps: started in order, stopped in reverse. */
import { asSyncError, SyncError } from '../protocol/errors.ts'
import type { Logger } from '../seams/logger.ts'

export interface Step<Parts> {
  readonly name: string
  start(parts: Parts): Promise<void> | void
  stop?(parts: Parts): Promise<void>
}

export interface StopRules {
  /** For each step. */
  readonly timeoutMs: number
  readonly logger: Logger
}

/** Starts the steps in order and returns them. If one fails, those before it are stopped and its error is thrown. */
export async function runSteps<Parts extends { logger: Logger; config: { limits: { stopTimeoutMs: number } } }>(
  steps: readonly Step<Parts>[],
  parts: Parts,
): Promise<Step<Parts>[]> {
  const started: Step<Parts>[] = []
  for (const step of steps) {
    try {
      await step.start(parts)
    } catch (error) {
      const { logger, config } = parts
      // The error that began it is the one to tell; what fails on the way down has been logged.
      await stopSteps(started, parts, { timeoutMs: config.limits.stopTimeoutMs, logger }).catch(() => {})
      throw asSyncError(error)
    }
    started.push(step)
  }
  return started
}

/** Stops the steps in reverse order, each for at most `timeoutMs`; a failure is logged, does not stop the rest, and is thrown at the end. */
export async function stopSteps<Parts>(steps: readonly Step<Parts>[], parts: Parts, { timeoutMs, logger }: StopRules): Promise<void> {
  let failure: SyncError | undefined
  for (const step of steps.toReversed()) {
    if (!step.stop) continue
    try {
      await within(timeoutMs, step.name, step.stop(parts))
    } catch (error) {
      logger.error({ err: error, step: step.name }, 'a part of the server did not stop as it should')
      failure ??= asSyncError(error)
    }
  }
  if (failure) throw failure
}

async function within(timeoutMs: number, name: string, stopping: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new SyncError('internal', `stopping the ${name} took longer than ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    await Promise.race([stopping, late])
  } finally {
    clearTimeout(timer)
  }
}
