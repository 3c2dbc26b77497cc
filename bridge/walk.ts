/** The way through a stream's buckets, forwards or backwards, and where a page of it ends [P-11.21 – P-11.25]. */
import type { Bucket } from '../log/bucket.ts'
import type { Log } from '../log/log.ts'
import type { Stream } from '../log/stream.ts'
import type { TopicFilter } from '../protocol/topic-filter.ts'
import { BucketSource, type UnfinishedBuckets } from './bucket-source.ts'
import { EnvelopeArray } from './envelopes.ts'

export interface WalkOptions {
  /** The oldest and the newest seq asked for; an empty range where `to` is less than `from`. */
  readonly from: number
  readonly to: number
  readonly reverse: boolean
  readonly filter: TopicFilter | undefined
  readonly entriesMax: number
  readonly bytesMax: number
  /** Entries looked at without letting other requests have their turn. */
  readonly turnEntriesMax: number
  /** False: end here, whatever is left. Asked between reads. */
  readonly mayGoOn: () => boolean
  /** Shared by all walks of a bridge. */
  readonly unfinished: UnfinishedBuckets
}

export interface Walked {
  readonly entries: EnvelopeArray
  /** The page is complete up to and including this seq; backwards, down to and including it. */
  readonly completeTo: number
  /** No matching entry is left in the range beyond `completeTo`. */
  readonly isEnd: boolean
}

/** The stream was trimmed past the place of the walk while it went on: begin again, the beginning has moved. */
export class TrimmedMeanwhile extends Error {}

/**
 * Goes on past the last entry of a full page until it meets one that matches: only so it is known whether
 * anything is left, and the next page need not look at what lies between again.
 */
export async function walk(log: Log, stream: Stream, options: WalkOptions): Promise<Walked> {
  const { from, to, reverse, mayGoOn, turnEntriesMax, unfinished } = options
  const source = new BucketSource(log, stream, unfinished, options)
  const page = new Page(log, options)
  let seq = reverse ? to : from
  let looked = 0
  while (seq >= from && seq <= to) {
    const buckets = await source.from(seq)
    if (buckets.length === 0) throw missing(stream, seq)
    for (const bucket of buckets) {
      if (seq < from || seq > to) break
      if (bucket.firstSeq > seq || bucket.lastSeq < seq) throw missing(stream, seq)
      const isTail = stream.cached(seq) === bucket
      const left = page.take(bucket, seq)
      if (left !== undefined && !isTail) unfinished.keep(bucket)
      if (left !== undefined) return { entries: page.entries, completeTo: reverse ? left + 1 : left - 1, isEnd: false }
      seq = reverse ? bucket.firstSeq - 1 : bucket.lastSeq + 1
      looked += bucket.count
      if (looked >= turnEntriesMax) {
        await new Promise<void>((resolve) => void setImmediate(resolve))
        looked = 0
        if (!mayGoOn()) break
      }
    }
    if (seq >= from && seq <= to && !mayGoOn()) return { entries: page.entries, completeTo: reverse ? seq + 1 : seq - 1, isEnd: false }
  }
  return { entries: page.entries, completeTo: reverse ? Math.min(from, to + 1) : Math.max(to, from - 1), isEnd: true }
}

class Page {
  readonly entries = new EnvelopeArray()
  readonly #log: Log
  readonly #options: WalkOptions

  constructor(log: Log, options: WalkOptions) {
    this.#log = log
    this.#options = options
  }

  /** Takes what matches from `seq` on; the seq of the first match that has no room, or undefined. */
  take(bucket: Bucket, seq: number): number | undefined {
    const { from, to, reverse, filter } = this.#options
    const step = reverse ? -1 : 1
    const last = (reverse ? Math.max(from, bucket.firstSeq) : Math.min(to, bucket.lastSeq)) - bucket.firstSeq
    for (let index = seq - bucket.firstSeq; reverse ? index >= last : index <= last; index += step) {
      if (filter && !filter.matches(bucket.topic(index))) continue
      if (!this.#add(bucket, index)) return bucket.firstSeq + index
    }
    return undefined
  }

  #add(bucket: Bucket, index: number): boolean {
    const { entriesMax, bytesMax } = this.#options
    const { entries } = this
    if (entries.count >= entriesMax) return false
    const envelope = this.#log.envelopes.of(bucket, index)
    // One entry always has room: a page that is not the last brings the reader on.
    if (entries.count > 0 && entries.bytes + envelope.length > bytesMax) return false
    entries.push(envelope)
    return true
  }
}

function missing(stream: Stream, seq: number): Error {
  if (seq < stream.first) return new TrimmedMeanwhile(`${stream.name} was trimmed past seq ${seq}`)
  return new Error(`${stream.name}: seq ${seq} is missing in the store`)
}
