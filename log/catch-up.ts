/** Brings in what other nodes have appended to a stream, up to the stored head or to one that a hint speaks of. */
import type { Limits } from '../seams/limits.ts'
import type { Bucket } from './bucket.ts'
import type { StateCache } from './state-cache.ts'
import type { Store } from './stores/store.ts'
import type { Stream } from './stream.ts'

export interface CatchUpParts {
  readonly store: Pick<Store, 'load' | 'read'>
  readonly limits: Pick<Limits, 'readBytesMax'>
  readonly states: Pick<StateCache, 'forget'>
  /** The bucket was taken in as the newest one. */
  advanced(stream: Stream, bucket: Bucket): void
  /** Makes sure of the head. Never rejects. */
  refresh(stream: Stream): Promise<void>
}

export class CatchUp {
  readonly #parts: CatchUpParts
  /** Streams that hints have moved, and the newest head that one of them spoke of. */
  readonly #hinted = new Map<Stream, number>()

  constructor(parts: CatchUpParts) {
    this.#parts = parts
  }

  /** Reads up to the head that is stored at a moment after the call. */
  async toHead(stream: Stream): Promise<void> {
    const { store } = this.#parts
    const askedMs = performance.now()
    const { last, record } = await store.load(stream.name)
    stream.takeRecord(record)
    const newest = last?.lastSeq ?? 0
    while (stream.headSeq < newest) {
      const from = stream.headSeq + 1
      const buckets = await this.#read(stream, from, newest)
      if (buckets.length === 0) throw new Error(`${stream.name}: the entries from ${from} to the head ${newest} cannot be read`)
      const [oldest] = buckets
      if (oldest && oldest.firstSeq > Math.max(from, stream.headSeq + 1)) return await this.#leap(stream)
      this.#take(stream, buckets)
    }
    stream.headSeenMs = askedMs
  }

  /** Another node says that the stream has come so far. That is no truth: the log is read, and nothing else where it bears that out. */
  hinted(stream: Stream, seq: number): void {
    const known = this.#hinted.get(stream)
    this.#hinted.set(stream, Math.max(seq, known ?? 0))
    if (known === undefined) void this.#followHints(stream)
  }

  async #followHints(stream: Stream): Promise<void> {
    try {
      while (stream.headSeq < (this.#hinted.get(stream) as number)) {
        const before = stream.headSeq
        // Whatever goes wrong here is told where the head is made sure of.
        const buckets = await this.#read(stream, before + 1, Number.MAX_SAFE_INTEGER).catch((): Bucket[] => [])
        this.#take(stream, buckets)
        if (stream.headSeq === before) await this.#parts.refresh(stream)
        if (stream.headSeq === before) return
      }
    } finally {
      this.#hinted.delete(stream)
    }
  }

  async #read(stream: Stream, from: number, to: number): Promise<Bucket[]> {
    const { store, limits } = this.#parts
    return await store.read(stream.name, { from, to, bytesMax: limits.readBytesMax })
  }

  #take(stream: Stream, buckets: readonly Bucket[]): void {
    for (const bucket of buckets) {
      if (bucket.firstSeq !== stream.headSeq + 1) continue // Somebody else has read it meanwhile.
      stream.advance(bucket)
      this.#parts.advanced(stream, bucket)
    }
  }

  /** Another node has trimmed what lies between the head known here and the stored one: readers behind it will find out. */
  async #leap(stream: Stream): Promise<void> {
    const tail = await this.#parts.store.load(stream.name)
    if ((tail.last?.lastSeq ?? 0) <= stream.headSeq) return
    if ((tail.record?.first ?? 1) <= stream.headSeq + 1)
      throw new Error(`${stream.name}: entries after ${stream.headSeq} are missing in the store`)
    this.#parts.states.forget(stream)
    stream.tail.length = 0
    stream.load(tail)
    for (const follower of stream.followers) follower.moved(stream)
  }
}
