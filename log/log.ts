/**
 * The ordered, durable log of every stream.
 *
 * - `append` is the only way in. Per stream the order is that of the calls, seqs are contiguous from 1 and
 *   never reused. A draft is settled without error only when its entry is durable [P-8.6].
 * - What one reader saw at a seq, every reader sees there for ever, until it is trimmed.
 * - A negative answer (conflict, ahead, caught up) is given only after the store has confirmed the head
 *   since the question [P-2.18].
 */
import { SyncError } from '../protocol/errors.ts'
import { systemClock, type Clock } from '../seams/clock.ts'
import type { Documents } from '../seams/documents.ts'
import { noHints, type Hints } from '../seams/hints.ts'
import { defaultLimits, type Limits } from '../seams/limits.ts'
import { silentLogger, type Logger } from '../seams/logger.ts'
import { noTelemetry, type Telemetry } from '../seams/telemetry.ts'
import type { Bucket } from './bucket.ts'
import { CatchUp } from './catch-up.ts'
import { Confirmations } from './confirmations.ts'
import { Draft, type DraftRequest } from './draft.ts'
import { settleRefused, storeDown } from './drafts.ts'
import { EnvelopeCache } from './envelope-cache.ts'
import type { Fold } from './fold.ts'
import { GroupCommit } from './group-commit.ts'
import { HeadPoll } from './head-poll.ts'
import { Maintenance } from './maintenance.ts'
import { Relay, type MayDeliver } from './relay.ts'
import { openUnsealed } from './seal.ts'
import { Snapshots } from './snapshots.ts'
import { StateCache } from './state-cache.ts'
import type { Store } from './stores/store.ts'
import { StreamQuota } from './stream-quota.ts'
import { Stream, type Follower } from './stream.ts'
import { TailCache } from './tail-cache.ts'

export interface LogOptions {
  readonly store: Store
  readonly clock?: Clock
  readonly limits?: Limits
  readonly logger?: Logger
  readonly telemetry?: Telemetry
  readonly hints?: Hints
  /** Who may send messages to whom; default everybody to everybody [P-15.6]. */
  readonly mayDeliver?: MayDeliver | undefined
}

export class Log {
  readonly epoch: string
  readonly documents: Documents
  /** Envelopes shared between readers. */
  readonly envelopes: EnvelopeCache
  /** Takes what clients publish. */
  readonly relay: Relay
  readonly limits: Limits
  readonly clock: Clock
  readonly #store: Store
  readonly #logger: Logger
  readonly #hints: Hints
  readonly #commits: GroupCommit
  readonly #tails: TailCache
  readonly #states: StateCache
  readonly #maintenance: Maintenance
  readonly #catchUp: CatchUp
  readonly #quota: StreamQuota
  readonly #streams = new Map<string, Stream>()
  readonly #loading = new Map<string, Promise<Stream>>()
  readonly #confirmations = new Confirmations((stream) => this.#catchUp.toHead(stream))
  readonly #stopListening: () => void
  readonly #poll: HeadPoll | undefined
  readonly #relieved: (() => void)[] = []
  readonly #observers = new Set<(bucket: Bucket) => void>()
  #pendingBytes = 0
  #closed = false

  /** Opens the store and the log on it; rejects with `store-unavailable` saying why it cannot. */
  static async open(options: LogOptions): Promise<Log> {
    const { epoch } = await openUnsealed(options.store)
    return new Log(epoch, options)
  }

