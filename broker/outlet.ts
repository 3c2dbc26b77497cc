/** What a cursor may use of its connection while it delivers. */
import type { Log } from '../log/log.ts'
import type { DeliveryOwner, Inflight } from './inflight.ts'

export interface Outlet {
  readonly log: Log
  readonly inflight: Inflight
  /** Bytes that may still be written before the peer has read what it got. */
  readonly bytesLeft: number
  write(packets: Buffer): void
  /** Entries went out; `committedMs` is when the newest was on disk, where known. */
  delivered(entries: number, committedMs: number | undefined): void
  /** There is more to deliver. */
  kick(): void
  /** A place in the log moved that must be remembered. */
  moved(): void
  /** The connection cannot go on: the reader missed something, or the log cannot be read. */
  fail(reason: string, error?: unknown): void
}

export type { DeliveryOwner }
