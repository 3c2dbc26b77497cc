/** Puts items into a store that nobody else uses, many with one sync. What is there already stays; a document is replaced. */
import type { Item } from './contents.ts'
import type { Store } from './stores/store.ts'

const itemsMax = 1_000
const bytesMax = 8 * 1024 * 1024

export class Filler {
  readonly #store: Store
  #waiting: Item[] = []
  #bytes = 0

  constructor(store: Store) {
    this.#store = store
  }

  /** `bytes`: about what it takes. */
  async add(item: Item, bytes: number): Promise<void> {
    this.#waiting.push(item)
    this.#bytes += bytes
    if (this.#waiting.length >= itemsMax || this.#bytes >= bytesMax) await this.flush()
  }

  /** What was added is durable when it resolves. */
  async flush(): Promise<void> {
    const items = this.#waiting
    this.#waiting = []
    this.#bytes = 0
    const buckets = items.flatMap((item) => (item.is === 'bucket' ? [item.bucket] : []))
    if (buckets.length > 0) await this.#store.adopt(buckets)
    await Promise.all(items.map((item) => this.#putBeside(item)))
    // A record speaks of chunks and buckets, which are durable by now.
    await Promise.all(items.map((item) => this.#putRecord(item)))
  }

  async #putBeside(item: Item): Promise<void> {
    if (item.is === 'chunk') await this.#store.putChunk(item.stream, item.name, item.value)
    if (item.is === 'document') await this.#store.documents.put(item.collection, item.key, item.value, item.generation)
  }

  async #putRecord(item: Item): Promise<void> {
    if (item.is !== 'record' || !item.record) return
    const { stream, record } = item
    await this.#store.changeRecord(stream, () => record)
    if (record.first > 1) await this.#store.removeBelow(stream, record.first)
  }
}