  private constructor(epoch: string, options: LogOptions) {
    const { store, clock = systemClock, limits = defaultLimits, logger = silentLogger, telemetry = noTelemetry, hints = noHints } = options
    this.epoch = epoch
    this.documents = store.documents
    this.limits = limits
    this.clock = clock
    this.#store = store
    this.#logger = logger
    this.#hints = hints
    this.envelopes = new EnvelopeCache({ epoch, clock, bytesMax: limits.envelopeCacheBytesMax })
    this.relay = new Relay(this, options.mayDeliver)
    this.#tails = new TailCache(limits.tailCacheBytesMax)
    const snapshots = new Snapshots(store, limits)
    this.#states = new StateCache({
      snapshots,
      read: (stream, from) => this.read(stream, from),
      confirm: (stream) => this.confirmHead(stream),
      bytesMax: limits.stateCacheBytesMax,
      pinned: (stream) => this.#maintenance.holds(stream),
    })
    this.#maintenance = new Maintenance({
      store,
      snapshots,
      states: this.#states,
      limits,
      logger,
      readBucket: (s, seq) => this.#bucketWith(s, seq),
    })
    this.#catchUp = new CatchUp({
      store,
      limits,
      states: this.#states,
      advanced: (stream, bucket) => this.#advanced(stream, bucket),
      refresh: (stream) => this.refresh(stream),
    })
    this.#quota = new StreamQuota(clock, limits.newStreamsPerUserPerHourMax)
    this.#commits = new GroupCommit({
      store,
      epoch,
      clock,
      limits,
      logger,
      telemetry,
      loadFold: (stream) => this.#states.load(stream),
      catchUp: (stream) => this.#catchUp.toHead(stream),
      advanced: (stream, bucket, known) => {
        if (!known) this.#advanced(stream, bucket)
        this.#hints.send({ type: 'head', stream: stream.name, seq: stream.headSeq })
        for (const observe of this.#observers) observe(bucket)
      },
      released: (bytes) => this.#released(bytes),
    })
    this.#stopListening = hints.listen((hint) => {
      if (hint.type !== 'head') return
      const stream = this.#streams.get(hint.stream)
      if (stream?.loaded && hint.seq > stream.headSeq) this.#catchUp.hinted(stream, hint.seq)
    })
    // Hints may be lost: followed streams are looked at in any case.
    if (store.shared) this.#poll = new HeadPoll({ store, limits, logger, streams: this.#streams, look: (stream) => this.refresh(stream) })
  }

  /** Why nothing can be appended now, as far as known. */
  get failure(): SyncError | undefined {
    if (this.#closed) return new SyncError('stopping', 'the server is stopping')
    return this.#store.healthy ? undefined : storeDown(this.#store.failure)
  }

  /** Whether heads can move without this node's doing. */
  get shared(): boolean {
    return this.#store.shared
  }

  /** Streams in memory and bytes of their newest buckets, for metrics. */
  get inMemory(): { streams: number; tailBytes: number; stateBytes: number; pendingBytes: number } {
    return { streams: this.#streams.size, tailBytes: this.#tails.bytes, stateBytes: this.#states.bytes, pendingBytes: this.#pendingBytes }
  }

  /** Appends the draft; its sink hears once what became of it. Drafts of one stream keep their order. */
  append(name: string, draft: Draft): void {
    const { failure } = this
    if (failure) return settleRefused(draft, failure)
    const stream = this.#streams.get(name) ?? this.#enter(name)
    const refusal = stream.loaded ? this.refusalToBegin(stream, draft) : undefined
    if (refusal) return settleRefused(draft, refusal)
    stream.used = true
    stream.pending.push(draft)
    this.#pendingBytes += draft.bytes
    this.#commits.arrived(stream)
  }

  /** What a draft of the stream had to come after has been settled. */
  resume(name: string): void {
    const stream = this.#streams.get(name)
    if (stream) this.#commits.add(stream)
  }

  /** As `append`, for those who wait for one entry: resolves with the settled draft, rejects with its error. */
  publish(name: string, request: Omit<DraftRequest, 'sink'>): Promise<Draft> {
    return new Promise((resolve, reject) => {
      const settled = (draft: Draft): void => (draft.error ? reject(draft.error) : resolve(draft))
      this.append(name, Draft.of({ ...request, sink: { settled } }))
    })
  }

  /** Whether so much waits to be committed that publishers should pause. */
  get pressed(): boolean {
    return this.#pendingBytes > this.limits.appendBytesPerNodeMax
  }

  /** Calls back once when the log is no longer pressed. */
  whenRelieved(callback: () => void): void {
    if (this.pressed) this.#relieved.push(callback)
    else callback()
  }

  /** The stream with its ends as the store knew them when it was last read. */
  stream(name: string): Promise<Stream> {
    const stream = this.#streams.get(name) ?? this.#enter(name)
    stream.used = true
    return stream.loaded ? Promise.resolve(stream) : (this.#loading.get(name) as Promise<Stream>)
  }

  /** As `stream`, and from now on the follower hears of new entries, in the turn in which they are committed. */
  async follow(name: string, follower: Follower): Promise<Stream> {
    const stream = await this.stream(name)
    // Between the promise and here the stream may have been forgotten, but only if somebody else brought in another.
    const current = this.#streams.get(name) ?? stream
    this.#streams.set(name, current)
    current.followers.add(follower)
    return current
  }

  /** Calls the observer with every bucket that this node commits, until the returned function is called. */
  observe(observer: (bucket: Bucket) => void): () => void {
    this.#observers.add(observer)
    return () => void this.#observers.delete(observer)
  }

  unfollow(stream: Stream, follower: Follower): void {
    stream.followers.delete(follower)
  }

  /**
   * Resolves once the store has confirmed the head at a moment after the call; `stream.headSeq` is then true
   * or older than the truth by less than this call took. Concurrent calls share the question.
   */
  confirmHead(stream: Stream): Promise<void> {
    if (!this.#store.shared) return Promise.resolve()
    return this.#confirmations.confirm(stream)
  }

  /** Looks for new entries; resolves also where the store does not answer. */
  async refresh(stream: Stream): Promise<void> {
    await this.confirmHead(stream).catch((error: unknown) => {
      this.#logger.warn({ error, stream: stream.name }, 'the head of a stream could not be read')
    })
  }

  /** The buckets from the one that holds `from` on, as many as one read brings; empty beyond the head. */
  async read(stream: Stream, from: number, bytesMax = this.limits.readBytesMax): Promise<Bucket[]> {
    if (from > stream.headSeq) return []
    const cached = stream.cached(from)
    if (cached) return stream.tail.slice(stream.tail.indexOf(cached))
    return await this.#store.read(stream.name, { from, to: stream.headSeq, bytesMax })
  }

  /** The buckets that hold `to` and the entries before it, newest first, as many as one read brings. */
  async readBackwards(stream: Stream, to: number, bytesMax = this.limits.readBytesMax): Promise<Bucket[]> {
    return await this.#store.read(stream.name, { from: stream.first, to, bytesMax, reverse: true })
  }

  /** The state at the head; it goes on changing with it. */
  async state(stream: Stream): Promise<Fold> {
    if (!stream.fold) await this.#states.load(stream)
    return stream.fold as Fold
  }

  /**
   * Lets the stream begin at `before`: first the state up to there is durable, then the beginning, then the
   * entries go. Resolves with the first readable seq. The newest bucket stays on disk, so seqs never restart.
   * The state is not kept as it was before `coveredTo`.
   */
  async trim(name: string, before: number, coveredTo?: number): Promise<number> {
    const stream = await this.stream(name)
    await this.confirmHead(stream)
    const first = await this.#maintenance.trim(stream, Math.min(before, stream.headSeq + 1), coveredTo)
    for (const follower of stream.followers) follower.moved(stream)
    return first
  }

  /** The mark of `seq`, which must be readable or the one before the first. */
  async markOf(stream: Stream, seq: number): Promise<string> {
    if (seq === stream.headSeq) return stream.headMark
    if (seq === stream.first - 1) return stream.markBefore
    return (await this.#bucketWith(stream, seq)).mark
  }

  /** Names of stored streams in ascending order, those after `after`. */
  streams(after: string, limit: number): Promise<string[]> {
    return this.#store.streams(after, limit)
  }

  /** Refuses new drafts, finishes what waits, closes the store. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stopListening()
    this.#poll?.stop()
    await this.#commits.drained()
    this.#commits.close()
    await this.#maintenance.drained()
    await this.#store.close()
  }

  #enter(name: string): Stream {
    this.#forgetIdle()
    const stream = new Stream(name)
    this.#streams.set(name, stream)
    const loading = this.#load(stream).finally(() => this.#loading.delete(name))
    this.#loading.set(name, loading)
    loading.catch((error: unknown) => {
      this.#streams.delete(name)
      this.#logger.error({ error, stream: name }, 'a stream could not be read')
      this.#refuse(stream, () => storeDown(error))
    })
    return stream
  }

  async #load(stream: Stream): Promise<Stream> {
    const askedMs = performance.now()
    stream.load(await this.#store.load(stream.name))
    stream.headSeenMs = askedMs
    const [first] = stream.pending
    const refusal = first && this.refusalToBegin(stream, first)
    if (refusal) {
      this.#streams.delete(stream.name)
      this.#refuse(stream, () => refusal)
    }
    this.#commits.add(stream)
    return stream
  }

  /** Counts a stream that the draft begins; why it may not, where that is one too many [P-13.23]. */
  refusalToBegin(stream: Stream, { from }: Draft): SyncError | undefined {
    if (stream.headSeq > 0 || stream.begun) return undefined
    stream.begun = this.#quota.admit(from)
    if (stream.begun) return undefined
    const { newStreamsPerUserPerHourMax } = this.limits
    return new SyncError('too-many-requests', `${from} has begun ${newStreamsPerUserPerHourMax} streams within an hour, which is the limit`)
  }

  #refuse(stream: Stream, error: () => SyncError): void {
    for (const draft of stream.pending.splice(0)) {
      this.#released(draft.bytes)
      settleRefused(draft, error())
    }
  }

  /** Streams that nobody follows or writes to leave memory; their next use costs one seek. */
  #forgetIdle(): void {
    if (this.#streams.size < this.limits.idleStreamsMax || this.#streams.size % 64 !== 0) return
    let left = 256
    for (const [name, stream] of this.#streams) {
      if (left-- === 0) break
      this.#streams.delete(name)
      const busy =
        !stream.loaded || stream.committing || stream.pending.length > 0 || stream.followers.size > 0 || this.#maintenance.holds(stream)
      if (busy || stream.used) {
        stream.used = false
        this.#streams.set(name, stream) // To the end: the next sweeps look at others first.
      } else {
        this.#states.forget(stream)
        stream.tail.length = 0
      }
    }
  }

  #advanced(stream: Stream, bucket: Bucket): void {
    this.#tails.added(stream, bucket)
    this.#states.touched(stream)
    this.#maintenance.advanced(stream)
    for (const follower of stream.followers) follower.moved(stream)
  }

  async #bucketWith(stream: Stream, seq: number): Promise<Bucket> {
    const bucket = stream.cached(seq) ?? (await this.#store.read(stream.name, { from: seq, to: seq, bytesMax: 1 }))[0]
    if (!bucket || bucket.firstSeq > seq) throw new Error(`${stream.name}: seq ${seq} is missing in the store`)
    return bucket
  }

  #released(bytes: number): void {
    this.#pendingBytes -= bytes
    if (this.#relieved.length === 0 || this.#pendingBytes > this.limits.appendBytesPerNodeMax / 2) return
    for (const callback of this.#relieved.splice(0)) callback()
  }
}
