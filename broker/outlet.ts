/** What a cursor may use of its connection while it delivers. */
import type { Bucket } from '../log/bucket.ts'
import type { Fold } from '../log/fold.ts'
import type { Log } from '../log/log.ts'
import type { Stream } from '../log/stream.ts'
import type { DeliveryOwner, Inflight } from './inflight.ts'

export interface Outlet {
  readonly log: Log
  readonly inflight: Inflight
  /** Bytes that may still be written before the peer has read what it got. */
  readonly bytesLeft: number
  write(packets: Buffer): void
  /** Entries went out; `committedMs` is when the newest was on disk, where known. */
  delivered(entries: number, committedMs: number | undefined): void
  /** Up to which index the entries of a bucket may be shown: the one that withdraws the user, or all of them [P-16.2]. */
  shownUntil(bucket: Bucket): number
  /** Whether the user is no withdrawn member, as this state of the stream says. */
  mayShow(stream: Stream, state: Fold): boolean
  /** The next entry is one that may not be shown. */
  withdrawn(): void
  /** There is more to deliver. */
  kick(): void
  /** A place in the log moved that must be remembered. */
  moved(): void
  /** The connection cannot go on: the reader missed something, or the log cannot be read. */
  fail(reason: string, error?: unknown): void
}

export type { DeliveryOwner }
