/**
 * How many bytes of commits streams hold, and where one must begin to hold no more than so many. Counted by reading, each commit
 * once: what was counted is remembered for some streams.
 */
import { LRUCache } from 'lru-cache'
import type { Limits } from '../seams/limits.ts'
import type { Bucket } from './bucket.ts'
import type { ReadRange, Store } from './stores/store.ts'

/** `bytes` are those of the commits from `first` to `head`, `cutBytes` of those before `cut`. */
interface Size {
  first: number
  head: number
  bytes: number
  cut: number
  cutBytes: number
}

export class StreamSizes {
  readonly #store: Store
  readonly #readBytesMax: number
  /** Waits where too much was read. */
  readonly #pace: (bytes: number) => Promise<void>
  readonly #sizes: LRUCache<string, Size>

  constructor(store: Store, { readBytesMax, retentionSizesMax }: Limits, pace: (bytes: number) => Promise<void>) {
    this.#store = store
    this.#readBytesMax = readBytesMax
    this.#pace = pace
    this.#sizes = new LRUCache({ max: retentionSizesMax })
  }

  /** Where the stream from `first` to `head` must begin; `first` where it is small enough, or where it cannot be read now. */
  async cut(stream: string, { first, head, bytesMax }: { first: number; head: number; bytesMax: number }): Promise<number> {
    const size = this.#known(stream, first)
    const isWhole = await this.#walk(stream, { from: size.head + 1, to: head, bytesMax: this.#readBytesMax }, (bucket) => {
      size.bytes += bucket.value.length
      size.head = bucket.lastSeq
      return true
    })
    if (!isWhole) return first
    const excess = (): number => size.bytes - size.cutBytes - bytesMax
    if (excess() <= 0) return size.cut
    await this.#walk(stream, { from: size.cut, to: head, bytesMax: Math.min(excess(), this.#readBytesMax) }, (bucket) => {
      size.cutBytes += bucket.value.length
      size.cut = bucket.lastSeq + 1
      return excess() > 0
    })
    return size.cut
  }

  #known(stream: string, first: number): Size {
    const known = this.#sizes.get(stream)
    if (known?.first === first) return known
    const { head, bytes, cutBytes } = known?.cut === first ? known : { head: first - 1, bytes: 0, cutBytes: 0 }
    const size = { first, head, bytes: bytes - cutBytes, cut: first, cutBytes: 0 }
    this.#sizes.set(stream, size)
    return size
  }

  /** Bucket by bucket while `take` says so; false where one is missing. */
  async #walk(stream: string, { from, to, bytesMax }: ReadRange, take: (bucket: Bucket) => boolean): Promise<boolean> {
    for (let next = from; next <= to;) {
      const page = await this.#store.read(stream, { from: next, to, bytesMax })
      if (page.length === 0) return false
      for (const bucket of page) {
        if (bucket.firstSeq > next) return false
        next = bucket.lastSeq + 1
        if (!take(bucket)) return true
      }
      await this.#pace(page.reduce((sum, { value }) => sum + value.length, 0))
    }
    return true
  }
}
