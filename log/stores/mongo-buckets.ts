/**
 * Buckets in MongoDB: inserted, never changed, one at each place. A place is a stream and the first seq; whose bucket stands
 * there is told by its nonce, read at majority: what one server alone has may still be taken back.
 */
import type { Collection, Db } from 'mongodb'
import { Bucket } from '../bucket.ts'
import { insertCommand, isDuplicateCode } from './mongo-connection.ts'
import { endOfKeys, nameOfKey, numberedKey, numberOfKey } from './mongo-keys.ts'
import type { CommitOutcome, ReadRange } from './store.ts'

export const bucketsCollection = 'buckets'

/** `s` is the shard key: a stream stays on one shard, where its keys are unique. */
interface StoredBucket {
  readonly _id: string
  readonly s: string
  /** The nonce, and the packed entries. */
  readonly w: string
  readonly b: Buffer
}

/** One insert command. */
const batchBucketsMax = 256
const batchBytesMax = 8 * 1024 * 1024
/** Commands of one commit on their way at the same time. */
const batchesInFlightMax = 4

const pageBucketsFirst = 8
const pageBucketsMax = 1_000

export class MongoBuckets {
  readonly #database: Db
  readonly #collection: Collection<StoredBucket>

  constructor(database: Db) {
    this.#database = database
    this.#collection = database.collection(bucketsCollection)
  }

  async isEmpty(): Promise<boolean> {
    return (await this.#collection.findOne({}, { projection: { _id: 1 } })) === null
  }

  /** Outcomes in the order of the buckets; `failed` hears of every command without a clear answer. */
  async insert(buckets: readonly Bucket[], failed: (error: unknown) => void): Promise<CommitOutcome[]> {
    const outcomes: CommitOutcome[] = buckets.map(() => 'unknown')
    const batches = batchesOf(buckets)
    const work = async (): Promise<void> => {
      for (let batch = batches.shift(); batch; batch = batches.shift()) {
        const { start, end } = batch
        const found = await this.#insertBatch(buckets.slice(start, end), failed)
        for (const [index, outcome] of found.entries()) outcomes[start + index] = outcome
      }
    }
    await Promise.all(Array.from({ length: Math.min(batchesInFlightMax, batches.length) }, work))
    return outcomes
  }

  /** What stands at the place of the bucket: itself, another one, or nothing that a majority has. */
  async outcomeOf({ stream, firstSeq, nonce }: Bucket): Promise<CommitOutcome | undefined> {
    const found = await this.#collection.findOne({ _id: numberedKey(stream, firstSeq), s: stream }, { projection: { w: 1 } })
    if (!found) return undefined
    return found.w === nonce.toString('base64url') ? 'stored' : 'taken'
  }

  /** The streams in which a bucket begins right behind the given seq. The shard key would help nobody: so many streams are on all shards. */
  async startingBehind(ends: readonly { readonly stream: string; readonly seq: number }[]): Promise<string[]> {
    if (ends.length === 0) return []
    const $in = ends.map(({ stream, seq }) => numberedKey(stream, seq + 1))
    const found = await this.#collection.find({ _id: { $in } }, { projection: { _id: 1 }, batchSize: $in.length }).toArray()
    return found.map(({ _id }) => nameOfKey(_id))
  }

  newest(stream: string): Promise<Bucket | undefined> {
    return this.#lastUpTo(stream, Number.MAX_SAFE_INTEGER)
  }

  /** The bucket that holds the seq, or the last one before it. */
  #lastUpTo(stream: string, seq: number): Promise<Bucket | undefined> {
    return this.#page(stream, { $gte: numberedKey(stream, 0), $lte: numberedKey(stream, seq) }, -1, 1).then(([bucket]) => bucket)
  }

  async read(stream: string, { from, to, bytesMax, reverse = false }: ReadRange): Promise<Bucket[]> {
    const buckets: Bucket[] = []
    let bytes = 0
    let range: KeyRange = { $gte: numberedKey(stream, reverse ? 0 : from), $lte: numberedKey(stream, to) }
    for (let limit = pageBucketsFirst; ;) {
      const page = await this.#page(stream, range, reverse ? -1 : 1, limit)
      const isWhole = page.length < limit
      if (!reverse && buckets.length === 0 && page[0]?.firstSeq !== from) {
        const before = await this.#lastUpTo(stream, from)
        if (before && before.lastSeq >= from) page.unshift(before)
      }
      for (const bucket of page) {
        if (bucket.lastSeq < from) return buckets
        buckets.push(bucket)
        bytes += bucket.value.length
        if (bytes >= bytesMax) return buckets
      }
      const last = page.at(-1)
      if (!last || isWhole) return buckets
      const lastKey = numberedKey(stream, last.firstSeq)
      range = reverse ? { $gte: numberedKey(stream, 0), $lt: lastKey } : { $gt: lastKey, $lte: numberedKey(stream, to) }
      limit = Math.max(1, Math.min(pageBucketsMax, Math.ceil((bytesMax - bytes) / (bytes / buckets.length))))
    }
  }

