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
import { mongoEndsMax, mongoSweepMs, mongoTrimGraceMs } from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import type { Bucket } from '../bucket.ts'
import { MongoBuckets } from './mongo-buckets.ts'
import { connect, hello, sentenceOf, unavailable, type MongoConnection } from './mongo-connection.ts'
import { MongoChunks } from './mongo-chunks.ts'
import { MongoDocuments } from './mongo-documents.ts'
import { openIdentity } from './mongo-identity.ts'
import { numberedKey } from './mongo-keys.ts'
import { MongoQueue } from './mongo-queue.ts'
import { MongoRecords } from './mongo-records.ts'
import { MongoTrims } from './mongo-trims.ts'
import { MongoWatch } from './mongo-watch.ts'
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

export interface MongoOptions {
  /** With the credentials; it is never logged. */
  readonly url: string
  readonly logger: Logger
  readonly clock?: Clock
  /** Refuses a server that cannot keep what a majority would. */
  readonly strict?: boolean
  /** How long trimmed buckets stay, ms; 600,000. 0 deletes them at once, which is right only where no other node writes. */
  readonly trimGraceMs?: number
  /** How far the clock may be from the database's, ms; 5,000. */
  readonly clockSkewMs?: number
  /** How long the database may fail before all connections to it are made anew, ms; 20,000. */
  readonly reconnectMs?: number
}

/** An outcome without inserting, or when the end was seen behind which the bucket is inserted. */
type Verdict = CommitOutcome | number

interface Parts {
  readonly connection: MongoConnection
  readonly buckets: MongoBuckets
  readonly records: MongoRecords
  readonly chunks: MongoChunks
  readonly trims: MongoTrims
  readonly watch: MongoWatch
  readonly queue: MongoQueue
}

export class MongoStore implements Store {
  readonly shared = true
  readonly documents: MongoDocuments
  readonly #options: MongoOptions
  readonly #trimGraceMs: number
  /** An end seen longer ago is looked up again: what stood behind it may have been trimmed and deleted by then. */
  readonly #endTrustMs: number
  #opened: Parts | undefined = undefined
  /** Where buckets may follow, and when that was seen. */
  readonly #ends = new LRUCache<string, { readonly seq: number; readonly seenMs: number }>({ max: mongoEndsMax })
  /** Places that this handle has sent a bucket to without an answer, with its nonce. */
  readonly #unanswered = new Map<string, string>()
  readonly #underWay = new Set<Promise<unknown>>()
  #sweep: NodeJS.Timeout | undefined

