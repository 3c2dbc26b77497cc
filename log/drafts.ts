/** What becomes of several drafts of one stream at once. */
import { SyncError } from '../protocol/errors.ts'
import type { Draft } from './draft.ts'
import type { Stream } from './stream.ts'

/** What is said of drafts that no store took. */
export function unavailable(cause?: unknown): SyncError {
  return new SyncError('store-unavailable', 'the store did not take the entry; it may be tried again', {}, cause)
}

/** While nothing can be appended at all. The cause is for the log: it may name machines. */
export function storeDown(cause?: unknown): SyncError {
  if (cause instanceof SyncError && cause.code === 'clock-skew') {
    return new SyncError('clock-skew', 'the clocks of this server and of its store are too far apart', {}, cause)
  }
  return new SyncError('store-unavailable', 'the store takes no writes at the moment', {}, cause)
}

/** Gives those an error that nobody has heard of yet. */
export function refuse(drafts: readonly Draft[], error: SyncError): void {
  for (const draft of drafts) if (!draft.settled) draft.error = error
}

/** In front of what came later, as if they had never been judged. */
export function putBack(stream: Stream, drafts: readonly Draft[]): void {
  for (const draft of drafts) {
    draft.seq = 0
    draft.mark = ''
    draft.duplicate = false
    draft.error = undefined
  }
  stream.pending = [...drafts, ...stream.pending]
}
