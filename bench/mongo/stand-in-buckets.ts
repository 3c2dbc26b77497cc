/** The collection of buckets as the stand-in has it: in memory, each stream in order, so that any place is found at once. */
import type { Document } from 'mongodb'

interface StoredBucket extends Document {
  readonly _id: string
  readonly s: string
}

const duplicateKeyCode = 11_000

export class StandInBuckets {
  readonly #keeps: boolean
  readonly #streams = new Map<string, StoredBucket[]>()
  readonly #ids = new Set<string>()

  /** Without keeping anything every insert succeeds and nothing is ever found. */
  constructor(keeps: boolean) {
    this.#keeps = keeps
  }

  /** Undefined for a command that is none on buckets. */
  run(name: string, body: Document): Document | undefined {
    if (name === 'insert') return this.#insert(body['documents'] as StoredBucket[])
    if (name !== 'find') return undefined
    const found = this.#find(body['filter'] as Document, (body['sort'] as Document | undefined)?.['_id'] === -1)
    const firstBatch = found.slice(0, Number(body['limit'] ?? 0) || undefined)
    return { cursor: { id: 0n, ns: `${String(body['$db'])}.buckets`, firstBatch }, ok: 1 }
  }

  #insert(documents: readonly StoredBucket[]): Document {
    if (!this.#keeps) return { n: documents.length, ok: 1 }
    const writeErrors: Document[] = []
    for (const [index, document] of documents.entries()) {
      if (this.#ids.has(document._id)) writeErrors.push({ index, code: duplicateKeyCode, errmsg: 'E11000 duplicate key error' })
      else this.#put(document)
    }
    return { n: documents.length - writeErrors.length, ok: 1, ...(writeErrors.length > 0 ? { writeErrors } : {}) }
  }

  #put(document: StoredBucket): void {
    const stream = this.#streams.get(document.s)
    this.#ids.add(document._id)
    // Nobody inserts before the end of a stream.
    if (stream) stream.push(document)
    else this.#streams.set(document.s, [document])
  }

  #find({ _id, s }: Document, isReverse: boolean): readonly StoredBucket[] {
    if (Array.isArray(_id?.$in)) return (_id.$in as string[]).filter((id) => this.#ids.has(id)).map((id) => ({ _id: id, s: '' }))
    const stream = this.#streams.get(String(s)) ?? []
    if (typeof _id === 'string') return this.#ids.has(_id) ? [stream[firstFrom(stream, _id)] as StoredBucket] : []
    const { $gt, $gte, $lt, $lte } = (_id ?? {}) as Readonly<Record<string, string>>
    const from = $gt === undefined ? firstFrom(stream, $gte ?? '') : firstBehind(stream, $gt)
    const to = $lt === undefined ? ($lte === undefined ? stream.length : firstBehind(stream, $lte)) : firstFrom(stream, $lt)
    const found = stream.slice(from, to)
    return isReverse ? found.toReversed() : found
  }
}

/** Where the first one at or behind the key is. */
function firstFrom(stream: readonly StoredBucket[], key: string): number {
  let [low, high] = [0, stream.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((stream[middle] as StoredBucket)._id < key) low = middle + 1
    else high = middle
  }
  return low
}

function firstBehind(stream: readonly StoredBucket[], key: string): number {
  const at = firstFrom(stream, key)
  return stream[at]?._id === key ? at + 1 : at
}
