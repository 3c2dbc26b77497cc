/**
 * Ends the process in good order: on SIGINT and SIGTERM with exit code 0, on an error that nobody caught with 1.
 *
 * A terminal and npm both pass Ctrl-C on, so the same signal comes twice within milliseconds: that is one wish.
 * A later one is impatience and ends the process at once, with 1.
 */
import type { Logger } from '../seams/logger.ts'

export interface StopOptions {
  readonly logger: Logger
  /** A stop that takes longer ends the process, with 1. */
  readonly timeoutMs: number
  readonly stop: () => Promise<void>
}

const sameWishMs = 500

export function stopOnSignals({ logger, timeoutMs, stop }: StopOptions): void {
  let begunMs: number | undefined
  const end = (code: number, fields: object, message: string): void => {
    if (begunMs !== undefined) {
      if (code === 0 && performance.now() - begunMs < sameWishMs) return
      logger.error(fields, `${message} while stopping: ending at once`)
      process.exit(1)
    }
    begunMs = performance.now()
    if (code === 0) logger.info(fields, 'stopping')
    else logger.error(fields, `${message}: stopping`)
    setTimeout(() => {
      logger.error({ timeoutMs }, 'the stop takes too long: ending')
      process.exit(1)
    }, timeoutMs).unref()
    stop().then(
      () => {
        logger.info({}, 'stopped')
        process.exit(code)
      },
      (error: unknown) => {
        logger.error({ error }, 'the stop failed')
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(0, { signal }, signal))
  process.on('uncaughtException', (error) => end(1, { error }, 'an error that nobody caught'))
  process.on('unhandledRejection', (error) => end(1, { error }, 'a rejection that nobody handled'))
}