  constructor(options: MongoOptions) {
    this.#options = options
    this.#trimGraceMs = options.trimGraceMs ?? mongoTrimGraceMs
    this.#endTrustMs = (this.#trimGraceMs || mongoTrimGraceMs) / 2
    this.documents = new MongoDocuments(() => this.#parts.connection.database)
  }

  get healthy(): boolean {
    return this.#opened?.watch.healthy ?? false
  }

  get failure(): SyncError | undefined {
    return this.#opened?.watch.failure
  }

  async open({ epoch: asked, existing }: OpenOptions = {}): Promise<StoreIdentity> {
    const { url, logger, clock = systemClock, strict = false, reconnectMs, clockSkewMs } = this.#options
    const connection = await connect(url)
    const { client, database } = connection
    try {
      await this.#checkMajority(connection, strict)
      const buckets = new MongoBuckets(database)
      const { epoch } = await openIdentity(database, { isEmpty: () => buckets.isEmpty(), epoch: asked, existing: existing === true })
      const watch = new MongoWatch({ connection, epoch, clock, logger, reconnectMs, clockSkewMs })
      await watch.start()
      const trims = new MongoTrims(database, buckets, clock, this.#trimGraceMs)
      await trims.prepare()
      const [records, chunks, queue] = [new MongoRecords(database), new MongoChunks(database), new MongoQueue(database, logger)]
      this.#opened = { connection, buckets, records, chunks, trims, watch, queue }
      this.#sweep = setInterval(() => this.#sweepAgain(), mongoSweepMs).unref()
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
    this.#opened?.queue.close()
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

  /** The place behind a head is looked at, which is empty as a rule: that is one key, wherever the newest bucket is. */
  async moved(heads: readonly KnownHead[]): Promise<string[]> {
    const now = performance.now()
    const isTrusted = ({ seenMs }: KnownHead): boolean => now - seenMs < this.#endTrustMs
    const old = heads.filter((head) => !isTrusted(head)).map(({ stream }) => stream)
    return [...old, ...(await this.#parts.buckets.startingBehind(heads.filter(isTrusted)))]
  }

  commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    const committing = this.#commit(buckets, (bucket) => this.#verdictInTurn(bucket)).finally(() => this.#underWay.delete(committing))
    this.#underWay.add(committing)
    return committing
  }

  async adopt(buckets: readonly Bucket[]): Promise<void> {
    const { buckets: stored, watch } = this.#parts
    const outcomes = await stored.insert(buckets, (error) => watch.failed(error))
    const missing = buckets[outcomes.findIndex((outcome) => outcome !== 'stored')]
    if (missing) throw new SyncError('store-unavailable', `the database did not take ${missing.stream} ${missing.firstSeq}`)
  }

  async settle(bucket: Bucket): Promise<'stored' | 'taken' | 'absent'> {
    const { stream, firstSeq, nonce } = bucket
    const key = numberedKey(stream, firstSeq)
    if (this.#unanswered.get(key) !== nonce.toString('base64url')) {
      const [found] = await this.read(stream, { from: firstSeq, to: firstSeq, bytesMax: 1 })
      if (!found) return 'absent'
      return found.nonce.equals(nonce) ? 'stored' : 'taken'
    }
    const [outcome] = await this.#commit([bucket], () => this.#verdict(bucket))
    if (outcome !== 'stored' && outcome !== 'taken') {
      throw new SyncError('store-unavailable', `what became of ${stream} ${firstSeq} cannot be told yet`)
    }
    this.#unanswered.delete(key)
    return outcome
  }

  async read(stream: string, range: ReadRange): Promise<Bucket[]> {
    return await this.#parts.buckets.read(stream, range)
  }

  async changeRecord(stream: string, change: RecordChange): Promise<StreamRecord> {
    return await this.#parts.records.change(stream, change)
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

  /** Deletes what was trimmed long enough ago; happens every minute by itself. */
  async sweep(): Promise<void> {
    await this.#parts.trims.sweep()
  }

  get #parts(): Parts {
    if (!this.#opened) throw new SyncError('store-unavailable', 'the store is not open')
    return this.#opened
  }

  async #commit(buckets: readonly Bucket[], judge: (bucket: Bucket) => Promise<Verdict>): Promise<CommitOutcome[]> {
    const verdicts = await Promise.all(buckets.map(judge))
    const sent = buckets.filter((_bucket, index) => typeof verdicts[index] === 'number')
    const { buckets: stored, watch, queue } = this.#parts
    const sentMs = performance.now()
    const answers = (await stored.insert(sent, (error) => watch.failed(error))).values()
    const conclude = async (bucket: Bucket, verdict: Verdict): Promise<CommitOutcome> => {
      if (typeof verdict === 'string') return verdict
      const answer = answers.next().value as CommitOutcome
      const isLate = performance.now() - verdict > this.#endTrustMs
      return answer === 'stored' && isLate && (await this.#isTrimmed(bucket)) ? 'unknown' : answer
    }
    const outcomes = await Promise.all(buckets.map((bucket, index) => conclude(bucket, verdicts[index] as Verdict)))
    if (outcomes.every((outcome) => outcome === 'stored')) watch.succeeded()
    for (const [index, { stream, firstSeq, lastSeq, nonce }] of buckets.entries()) {
      if (outcomes[index] === 'stored') {
        this.#ends.set(stream, { seq: lastSeq, seenMs: sentMs })
        queue.won(stream)
      } else {
        this.#ends.delete(stream)
        queue.lost(stream)
      }
      if (outcomes[index] === 'unknown') this.#unanswered.set(numberedKey(stream, firstSeq), nonce.toString('base64url'))
    }
    return outcomes
  }

  /**
   * What can be said of a bucket without inserting it, or else when the end that it follows was seen in the store. A bucket
   * that begins within another one, or where others were trimmed, would find its place empty. Of one whose place was trimmed
   * nobody can say whose it was, even where its nonce stands there: it may have come after that.
   */
  async #verdict(bucket: Bucket): Promise<Verdict> {
    const { stream, firstSeq } = bucket
    const end = this.#ends.get(stream)
    if (end && end.seq + 1 === firstSeq && performance.now() - end.seenMs < this.#endTrustMs) return end.seenMs
    const seenMs = performance.now()
    const { last, record } = await this.load(stream)
    const lastSeq = last?.lastSeq ?? 0
    if ((record?.first ?? 1) > firstSeq) return 'taken'
    if (lastSeq >= firstSeq) return (await this.#parts.buckets.outcomeOf(bucket)) ?? 'taken'
    if (lastSeq === firstSeq - 1) return seenMs
    this.#options.logger.error({ stream, firstSeq, lastSeq }, 'the database has lost entries: nothing is appended to the stream')
    return 'unknown'
  }

  /** Others stand before this node: the place is left to them as if it were taken. */
  async #verdictInTurn(bucket: Bucket): Promise<Verdict> {
    return (await this.#parts.queue.isOurTurn(bucket.stream)) ? await this.#verdict(bucket) : 'taken'
  }

  /** Whether the stream begins behind the first entry of the bucket by now; so too where that cannot be read. */
  async #isTrimmed({ stream, firstSeq }: Bucket): Promise<boolean> {
    try {
      return ((await this.#parts.records.get(stream))?.first ?? 1) > firstSeq
    } catch (error) {
      this.#parts.watch.failed(error)
      return true
    }
  }

  #sweepAgain(): void {
    this.sweep().catch((error: unknown) => {
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
