/** Documents in the embedded store. One process owns the folder, so reading before writing is exact if calls on one key queue up. */
import type { Documents, StoredDocument } from '../../seams/documents.ts'
import { collectionOfKey, documentKey, documentRange } from './level-keys.ts'
import { decodeValue, encodeValue } from './level-values.ts'
import type { LevelWriter } from './level-writer.ts'

interface Envelope {
  readonly v: unknown
  readonly g: number
  readonly o: string
}

export class LevelDocuments implements Documents {
  readonly #writer: LevelWriter
  /** The last call under way for each key, so that the next one sees what it stored. */
  readonly #last = new Map<string, Promise<unknown>>()

  constructor(writer: LevelWriter) {
    this.#writer = writer
  }

  async get(collection: string, key: string): Promise<StoredDocument | undefined> {
    const database = await this.#writer.database()
    const bytes = await database.get(documentKey(collection, key))
    return bytes && decode(collection, key, bytes)
  }

  claim(collection: string, key: string, owner: string): Promise<StoredDocument> {
    return this.#inTurn(collection, key, async () => {
      const old = await this.get(collection, key)
      const claimed = { key, owner, generation: (old?.generation ?? 0) + 1, value: old?.value ?? null }
      await this.#store(collection, claimed)
      return claimed
    })
  }

  put(collection: string, key: string, value: unknown, generation?: number): Promise<'stored' | 'fenced'> {
    return this.#inTurn(collection, key, async () => {
      const old = await this.get(collection, key)
      if (generation !== undefined && (old?.generation ?? 0) > generation) return 'fenced'
      await this.#store(collection, { key, value, owner: old?.owner ?? '', generation: generation ?? old?.generation ?? 0 })
      return 'stored'
    })
  }

  remove(collection: string, key: string, generation?: number): Promise<'stored' | 'fenced'> {
    return this.#inTurn(collection, key, async () => {
      const old = await this.get(collection, key)
      if (generation !== undefined && (old?.generation ?? 0) > generation) return 'fenced'
      if (old) await this.#writer.write([{ key: documentKey(collection, key) }])
      return 'stored'
    })
  }

  async list(collection: string, options: { prefix?: string; after?: string; limit: number }): Promise<StoredDocument[]> {
    const { prefix = '', after = '', limit } = options
    const database = await this.#writer.database()
    const start = documentKey(collection, '')
    const [afterKey, prefixKey] = [documentKey(collection, after), documentKey(collection, prefix)]
    // Compared as UTF-8, like the keys in the store: strings would be compared as UTF-16.
    const from = after !== '' && Buffer.compare(afterKey, prefixKey) >= 0 ? { gt: afterKey } : { gte: prefixKey }
    const documents: StoredDocument[] = []
    for await (const [key, bytes] of database.iterator({ ...from, lt: endOf(prefixKey), limit })) {
      documents.push(decode(collection, key.toString('utf8', start.length), bytes))
    }
    return documents
  }

  async collections(): Promise<string[]> {
    const database = await this.#writer.database()
    const names: string[] = []
    for (let gt: Buffer = documentRange.gte; ; gt = endOf(documentKey(names.at(-1) as string, ''))) {
      const [key] = await database.keys({ gt, lt: documentRange.lt, limit: 1 }).all()
      if (!key) return names
      names.push(collectionOfKey(key))
    }
  }

  async #store(collection: string, { key, value, generation, owner }: StoredDocument): Promise<void> {
    const envelope: Envelope = { v: value, g: generation, o: owner }
    await this.#writer.write([{ key: documentKey(collection, key), value: encodeValue(envelope) }])
  }

  #inTurn<Result>(collection: string, key: string, call: () => Promise<Result>): Promise<Result> {
    const place = `${collection}\0${key}`
    const before = this.#last.get(place)
    const result = before ? before.then(call, call) : call()
    this.#last.set(place, result)
    const forget = (): void => {
      if (this.#last.get(place) === result) this.#last.delete(place)
    }
    result.then(forget, forget)
    return result
  }
}

/** The first key behind all that begin with this one. */
function endOf(prefix: Buffer): Buffer {
  return Buffer.concat([prefix, Buffer.alloc(8, 0xff)])
}

function decode(collection: string, key: string, bytes: Buffer): StoredDocument {
  const { v, g, o } = decodeValue(bytes, `the document ${key} of ${collection}`) as Envelope
  return { key, value: v, generation: g, owner: o }
}