  /** Deletes the buckets that end before the seq, the newest never. */
  async removeBelow(stream: string, seq: number): Promise<void> {
    const newest = await this.newest(stream)
    const kept = newest && newest.firstSeq <= seq ? newest : await this.#lastUpTo(stream, seq)
    if (!kept) return
    await this.#collection.deleteMany({ s: stream, _id: { $gte: numberedKey(stream, 0), $lt: numberedKey(stream, kept.firstSeq) } })
  }

  async streams(after: string, limit: number): Promise<string[]> {
    const names: string[] = []
    let behind = after === '' ? '' : endOfKeys(after)
    while (names.length < limit) {
      const [next] = await this.#collection
        .find({ _id: { $gt: behind } }, { projection: { s: 1 } })
        .sort({ _id: 1 })
        .limit(1)
        .toArray()
      if (!next) break
      names.push(next.s)
      behind = endOfKeys(next.s)
    }
    return names
  }

  async #page(stream: string, range: KeyRange, direction: 1 | -1, limit: number): Promise<Bucket[]> {
    const found = await this.#collection.find({ s: stream, _id: range }).sort({ _id: direction }).limit(limit).toArray()
    return found.map((stored) => unpack(stream, stored))
  }

  async #insertBatch(buckets: readonly Bucket[], failed: (error: unknown) => void): Promise<CommitOutcome[]> {
    try {
      const reply = await insertCommand(this.#database, bucketsCollection, buckets.map(pack))
      const refused = new Map(((reply['writeErrors'] ?? []) as WriteError[]).map((error) => [error.index, error]))
      const isWhole = !reply['writeConcernError'] && reply['n'] === buckets.length - refused.size
      if (!isWhole) failed(new Error(`an insert of ${buckets.length} buckets was answered for ${String(reply['n'])}`))
      const outcomes = buckets.map(async (bucket, index) => {
        const error = refused.get(index)
        if (!error) return isWhole ? 'stored' : 'unknown'
        if (isDuplicateCode(error.code)) return (await this.outcomeOf(bucket)) ?? 'unknown'
        failed(Object.assign(new Error(error.errmsg ?? 'an insert was refused'), { code: error.code }))
        return 'unknown'
      })
      return await Promise.all(outcomes)
    } catch (error) {
      failed(error)
      return buckets.map(() => 'unknown')
    }
  }
}

interface WriteError {
  readonly index: number
  readonly code: number
  readonly errmsg?: string
}

type KeyRange = { $gte?: string; $gt?: string; $lt?: string; $lte?: string }

function batchesOf(buckets: readonly Bucket[]): { start: number; end: number }[] {
  const batches: { start: number; end: number }[] = []
  let start = 0
  let bytes = 0
  for (const [index, { value }] of buckets.entries()) {
    if (index > start && (index - start === batchBucketsMax || bytes + value.length > batchBytesMax)) {
      batches.push({ start, end: index })
      start = index
      bytes = 0
    }
    bytes += value.length
  }
  if (start < buckets.length) batches.push({ start, end: buckets.length })
  return batches
}

function pack({ stream, firstSeq, nonce, value }: Bucket): StoredBucket {
  return { _id: numberedKey(stream, firstSeq), s: stream, w: nonce.toString('base64url'), b: value }
}

function unpack(stream: string, { _id, b }: StoredBucket): Bucket {
  // The driver cuts it out of the whole answer, which would stay in memory as long as the bucket does.
  const bucket = new Bucket(stream, Buffer.from(b))
  if (bucket.firstSeq !== numberOfKey(_id)) {
    throw new Error(`the bucket of ${stream} at seq ${numberOfKey(_id)} says that it begins at ${bucket.firstSeq}: it is damaged`)
  }
  return bucket
}
