/** Folded states in memory within one budget of bytes; the one used longest ago leaves first. */
import type { Bucket } from './bucket.ts'
import type { Snapshots } from './snapshots.ts'
import type { Stream } from './stream.ts'

export class StateCache {
  readonly #snapshots: Snapshots
  readonly #read: (stream: Stream, from: number) => Promise<Bucket[]>
  readonly #confirm: (stream: Stream) => Promise<void>
  readonly #bytesMax: number
  /** Streams whose state must stay: a snapshot of it is being written, and older chunks go when that ends. */
  readonly #pinned: (stream: Stream) => boolean
  /** In order of use, with the bytes last counted. */
  readonly #sizes = new Map<Stream, number>()
  readonly #loading = new Map<Stream, Promise<void>>()
  bytes = 0

  constructor(parts: {
    snapshots: Snapshots
    read: (stream: Stream, from: number) => Promise<Bucket[]>
    /** Brings in what other nodes have changed. */
    confirm: (stream: Stream) => Promise<void>
    bytesMax: number
    pinned: (stream: Stream) => boolean
  }) {
    this.#snapshots = parts.snapshots
    this.#read = parts.read
    this.#confirm = parts.confirm
    this.#bytesMax = parts.bytesMax
    this.#pinned = parts.pinned
  }

  /** Makes `stream.fold` the state at the head: the newest snapshot and what was appended since. */
  load(stream: Stream): Promise<void> {
    if (stream.fold) return Promise.resolve()
    let loading = this.#loading.get(stream)
    if (!loading) {
      loading = this.#load(stream).finally(() => this.#loading.delete(stream))
      this.#loading.set(stream, loading)
    }
    return loading
  }

  /** The stream's state has grown or was used. */
  touched(stream: Stream): void {
    if (!stream.fold) return
    this.bytes += stream.fold.bytes - (this.#sizes.get(stream) ?? 0)
    this.#sizes.delete(stream)
    this.#sizes.set(stream, stream.fold.bytes)
    if (this.bytes > this.#bytesMax) this.#shrink(stream)
  }

  forget(stream: Stream): void {
    this.bytes -= this.#sizes.get(stream) ?? 0
    this.#sizes.delete(stream)
    stream.fold = undefined
  }

  /** While a snapshot is being read another node may replace it, and remove its chunks and the entries that it holds. */
  async #load(stream: Stream): Promise<void> {
    for (;;) {
      const before = stream.record?.snapshot?.seq
      try {
        return await this.#loadOnce(stream)
      } catch (error) {
        await this.#confirm(stream)
        if (stream.record?.snapshot?.seq === before) throw error
      }
    }
  }

  async #loadOnce(stream: Stream): Promise<void> {
    const fold = await this.#snapshots.load(stream.name, stream.record)
    while (fold.seq < stream.headSeq) {
      const buckets = await this.#read(stream, fold.seq + 1)
      if (buckets.length === 0) throw new Error(`${stream.name}: seq ${fold.seq + 1} is missing in the store`)
      for (const bucket of buckets) fold.apply(bucket)
    }
    // No turn has passed since the comparison, so from here every commit is applied as it comes.
    stream.fold = fold
    this.touched(stream)
  }

  #shrink(keep: Stream): void {
    for (const stream of this.#sizes.keys()) {
      if (this.bytes <= this.#bytesMax) return
      if (stream !== keep && !stream.committing && !this.#pinned(stream)) this.forget(stream)
    }
  }
}
