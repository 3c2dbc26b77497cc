/** What becomes of several drafts of one stream at once. */
import { SyncError } from '../protocol/errors.ts'
import type { Bucket } from './bucket.ts'
import type { Draft } from './draft.ts'
import type { Stream } from './stream.ts'

/** The drafts of one stream in one commit. `bucket` is absent where none of them was accepted. */
export interface Part {
  readonly stream: Stream
  readonly drafts: readonly Draft[]
  readonly bucket: Bucket | undefined
  /** Where the stream stood when they were judged. */
  readonly judgedAt: number
  /** A look at the store has brought the bucket in before its commit was answered. */
  known: boolean
}

export type PartWithBucket = Part & { readonly bucket: Bucket }

export function hasBucket(part: Part): part is PartWithBucket {
  return part.bucket !== undefined
}

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

/** Tells whoever waits for a draft that was in no commit. */
export function settleRefused(draft: Draft, error: SyncError): void {
  draft.error = error
  draft.settled = true
  draft.sink.settled(draft)
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
