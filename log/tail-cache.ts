/** The newest buckets of all streams within one budget of bytes; the oldest commit leaves first. */
import type { Bucket } from './bucket.ts'
import type { Stream } from './stream.ts'

export class TailCache {
  readonly #bytesMax: number
  /** In the order of commits; entries in front of `#oldest` are gone. */
  #order: { readonly stream: Stream; readonly bucket: Bucket }[] = []
  #oldest = 0
  bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Counts a bucket that was just put at the end of its stream's tail, and lets the oldest go. */
  added(stream: Stream, bucket: Bucket): void {
    this.#order.push({ stream, bucket })
    this.bytes += bucket.bytes
    while (this.bytes > this.#bytesMax && this.#oldest < this.#order.length - 1) this.#dropOldest()
    if (this.#oldest > 4_096 && this.#oldest * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#oldest)
      this.#oldest = 0
    }
  }

  #dropOldest(): void {
    const { stream, bucket } = this.#order[this.#oldest++] as { stream: Stream; bucket: Bucket }
    // The order of commits is the order within each stream, so its oldest bucket is this one, unless the stream was forgotten.
    if (stream.tail[0] === bucket) stream.tail.shift()
    this.bytes -= bucket.bytes
  }
}
