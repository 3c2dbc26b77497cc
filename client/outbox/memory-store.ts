/** What waits in memory only: it is lost with the page or the process. */
import type { OutboxStore, Waiting } from './store.ts'

export class MemoryStore implements OutboxStore {
  readonly durable: boolean = false
  readonly #kept = new Map<number, Waiting>()
  #nextKey: number

  constructor(firstKey = 1) {
    this.#nextKey = firstKey
  }

  async load(): Promise<readonly Waiting[]> {
    return [...this.#kept.values()]
  }

  async add(items: readonly Omit<Waiting, 'key'>[]): Promise<readonly number[]> {
    return items.map((item) => {
      const key = this.#nextKey++
      this.#kept.set(key, { ...item, key })
      return key
    })
  }

  async replace(items: readonly Waiting[]): Promise<void> {
    for (const item of items) if (this.#kept.has(item.key)) this.#kept.set(item.key, item)
  }

  async remove(keys: readonly number[]): Promise<void> {
    for (const key of keys) this.#kept.delete(key)
  }

  async close(): Promise<void> {}
}
