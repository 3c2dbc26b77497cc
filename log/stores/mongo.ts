/**
 * The store in MongoDB, for several nodes: buckets are inserted and never changed, acknowledged when a majority has them in its
 * journal, read from the primary at majority.
 *
 * A bucket is inserted only behind an end that this handle has seen in the store: then its place alone decides who is first.
 * What became of an insert without an answer is found out by inserting the identical bucket again: the first one may
 * still be on its way, so only a bucket that stands at the place, ours or another's, is an answer.
 */
import { LRUCache } from 'lru-cache'
import { SyncError } from '../../protocol/errors.ts'
import { systemClock, type Clock } from '../../seams/clock.ts'
import type { Logger } from '../../seams/logger.ts'
import type { Bucket } from '../bucket.ts'
import { MongoBuckets } from './mongo-buckets.ts'
import { connect, hello, sentenceOf, unavailable, type MongoConnection } from './mongo-connection.ts'
import { MongoChunks } from './mongo-chunks.ts'
import { MongoDocuments } from './mongo-documents.ts'
import { openIdentity } from './mongo-identity.ts'
import { numberedKey } from './mongo-keys.ts'
import { MongoRecords } from './mongo-records.ts'
import { MongoTrims } from './mongo-trims.ts'
import { MongoWatch } from './mongo-watch.ts'
import type { CommitOutcome, ReadRange, Store, StoreIdentity, StreamRecord, StreamTail } from './store.ts'

export interface MongoOptions {
  /** With the credentials; it is never logged. */
  readonly url: string
  readonly logger: Logger
  readonly clock?: Clock
  /** Refuses a server that cannot keep what a majority would. */
  readonly strict?: boolean
  /** How long trimmed buckets stay; 0 deletes them at once, which is safe only while no other node writes. */
  readonly trimGraceMs?: number
}

/** An end seen longer ago is looked up again: what stood behind it may have been trimmed by then. */
const endTrustMs = 300_000
/** Twice as long as an end is trusted, and the time of an insert. */
const trimGraceMsDefault = 660_000
const endsMax = 100_000
const sweepMs = 60_000

interface Parts {
  readonly connection: MongoConnection
  readonly buckets: MongoBuckets
  readonly records: MongoRecords
  readonly chunks: MongoChunks
  readonly trims: MongoTrims
  readonly watch: MongoWatch
}

export class MongoStore implements Store {
  readonly shared = true
  readonly documents: MongoDocuments
  readonly #options: MongoOptions
  #opened: Parts | undefined = undefined
  /** Where buckets may follow, and when that was seen. */
  readonly #ends = new LRUCache<string, { readonly seq: number; readonly seenMs: number }>({ max: endsMax })
  /** Places that this handle has sent a bucket to without an answer, with its nonce. */
  readonly #unanswered = new Map<string, string>()
  readonly #underWay = new Set<Promise<unknown>>()
  #sweep: NodeJS.Timeout | undefined

  constructor(options: MongoOptions) {
    this.#options = options
    this.documents = new MongoDocuments(() => this.#parts.connection.database)
  }

  get healthy(): boolean {
    return this.#opened?.watch.healthy ?? false
  }

  async open(): Promise<StoreIdentity> {
    const { url, logger, clock = systemClock, strict = false, trimGraceMs = trimGraceMsDefault } = this.#options
    const connection = await connect(url)
    const { client, database } = connection
    try {
      await this.#checkMajority(connection, strict)
      const buckets = new MongoBuckets(database)
      const { epoch } = await openIdentity(database, () => buckets.isEmpty())
      const watch = new MongoWatch(connection, epoch, clock, logger)
      await watch.start()
      this.#opened = {
        connection,
        buckets,
        records: new MongoRecords(database),
        chunks: new MongoChunks(database),
        trims: new MongoTrims(database, buckets, clock, trimGraceMs),
        watch,
      }
      this.#sweep = setInterval(() => this.#sweepTrims(), sweepMs).unref()
      return { epoch }
    } catch (error) {
      await client.close()
      throw unavailable(error)
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep)
    await Promise.allSettled(this.#underWay)
    this.#opened?.watch.close()
    await this.#opened?.connection.client.close()
  }

  async load(stream: string): Promise<StreamTail> {
    const { buckets, records } = this.#parts
    const seenMs = performance.now()
    // A record that is older than the bucket does no harm: where the stream begins is looked at again. The other way round it would.
    const record = await records.get(stream)
    const last = await buckets.newest(stream)
    this.#ends.set(stream, { seq: last?.lastSeq ?? 0, seenMs })
    return { last, record }
  }

  commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    const committing = this.#commit(buckets).finally(() => this.#underWay.delete(committing))
    this.#underWay.add(committing)
    return committing
  }

