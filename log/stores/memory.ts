/** The store in memory: for tests and throw-away servers. Several logs may share one, as nodes share a database. */
import { SyncError } from '../../protocol/errors.ts'
import type { Bucket } from '../bucket.ts'
import { drawEpoch } from '../epoch.ts'
import { MemoryDocuments } from '../../seams/memory-documents.ts'
import type {
  CommitOutcome,
  KnownHead,
  OpenOptions,
  ReadRange,
  RecordChange,
  Store,
  StoreIdentity,
  StreamRecord,
  StreamTail,
} from './store.ts'

export class MemoryStore implements Store {
  readonly healthy = true
  readonly shared: boolean
  readonly atomic: boolean
  readonly documents = new MemoryDocuments()
  #identity: StoreIdentity | undefined = undefined
  readonly #streams = new Map<string, { buckets: Bucket[]; record: StreamRecord | undefined }>()
  readonly #chunks = new Map<string, Buffer>()

  constructor(options: { shared?: boolean } = {}) {
    this.shared = options.shared ?? false
    this.atomic = !this.shared // Nobody else takes a place.
  }

  async open({ epoch, existing }: OpenOptions = {}): Promise<StoreIdentity> {
    if (existing && !this.#identity) throw new SyncError('store-unavailable', 'there is no store in memory yet')
    return (this.#identity ??= { epoch: epoch ?? drawEpoch() })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  async load(stream: string): Promise<StreamTail> {
    const { buckets, record } = this.#stream(stream)
    return { last: buckets.at(-1), record }
  }

  async moved(heads: readonly KnownHead[]): Promise<string[]> {
    return heads.filter(({ stream, seq }) => (this.#stream(stream).buckets.at(-1)?.lastSeq ?? 0) !== seq).map(({ stream }) => stream)
  }

  async commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    // A turn of the event loop passes, as it would with a disk.
    await new Promise<void>((resolve) => void setImmediate(resolve))
    return buckets.map((bucket) => {
      const { buckets: stored } = this.#stream(bucket.stream)
      const head = stored.at(-1)?.lastSeq ?? 0
      if (bucket.firstSeq > head + 1)
        throw new RangeError(`${bucket.stream}: a bucket at ${bucket.firstSeq} would leave a hole after ${head}`)
      if (bucket.firstSeq <= head) return 'taken'
      stored.push(bucket)
      return 'stored'
    })
  }

  async adopt(buckets: readonly Bucket[]): Promise<void> {
    for (const bucket of buckets) {
      const { buckets: stored } = this.#stream(bucket.stream)
      if (bucket.firstSeq > (stored.at(-1)?.lastSeq ?? 0)) stored.push(bucket)
    }
  }

  async settle(bucket: Bucket): Promise<'stored' | 'taken' | 'absent'> {
    const found = this.#stream(bucket.stream).buckets.find(({ lastSeq }) => lastSeq >= bucket.firstSeq)
    if (!found) return 'absent'
    return found.nonce.equals(bucket.nonce) ? 'stored' : 'taken'
  }

  async read(stream: string, range: ReadRange): Promise<Bucket[]> {
    const within = this.#stream(stream).buckets.filter(({ firstSeq, lastSeq }) => lastSeq >= range.from && firstSeq <= range.to)
    if (range.reverse) within.reverse()
    let bytes = 0
    return within.filter((bucket, index) => {
      const fits = index === 0 || bytes < range.bytesMax
      bytes += bucket.value.length
      return fits
    })
  }

  async changeRecord(stream: string, change: RecordChange): Promise<StreamRecord> {
    const held = this.#stream(stream)
    return (held.record = change(held.record))
  }

  async removeBelow(stream: string, seq: number): Promise<void> {
    const { buckets } = this.#stream(stream)
    const keep = buckets.findIndex(({ lastSeq }) => lastSeq >= seq)
    buckets.splice(0, keep < 0 ? buckets.length - 1 : Math.min(keep, buckets.length - 1))
  }

  async putChunk(stream: string, name: string, value: Buffer): Promise<void> {
    this.#chunks.set(`${stream}\0${name}`, value)
  }

  async getChunk(stream: string, name: string): Promise<Buffer | undefined> {
    return this.#chunks.get(`${stream}\0${name}`)
  }

  async removeChunk(stream: string, name: string): Promise<void> {
    this.#chunks.delete(`${stream}\0${name}`)
  }

  async streams(after: string, limit: number): Promise<string[]> {
    return [...this.#streams.entries()]
      .filter(([name, { buckets }]) => name > after && buckets.length > 0)
      .map(([name]) => name)
      .toSorted()
      .slice(0, limit)
  }

  #stream(name: string): { buckets: Bucket[]; record: StreamRecord | undefined } {
    let stream = this.#streams.get(name)
    if (!stream) this.#streams.set(name, (stream = { buckets: [], record: undefined }))
    return stream
  }
}
