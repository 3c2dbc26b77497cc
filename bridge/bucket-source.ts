/** Where a walk gets its buckets: from memory, from where the last page stopped, or from the store in reads that grow. */
import type { Bucket } from '../log/bucket.ts'
import type { Log } from '../log/log.ts'
import type { Stream } from '../log/stream.ts'
import { unfinishedBucketsMax } from '../seams/limits.ts'

/** A first read brings about the entries of the page, and not much more. */
const entryBytesGuess = 128

/** Buckets in which pages ended: whoever reads page by page wants the rest next. The oldest leaves first. */
export class UnfinishedBuckets {
  readonly #buckets = new Map<string, Bucket>()

  find(stream: Stream, seq: number): Bucket | undefined {
    for (const bucket of this.#buckets.values()) {
      if (bucket.stream === stream.name && bucket.firstSeq <= seq && bucket.lastSeq >= seq) return bucket
    }
    return undefined
  }

  keep(bucket: Bucket): void {
    const key = `${bucket.stream} ${bucket.firstSeq}`
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= unfinishedBucketsMax) return
      this.#buckets.delete(oldest)
    }
  }
}

/** The reads of one walk. */
export class BucketSource {
  readonly #log: Log
  readonly #stream: Stream
  readonly #unfinished: UnfinishedBuckets
  readonly #reverse: boolean
  #bytesMax: number

  constructor(log: Log, stream: Stream, unfinished: UnfinishedBuckets, options: { reverse: boolean; entriesMax: number }) {
    this.#log = log
    this.#stream = stream
    this.#unfinished = unfinished
    this.#reverse = options.reverse
    this.#bytesMax = Math.min(log.limits.readBytesMax, Math.max(1, options.entriesMax * entryBytesGuess))
  }

  /** The bucket that holds `seq` and perhaps those after it, or before it in reverse. */
  async from(seq: number): Promise<Bucket[]> {
    const cached = this.#stream.cached(seq)
    // Backwards one at a time, because the tail may move between turns.
    if (cached) return this.#reverse ? [cached] : await this.#log.read(this.#stream, seq)
    const unfinished = this.#unfinished.find(this.#stream, seq)
    if (unfinished) return [unfinished]
    const bytesMax = this.#bytesMax
    // A search that finds little reads more and more at once.
    this.#bytesMax = Math.min(this.#log.limits.readBytesMax, bytesMax * 2)
    return this.#reverse ? await this.#log.readBackwards(this.#stream, seq, bytesMax) : await this.#log.read(this.#stream, seq, bytesMax)
  }
}