  async settle(bucket: Bucket): Promise<'stored' | 'taken' | 'absent'> {
    const { stream, firstSeq, nonce } = bucket
    const key = numberedKey(stream, firstSeq)
    if (this.#unanswered.get(key) !== nonce.toString('base64url')) {
      const [found] = await this.read(stream, { from: firstSeq, to: firstSeq, bytesMax: 1 })
      if (!found) return 'absent'
      return found.nonce.equals(nonce) ? 'stored' : 'taken'
    }
    const [outcome] = await this.#commit([bucket])
    if (outcome !== 'stored' && outcome !== 'taken') {
      throw new SyncError('store-unavailable', `what became of ${stream} ${firstSeq} cannot be told yet`)
    }
    this.#unanswered.delete(key)
    return outcome
  }

  async read(stream: string, range: ReadRange): Promise<Bucket[]> {
    return await this.#parts.buckets.read(stream, range)
  }

  async changeRecord(stream: string, change: (stored: StreamRecord | undefined) => StreamRecord): Promise<StreamRecord> {
    return await this.#parts.records.change(stream, change)
  }

  async putRecord(stream: string, record: StreamRecord): Promise<void> {
    await this.changeRecord(stream, () => record)
  }

  async removeBelow(stream: string, seq: number): Promise<void> {
    await this.#parts.trims.add(stream, seq)
  }

  async putChunk(stream: string, name: string, value: Buffer): Promise<void> {
    await this.#parts.chunks.put(stream, name, value)
  }

  async getChunk(stream: string, name: string): Promise<Buffer | undefined> {
    return await this.#parts.chunks.get(stream, name)
  }

  async removeChunk(stream: string, name: string): Promise<void> {
    await this.#parts.chunks.remove(stream, name)
  }

  async streams(after: string, limit: number): Promise<string[]> {
    return await this.#parts.buckets.streams(after, limit)
  }

  get #parts(): Parts {
    if (!this.#opened) throw new SyncError('store-unavailable', 'the store is not open')
    return this.#opened
  }

  async #commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    const verdicts = await Promise.all(buckets.map((bucket) => this.#verdict(bucket)))
    const sent = buckets.filter((_bucket, index) => verdicts[index] === undefined)
    const { buckets: stored, watch } = this.#parts
    const seenMs = performance.now()
    const outcomes = (await stored.insert(sent, (error) => watch.failed(error))).values()
    return buckets.map((bucket, index) => {
      const outcome = verdicts[index] ?? (outcomes.next().value as CommitOutcome)
      const { stream, firstSeq, lastSeq, nonce } = bucket
      if (outcome === 'stored') this.#ends.set(stream, { seq: lastSeq, seenMs })
      else this.#ends.delete(stream)
      if (outcome === 'unknown') this.#unanswered.set(numberedKey(stream, firstSeq), nonce.toString('base64url'))
      return outcome
    })
  }

  /**
   * What can be said of a bucket without inserting it: nothing where it follows an end that is in the store. One that
   * begins within another, or where others were trimmed, finds its place empty all the same.
   */
  async #verdict(bucket: Bucket): Promise<CommitOutcome | undefined> {
    const { stream, firstSeq } = bucket
    const end = this.#ends.get(stream)
    if (end && end.seq + 1 === firstSeq && performance.now() - end.seenMs < endTrustMs) return undefined
    const { last, record } = await this.load(stream)
    const lastSeq = last?.lastSeq ?? 0
    if (lastSeq >= firstSeq || (record?.first ?? 1) > firstSeq) return (await this.#parts.buckets.outcomeOf(bucket)) ?? 'taken'
    if (lastSeq === firstSeq - 1) return undefined
    this.#options.logger.error({ stream, firstSeq, lastSeq }, 'the database has lost entries: nothing is appended to the stream')
    return 'unknown'
  }

  #sweepTrims(): void {
    this.#parts.trims.sweep().catch((error: unknown) => {
      this.#options.logger.warn({ failure: sentenceOf(error) }, 'what was trimmed could not be deleted; it is tried again')
    })
  }

  async #checkMajority({ database }: MongoConnection, strict: boolean): Promise<void> {
    const { setName, msg } = await hello(database)
    if (setName !== undefined || msg === 'isdbgrid') return
    const lost = 'the database is one server and no replica set: what is acknowledged is on one disk only and is lost with it'
    if (strict) throw new SyncError('store-unavailable', `${lost}; give the URL of a replica set, or leave out strict`)
    this.#options.logger.warn({}, lost)
  }
}
