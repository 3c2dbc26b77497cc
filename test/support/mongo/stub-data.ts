/**
 * What a replica set holds, as far as the store asks: documents by `_id`, each either durable on a majority or so far only on
 * the primary, which may have to take it back.
 */
import type { Document } from 'mongodb'

export const databaseName = 'tidemark'

interface Held {
  readonly document: Document
  committed: boolean
}

export interface WriteOptions {
  /** false: the primary has it, the majority has not yet. */
  readonly committed?: boolean
}

const duplicateKey = (index: number): Document => ({ index, code: 11_000, errmsg: 'E11000 duplicate key error' })

export class StubData {
  readonly #collections = new Map<string, Map<string, Held>>()

  /** Carries out one command of a known kind; undefined for any other. */
  run(name: string, body: Document, { committed = true }: WriteOptions = {}): Document | undefined {
    if (name === 'listCollections') return this.#list(String(body['$db']))
    const collection = this.#collection(`${String(body['$db'])}.${String(body[name])}`)
    if (name === 'insert') return insert(collection, body['documents'] as Document[], committed)
    if (name === 'update') return update(collection, body['updates'] as Document[], committed)
    if (name === 'delete') return remove(collection, body['deletes'] as Document[])
    if (name !== 'find') return undefined
    const isMajority = (body['readConcern'] as Document | undefined)?.['level'] === 'majority'
    const found = matching(collection, body['filter'] as Document).filter((held) => held.committed || !isMajority)
    if ((body['sort'] as Document | undefined)?.['_id'] === -1) found.reverse()
    const limit = Number(body['limit'] ?? 0) || found.length
    const firstBatch = found.slice(0, limit).map(({ document }) => document)
    return { cursor: { id: 0n, ns: `${String(body['$db'])}.${String(body['find'])}`, firstBatch }, ok: 1 }
  }

  /** Everything in a collection of the database that the stub's URL names. */
  documents(collection: string): Document[] {
    return matching(this.#collection(`${databaseName}.${collection}`), {}).map(({ document }) => document)
  }

  /** Puts documents there as if a client had. */
  put(collection: string, documents: readonly Document[]): void {
    const held = this.#collection(`${databaseName}.${collection}`)
    for (const document of documents) held.set(document['_id'] as string, { document, committed: true })
  }

  clear(collection: string): void {
    this.#collection(`${databaseName}.${collection}`).clear()
  }

  /** What the majority never had is gone, as after the election of another primary. */
  rollBack(): void {
    for (const held of this.#collections.values()) for (const [id, { committed }] of held) if (!committed) held.delete(id)
  }

  commitAll(): void {
    for (const held of this.#collections.values()) for (const one of held.values()) one.committed = true
  }

  #list(database: string): Document {
    const names = [...this.#collections.keys()].filter((name) => name.startsWith(`${database}.`))
    const firstBatch = names.map((name) => ({ name: name.slice(database.length + 1), type: 'collection' }))
    return { cursor: { id: 0n, ns: `${database}.$cmd.listCollections`, firstBatch }, ok: 1 }
  }

  #collection(name: string): Map<string, Held> {
    let collection = this.#collections.get(name)
    if (!collection) this.#collections.set(name, (collection = new Map()))
    return collection
  }
}

function insert(collection: Map<string, Held>, documents: readonly Document[], committed: boolean): Document {
  const writeErrors: Document[] = []
  for (const [index, document] of documents.entries()) {
    const id = document['_id'] as string
    if (collection.has(id)) writeErrors.push(duplicateKey(index))
    else collection.set(id, { document, committed })
  }
  return { n: documents.length - writeErrors.length, ok: 1, ...(writeErrors.length > 0 ? { writeErrors } : {}) }
}

function update(collection: Map<string, Held>, updates: readonly Document[], committed: boolean): Document {
  let n = 0
  for (const { q, u, upsert } of updates as { q: Document; u: Document; upsert?: boolean }[]) {
    const id = q['_id'] as string
    const found = matching(collection, q)
    if (found.length === 0 && collection.has(id) && upsert) return { n, nModified: n, ok: 1, writeErrors: [duplicateKey(0)] }
    if (found.length === 0 && !upsert) continue
    collection.set(id, { document: { _id: id, ...u }, committed })
    n++
  }
  return { n, nModified: n, ok: 1 }
}

function remove(collection: Map<string, Held>, deletes: readonly Document[]): Document {
  let n = 0
  for (const { q, limit } of deletes as { q: Document; limit: number }[]) {
    for (const { document } of matching(collection, q).slice(0, limit || undefined)) if (collection.delete(document['_id'] as string)) n++
  }
  return { n, ok: 1 }
}

/** In the order of their ids. */
function matching(collection: Map<string, Held>, filter: Document): Held[] {
  const id: unknown = filter['_id']
  const candidates = typeof id === 'string' ? [collection.get(id)].filter((held) => held !== undefined) : [...collection.values()]
  return candidates
    .filter(({ document }) => Object.entries(filter).every(([name, wanted]) => fits(document[name], wanted)))
    .toSorted((a, b) => compare(a.document['_id'], b.document['_id']))
}

function fits(value: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null || wanted instanceof Date) return compare(value, wanted) === 0
  return Object.entries(wanted).every(([operator, bound]) => {
    if (operator === '$in') return (bound as unknown[]).some((one) => compare(value, one) === 0)
    const order = compare(value, bound)
    if (operator === '$gt') return order > 0
    if (operator === '$gte') return order >= 0
    if (operator === '$lt') return order < 0
    if (operator === '$lte') return order <= 0
    throw new Error(`the stub does not know ${operator}`)
  })
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'string' && typeof b === 'string') return a === b ? 0 : compareBytes(a, b)
  return Number(a) - Number(b)
}

/** As UTF-8; up to the first surrogate that is the order of JavaScript. */
function compareBytes(a: string, b: string): number {
  if (surrogate.test(a) || surrogate.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b))
  return a < b ? -1 : 1
}

const surrogate = /[\uD800-\uDFFF]/
