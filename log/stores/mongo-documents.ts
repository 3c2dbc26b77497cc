/**
 * Documents in MongoDB: one stored document for each generation of a record.
 *
 * A claim inserts the next generation, empty, and one of two claims of it wins. From then on it fences: whoever writes under
 * an older one looks for newer ones after the write was stored, and finds it. The claim then brings the value over, so that it
 * takes every write that was told to be stored. Every write replaces the very one it has read, so that one which its caller
 * has given up and the server carries out later replaces nothing newer.
 */
import type { Collection, Db } from 'mongodb'
import { SyncError } from '../../protocol/errors.ts'
import type { Documents, StoredDocument } from '../../seams/documents.ts'
import { isDuplicate, pauseAfter } from './mongo-connection.ts'
import { endOfKeys, nameOfKey, numberedKey, numberOfKey } from './mongo-keys.ts'
import { Turns } from './turns.ts'

/** `v` is JSON as a text; absent while a claim has not brought the value over. `n` counts the writes. */
interface Generation {
  readonly _id: string
  readonly o: string
  readonly n: number
  readonly v?: string
}

/** Of the database's collections that hold documents. */
const namePrefix = 'documents.'

/** Behind every key that begins with a prefix. */
const highest = '\u{10ffff}'

export class MongoDocuments implements Documents {
  readonly #database: () => Db
  readonly #turns = new Turns()

  constructor(database: () => Db) {
    this.#database = database
  }

