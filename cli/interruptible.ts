/** Work that Ctrl-C ends in good order: what was half made is taken back. A second one ends the process at once. */
import { SyncError } from '../protocol/errors.ts'

export async function interruptible<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController()
  const abort = (): void => controller.abort(new SyncError('stopping', 'interrupted'))
  process.once('SIGINT', abort)
  process.once('SIGTERM', abort)
  try {
    return await work(controller.signal)
  } finally {
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
}
