/** What the log asks of a store. One contract suite holds every implementation to it. */
import type { SyncError } from '../../protocol/errors.ts'
import type { Documents } from '../../seams/documents.ts'
import type { Bucket } from '../bucket.ts'

export interface Store {
  /**
   * Opens the store, making it where there is none, and resolves when it is ready to take commits.
   * Rejects with `store-unavailable` saying why: in use by another process, damaged, of a newer schema.
   * A store that once existed never opens empty.
   */
  open(options?: OpenOptions): Promise<StoreIdentity>
  /** Finishes what is under way and lets go. */
  close(): Promise<void>
  /** Whether it takes writes at the moment, as far as known. */
  readonly healthy: boolean
  /** Why not, where there is more to say than that. */
  readonly failure?: SyncError | undefined
  /** Whether other processes may append to the same streams, so that cached heads may be stale. */
  readonly shared: boolean
  /** Whether the buckets of one commit are stored together: all of them or none. Absent: one may be stored without another. */
  readonly atomic?: boolean
  /** Sessions, keys, revocations, snapshot chunks. */
  readonly documents: Documents

  /** The newest bucket of a stream and its record, as stored at a moment after the call. One seek. */
  load(stream: string): Promise<StreamTail>
  /**
   * The names of those streams that may have another head than the one given, as stored at a moment after the call: who is not
   * named has not. One question for all of them, where it costs one.
   */
  moved(heads: readonly KnownHead[]): Promise<string[]>
  /**
   * Stores buckets of different streams; what is `stored` is durable when this resolves. A bucket whose
   * place (stream and first seq) holds another one is `taken` and changes nothing. The outcomes stand in
   * the order of the buckets. `unknown`: it may have been stored, or may be later; only `settle` can tell.
   */
  commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]>
  /**
   * Stores buckets of another store as they are, those of a stream in ascending order; the first one may begin anywhere.
   * Only while nobody else uses the store. What is there already stays; durable when it resolves.
   */
  adopt(buckets: readonly Bucket[]): Promise<void>
  /**
   * What became of an `unknown` bucket, told only when certain: `stored` (this very bucket, by its nonce),
   * `taken`, or `absent` (and it will never appear). Rejects while that cannot be told; then ask again.
   */
  settle(bucket: Bucket): Promise<'stored' | 'taken' | 'absent'>
  /**
   * Buckets in ascending order beginning with the one that holds `from`, up to the one that holds `to`,
   * at least one where there is one, then no further than `bytesMax`. With `reverse` the same from the
   * bucket that holds `to` downwards, in descending order.
   */
  read(stream: string, range: ReadRange): Promise<Bucket[]>
  /**
   * Puts in place of the small record of the stream (where it begins, its snapshot) what `change` makes of the one
   * that is stored, with nothing in between; durable when it resolves with what is stored now. `change` may be
   * called more than once.
   */
  changeRecord(stream: string, change: RecordChange): Promise<StreamRecord>
  /** Deletes the buckets that end before `seq`; the newest bucket always stays. */
  removeBelow(stream: string, seq: number): Promise<void>
  /** Binary values that never change (chunks of snapshots), by a name below the stream. */
  putChunk(stream: string, name: string, value: Buffer): Promise<void>
  getChunk(stream: string, name: string): Promise<Buffer | undefined>
  removeChunk(stream: string, name: string): Promise<void>
  /** Names of streams in ascending order, those after `after`. */
  streams(after: string, limit: number): Promise<string[]>
}

export type CommitOutcome = 'stored' | 'taken' | 'unknown'

export interface OpenOptions {
  /** Of a store that is made now; one that is there keeps its own. */
  readonly epoch?: string
  /** Rejects where there is no store, and makes none. */
  readonly existing?: true
}

export interface StoreIdentity {
  /** Eight characters that change whenever history may have been rewritten (a restore). */
  readonly epoch: string
}

export interface StreamTail {
  readonly last: Bucket | undefined
  readonly record: StreamRecord | undefined
}

export interface KnownHead {
  readonly stream: string
  readonly seq: number
  /** A moment, by `performance.now()`, after which the store had nothing behind it. */
  readonly seenMs: number
}

export interface ReadRange {
  readonly from: number
  readonly to: number
  readonly bytesMax: number
  readonly reverse?: boolean
}

/** What is known of a stream beside its buckets. */
export interface StreamRecord {
  /** The oldest readable seq, and the mark of the entry before it. */
  readonly first: number
  readonly markBefore: string
  /** The newest snapshot of the state, or none. */
  readonly snapshot: SnapshotManifest | null
}

export type RecordChange = (stored: StreamRecord | undefined) => StreamRecord

export interface SnapshotManifest {
  /** The state at this seq. */
  readonly seq: number
  readonly mark: string
  /** Chunk names in the order in which they fold. */
  readonly chunks: readonly { readonly name: string; readonly live: number; readonly total: number }[]
  /** The chunk with the given entry ids, or none. */
  readonly ids: string | null
}