  async get(collection: string, key: string): Promise<StoredDocument | undefined> {
    return documentOf(key, await this.#generations(collection, key))
  }

  claim(collection: string, key: string, owner: string): Promise<StoredDocument> {
    return this.#inTurn(collection, key, async () => {
      const generation = await this.#insertNext(collection, key, owner)
      const before = (await this.#generations(collection, key)).filter(({ _id }) => numberOfKey(_id) < generation)
      const value = documentOf(key, before)?.value ?? null
      const own = { _id: numberedKey(key, generation), o: owner, n: 0 }
      if (!(await this.#replace(collection, own, own, JSON.stringify(value)))) {
        throw new SyncError('store-unavailable', `${collection} ${key} was claimed by somebody else at the same moment`)
      }
      await this.#removeGenerations(collection, key, generation - 1)
      return { key, value, generation, owner }
    })
  }

  put(collection: string, key: string, value: unknown, generation?: number): Promise<'stored' | 'fenced'> {
    const text = JSON.stringify(value)
    return this.#inTurn(collection, key, async () => {
      for (let tries = 1; ; tries = await pauseAfter(tries)) {
        const newest = (await this.#generations(collection, key)).at(-1)
        const newestNumber = newest ? numberOfKey(newest._id) : 0
        if (generation !== undefined && newestNumber > generation) return 'fenced'
        const own = { _id: numberedKey(key, generation ?? newestNumber), o: newest?.o ?? '', n: 0 }
        const old = newest?._id === own._id ? newest : undefined
        if (!(await this.#replace(collection, old, own, text))) continue
        if (!(await this.#isFenced(collection, key, numberOfKey(own._id)))) return 'stored'
        if (generation !== undefined) return 'fenced'
      }
    })
  }

  remove(collection: string, key: string, generation?: number): Promise<'stored' | 'fenced'> {
    return this.#inTurn(collection, key, async () => {
      for (let tries = 1; ; tries = await pauseAfter(tries)) {
        const newest = (await this.get(collection, key))?.generation ?? 0
        if (generation !== undefined && newest > generation) return 'fenced'
        await this.#removeGenerations(collection, key, generation ?? newest)
        if (!(await this.#isFenced(collection, key, generation ?? newest))) return 'stored'
        if (generation !== undefined) return 'fenced'
      }
    })
  }

  async list(collection: string, options: { prefix?: string; after?: string; limit: number }): Promise<StoredDocument[]> {
    const { prefix = '', after = '', limit } = options
    const documents: StoredDocument[] = []
    let from: { $gte: string } | { $gt: string } = { $gte: prefix }
    // Compared as UTF-8, like the keys in the database: strings would be compared as UTF-16.
    if (after !== '' && Buffer.compare(Buffer.from(after), Buffer.from(prefix)) >= 0) from = { $gt: endOfKeys(after) }
    let open: Generation[] = []
    for (;;) {
      const pageMax = Math.min(1_000, 2 * (limit - documents.length) + 1)
      const page = await this.#collection(collection)
        .find({ _id: { ...from, $lt: prefix + highest } })
        .sort({ _id: 1 })
        .limit(pageMax)
        .toArray()
      for (const found of page) {
        if (open[0] && nameOfKey(open[0]._id) !== nameOfKey(found._id)) {
          documents.push(documentOf(nameOfKey(open[0]._id), open) as StoredDocument)
          if (documents.length >= limit) return documents
          open = []
        }
        open.push(found)
      }
      const last = page.at(-1)
      if (!last || page.length < pageMax) break
      from = { $gt: last._id }
    }
    if (open[0]) documents.push(documentOf(nameOfKey(open[0]._id), open) as StoredDocument)
    return documents
  }

  async collections(): Promise<string[]> {
    const found = await this.#database().listCollections({}, { nameOnly: true }).toArray()
    const names = found.flatMap(({ name }) => (name.startsWith(namePrefix) ? [name.slice(namePrefix.length)] : []))
    const filled = await Promise.all(
      names.map(async (name) => (await this.#collection(name).findOne({}, { projection: { _id: 1 } })) !== null),
    )
    return names.filter((_name, index) => filled[index]).toSorted()
  }

  async #insertNext(collection: string, key: string, owner: string): Promise<number> {
    for (let tries = 1; ; tries = await pauseAfter(tries)) {
      const generation = ((await this.get(collection, key))?.generation ?? 0) + 1
      try {
        await this.#collection(collection).insertOne({ _id: numberedKey(key, generation), o: owner, n: 0 })
        return generation
      } catch (error) {
        if (!isDuplicate(error)) throw error
      }
    }
  }

  /** In ascending order: a value on its way to a newer generation is met in the one or in the other. */
  async #generations(collection: string, key: string, from = 0): Promise<Generation[]> {
    const range = { $gte: numberedKey(key, from), $lt: endOfKeys(key) }
    return await this.#collection(collection).find({ _id: range }).sort({ _id: 1 }).toArray()
  }

  async #isFenced(collection: string, key: string, generation: number): Promise<boolean> {
    return (await this.#generations(collection, key, generation + 1)).length > 0
  }

  /** Puts the value in place of exactly what was read, or of nothing; false where something else stands there by now. */
  async #replace(collection: string, old: Generation | undefined, own: Generation, text: string): Promise<boolean> {
    const { _id, o } = own
    if (old) return (await this.#collection(collection).replaceOne({ _id, n: old.n }, { o, n: old.n + 1, v: text })).matchedCount > 0
    try {
      await this.#collection(collection).insertOne({ _id, o, n: 1, v: text })
      return true
    } catch (error) {
      if (isDuplicate(error)) return false
      throw error
    }
  }

  async #removeGenerations(collection: string, key: string, last: number): Promise<void> {
    await this.#collection(collection).deleteMany({ _id: { $gte: numberedKey(key, 0), $lte: numberedKey(key, last) } })
  }

  #collection(name: string): Collection<Generation> {
    return this.#database().collection(namePrefix + name)
  }

  #inTurn<Result>(collection: string, key: string, call: () => Promise<Result>): Promise<Result> {
    return this.#turns.take(`${collection}\0${key}`, call)
  }
}

/** The newest generation with its owner, and the newest value. */
function documentOf(key: string, generations: readonly Generation[]): StoredDocument | undefined {
  const newest = generations.at(-1)
  if (!newest) return undefined
  const valued = generations.findLast(({ v }) => v !== undefined)
  const value: unknown = valued?.v === undefined ? null : JSON.parse(valued.v)
  return { key, value, generation: numberOfKey(newest._id), owner: newest.o }
}
