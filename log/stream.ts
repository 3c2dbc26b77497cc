/** What a node holds in memory of one stream: its ends, what waits to be appended, the newest buckets. */
import { emptyMark } from '../protocol/positions.ts'
import type { Bucket } from './bucket.ts'
import type { Draft } from './draft.ts'
import type { Fold } from './fold.ts'
import type { StreamRecord, StreamTail } from './stores/store.ts'

/** Who wants to know that a stream has new entries, or begins later than before. Must not throw. */
export interface Follower {
  moved(stream: Stream): void
}

export class Stream {
  readonly name: string
  /** The newest entry; seq 0 where there is none. */
  headSeq = 0
  headMark = emptyMark
  headTs = 0
  /** A moment, by `performance.now()`, after which the store had nothing behind the head. */
  headSeenMs = -Infinity
  record: StreamRecord | undefined = undefined
  /** Whether the ends are known; until then drafts only wait. */
  loaded = false
  /** The state at the head, where somebody needed it lately. */
  fold: Fold | undefined = undefined
  /** In order of arrival. */
  pending: Draft[] = []
  /** Waiting to be taken into a commit. */
  dirty = false
  /** A bucket of this stream is on its way, or its outcome is unknown: no other may be built. */
  committing = false
  /** Entries and bytes appended since the newest snapshot, as far as seen. */
  unfoldedEntries = 0
  unfoldedBytes = 0
  /** The newest entry known here that erased what stood before it [P-17.2]. */
  erasedBefore = 0
  /** Whether whoever wrote here first was allowed to begin it; of no meaning once there are entries. */
  begun = false
  /** Lost races for the same head in a row. */
  collisions = 0
  /** Used since the last sweep of idle streams. */
  used = true
  readonly followers = new Set<Follower>()
  /** The newest buckets, contiguous, ending at the head. */
  readonly tail: Bucket[] = []

  constructor(name: string) {
    this.name = name
  }

  /** The oldest readable seq; head + 1 where nothing is readable. */
  get first(): number {
    return this.record?.first ?? 1
  }

  /** The mark of the entry before the first. */
  get markBefore(): string {
    return this.record?.markBefore ?? emptyMark
  }

  /** Takes the record as the store has it, unless a later one is known already: answers may overtake each other. */
  takeRecord(record: StreamRecord | undefined): void {
    const older = (record?.first ?? 1) < this.first || (record?.snapshot?.seq ?? 0) < (this.record?.snapshot?.seq ?? 0)
    if (!older) this.record = record
  }

  /** Takes the ends as the store knows them. */
  load({ last, record }: StreamTail): void {
    this.takeRecord(record)
    if (last) this.#take(last)
    this.loaded = true
  }

  /** Takes the next bucket as committed. The caller keeps the budget of the tail. */
  advance(bucket: Bucket): void {
    if (bucket.firstSeq !== this.headSeq + 1) {
      throw new RangeError(`${this.name}: a bucket at ${bucket.firstSeq} does not follow the head ${this.headSeq}`)
    }
    this.#take(bucket)
    if (bucket.erases) this.erasedBefore = bucket.firstSeq
    this.fold?.apply(bucket)
    this.unfoldedEntries += bucket.count
    this.unfoldedBytes += bucket.value.length
    this.tail.push(bucket)
  }

  /** The bucket that holds `seq`, if it is in memory. */
  cached(seq: number): Bucket | undefined {
    const { tail } = this
    let low = 0
    let high = tail.length - 1
    if (high < 0 || seq > this.headSeq || (tail[0] as Bucket).firstSeq > seq) return undefined
    // Readers are nearly always at the end.
    if ((tail[high] as Bucket).firstSeq <= seq) return tail[high]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((tail[middle] as Bucket).firstSeq <= seq) low = middle
      else high = middle - 1
    }
    return tail[low]
  }

  #take(bucket: Bucket): void {
    this.headSeq = bucket.lastSeq
    this.headMark = bucket.mark
    this.headTs = bucket.ts
  }
}
