/** Documents in memory: for tests and for who keeps nothing, and the exact meaning of the seam in few lines. */
import type { Documents, StoredDocument } from './documents.ts'

export class MemoryDocuments implements Documents {
  readonly #collections = new Map<string, Map<string, StoredDocument>>()

  async get(collection: string, key: string): Promise<StoredDocument | undefined> {
    return copy(this.#collection(collection).get(key))
  }

  async claim(collection: string, key: string, owner: string): Promise<StoredDocument> {
    const old = this.#collection(collection).get(key)
    const claimed = { key, owner, generation: (old?.generation ?? 0) + 1, value: old?.value ?? null }
    this.#collection(collection).set(key, claimed)
    return structuredClone(claimed)
  }

  async put(collection: string, key: string, value: unknown, generation?: number): Promise<'stored' | 'fenced'> {
    const old = this.#collection(collection).get(key)
    if (generation !== undefined && (old?.generation ?? 0) > generation) return 'fenced'
    this.#collection(collection).set(key, {
      key,
      value: structuredClone(value),
      generation: generation ?? old?.generation ?? 0,
      owner: old?.owner ?? '',
    })
    return 'stored'
  }

  async remove(collection: string, key: string, generation?: number): Promise<'stored' | 'fenced'> {
    const old = this.#collection(collection).get(key)
    if (generation !== undefined && (old?.generation ?? 0) > generation) return 'fenced'
    this.#collection(collection).delete(key)
    return 'stored'
  }

  async list(collection: string, options: { prefix?: string; after?: string; limit: number }): Promise<StoredDocument[]> {
    const { prefix = '', after = '', limit } = options
    return [...this.#collection(collection).values()]
      .filter(({ key }) => key.startsWith(prefix) && compareUtf8(key, after) > 0)
      .toSorted((a, b) => compareUtf8(a.key, b.key))
      .slice(0, limit)
      .map((document) => structuredClone(document))
  }

  async collections(): Promise<string[]> {
    return [...this.#collections].flatMap(([name, { size }]) => (size > 0 ? [name] : [])).toSorted()
  }

  #collection(name: string): Map<string, StoredDocument> {
    let collection = this.#collections.get(name)
    if (!collection) this.#collections.set(name, (collection = new Map()))
    return collection
  }
}

function copy(document: StoredDocument | undefined): StoredDocument | undefined {
  return document && structuredClone(document)
}

/** Strings compare as UTF-16, where an emoji stands before U+FFFD. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
