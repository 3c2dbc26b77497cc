/**
 * Group commit: everything that arrived while the last commit was on its way goes into the next one, for all
 * streams together, with one sync. One commit is in flight; where it takes long and the store is shared, others start
 * beside it for other streams. What a bucket may hold is judged against the very head it builds on; because it is stored
 * only at that head, the judgement is exact [P-9.16].
 */
import type { SyncError } from '../protocol/errors.ts'
import type { Clock } from '../seams/clock.ts'
import { collisionPauseMsMax, stalledLookMs, unknownPauseMs, type Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import type { Telemetry } from '../seams/telemetry.ts'
import { drawNonce, markOf, packBucket, type Bucket } from './bucket.ts'
import { CommitPace } from './commit-pace.ts'
import { CommitsInFlight } from './commits-in-flight.ts'
import type { Draft } from './draft.ts'
import { hasBucket, putBack, refuse, unavailable, type Part, type PartWithBucket } from './drafts.ts'
import { roomOf } from './inbox-sizes.ts'
import { Judge } from './judge.ts'
import { aclTopicOf } from './members.ts'
import type { CommitOutcome, Store } from './stores/store.ts'
import type { Stream } from './stream.ts'

export interface GroupCommitParts {
  readonly store: Store
  readonly epoch: string
  readonly clock: Clock
  readonly limits: Limits
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Makes `stream.fold` the state at the head, or rejects. */
  loadFold(stream: Stream): Promise<void>
  /** Reads what others appended, up to the stored head. */
  catchUp(stream: Stream): Promise<void>
  /** A bucket was stored at the head; `known`: the log has read it already. */
  advanced(stream: Stream, bucket: Bucket, known: boolean): void
  /** Drafts were settled: their bytes wait no longer. */
  released(bytes: number): void
}

export class GroupCommit {
  readonly #parts: GroupCommitParts
  #dirty: Stream[] = []
  readonly #inFlight: CommitsInFlight<Part>
  /** Streams whose next draft comes after one of another stream: looked at with every commit. */
  readonly #behind = new Set<Stream>()
  /** Of the commit being built. */
  #number = 0
  readonly #pace: CommitPace
  /** Streams whose drafts are judged again, or wait for that, outside any commit. */
  #aside = 0
  #drained: (() => void)[] = []
  readonly #watch: NodeJS.Timeout

  constructor(parts: GroupCommitParts) {
    this.#parts = parts
    const { store, limits } = parts
    // What an atomic store is given together may rest on the commit before it.
    const max = store.atomic ? 1 : limits.commitsInFlightMax
    this.#inFlight = new CommitsInFlight({ max, overlapMs: limits.commitOverlapMs, due: () => this.#next() })
    this.#pace = new CommitPace(() => void this.#commit(), limits.commitPauseMs)
    this.#watch = setInterval(() => this.#refuseStalled(), stalledLookMs).unref()
  }

  /** Another draft waits in this stream. */
  arrived(stream: Stream): void {
    this.#pace.arrived()
    this.add(stream)
  }

  /** The stream has drafts to commit, if any wait in it. */
  add(stream: Stream): void {
    if (stream.dirty || stream.committing || !stream.loaded || stream.pending.length === 0) return
    stream.dirty = true
    this.#dirty.push(stream)
    if (this.#inFlight.mayStart()) this.#pace.schedule()
  }

  /** Resolves when nothing waits and nothing is in flight. */
  drained(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve()
    return new Promise((resolve) => void this.#drained.push(resolve))
  }

  close(): void {
    clearInterval(this.#watch)
  }

  async #commit(): Promise<void> {
    const taken = this.#take()
    if (taken.length === 0) return this.#next()
    const commit = this.#inFlight.begin(taken)
    const withBucket = taken.filter(hasBucket)
    const outcomes = await this.#store(withBucket.map(({ bucket }) => bucket))
    this.#conclude(withBucket, outcomes, this.#inFlight.end(commit))
    // The next write starts before the fan-out of this one.
    this.#next()
    withBucket.forEach((part, index) => {
      if (outcomes[index] === 'stored') this.#settleStored(part)
    })
    for (const part of taken) if (!part.bucket) void this.#setAside(this.#settleRefused(part))
    this.#next()
  }

  #next(): void {
    if (this.#dirty.length > 0) {
      if (this.#inFlight.mayStart()) this.#pace.schedule()
      return
    }
    if (!this.#isIdle()) return
    for (const resolve of this.#drained.splice(0)) resolve()
  }

  #isIdle(): boolean {
    if (!this.#inFlight.none || this.#dirty.length > 0 || this.#aside > 0) return false
    // What they come after has been settled, or is about to be: then they are looked at again.
    for (const { pending } of this.#behind) if (pending.length > 0) return false
    return true
  }

  async #store(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    if (buckets.length === 0) return []
    try {
      return await this.#parts.store.commit(buckets)
    } catch (error) {
      this.#parts.logger.error({ error }, 'a commit failed: its outcome is unknown')
      return buckets.map(() => 'unknown')
    }
  }

  /** Moves the heads before anybody hears of it, so that the next commit can be built at once. */
  #conclude(parts: readonly PartWithBucket[], outcomes: readonly CommitOutcome[], durationMs: number): void {
    let entries = 0
    let bytes = 0
    let oldestMs = Infinity
    parts.forEach((part, index) => {
      const { stream, bucket } = part
      if (outcomes[index] === 'stored') {
        entries += bucket.count
        bytes += bucket.value.length
        oldestMs = Math.min(oldestMs, part.drafts[0]?.receivedMs ?? Infinity)
        this.#advance(part)
      } else if (outcomes[index] === 'taken') {
        void this.#setAside(this.#tryAgain(part))
      } else {
        void this.#resolveUnknown(part)
      }
      if (outcomes[index] === 'stored') this.add(stream)
    })
    this.#pace.ended(entries)
    if (entries === 0) return
    this.#parts.telemetry.committed(parts.length, entries, bytes, durationMs)
    this.#parts.telemetry.appended(this.#parts.clock.now() - oldestMs)
  }

  #advance(part: PartWithBucket): void {
    const { stream, bucket, drafts } = part
    const committed = this.#parts.clock.now()
    const received: number[] = []
    for (const draft of drafts) if (!draft.error && !draft.duplicate) received.push(draft.receivedMs)
    bucket.hops = { received, authorised: bucket.ts, committed }
    stream.committing = false
    stream.collisions = 0
    part.known = stream.headSeq >= bucket.lastSeq
    if (!part.known) stream.advance(bucket)
  }

  #settleStored(part: PartWithBucket): void {
    this.#parts.advanced(part.stream, part.bucket, part.known)
    this.#settle(part.drafts)
  }

  #settle(drafts: readonly Draft[]): void {
    let bytes = 0
    for (const draft of drafts) {
      if (draft.settled) continue
      draft.settled = true
      bytes += draft.bytes
      draft.sink.settled(draft)
    }
    this.#parts.released(bytes)
  }

  /** Nothing was appended, so no commit confirmed the head: a refusal is final only once the store has [P-2.18]. */
  async #settleRefused({ stream, drafts, judgedAt }: Part): Promise<void> {
    if (this.#parts.store.shared) {
      try {
        await this.#parts.catchUp(stream)
      } catch (error) {
        refuse(drafts, unavailable(error))
      }
      if (placeOf(stream) !== judgedAt) {
        putBack(stream, drafts)
        stream.committing = false
        return this.add(stream)
      }
    }
    stream.committing = false
    this.#settle(drafts)
    this.add(stream)
  }

  /** Somebody else wrote at this head: read on, judge again, and let the others have a turn. */
  async #tryAgain({ stream, drafts }: Part): Promise<void> {
    try {
      await this.#parts.catchUp(stream)
    } catch (error) {
      refuse(drafts, unavailable(error))
      this.#settle(drafts)
      stream.committing = false
      return this.add(stream)
    }
    putBack(stream, drafts)
    const pauseMsMax = Math.min(collisionPauseMsMax, 2 ** ++stream.collisions)
    await new Promise<void>((resolve) => void setTimeout(resolve, Math.random() * pauseMsMax))
    stream.committing = false
    this.add(stream)
  }

  /** Whoever waits for the end waits for this work too. */
  async #setAside(work: Promise<void>): Promise<void> {
    this.#aside++
    await work.finally(() => this.#aside--)
    this.#next()
  }

  /**
   * Nobody is told that an entry is stored, or that it is not, before the store is certain. Who waits is
   * refused when the first question has no answer; the stream stays closed until there is one.
   */
  async #resolveUnknown(part: PartWithBucket): Promise<void> {
    const { stream, drafts, bucket } = part
    this.#parts.telemetry.storeFailed()
    for (let pauseMs: number = unknownPauseMs.min; ; pauseMs = Math.min(pauseMs * 2, unknownPauseMs.max)) {
      try {
        const found = await this.#parts.store.settle(bucket)
        if (found === 'stored') {
          this.#advance(part)
          this.#settleStored(part)
        } else if (found === 'taken' && !(await this.#wasTrimmed(part))) {
          return await this.#setAside(this.#tryAgain({ ...part, drafts: drafts.filter(({ settled }) => !settled) }))
        } else {
          refuse(drafts, unavailable())
          this.#settle(drafts)
          stream.committing = false
        }
        return this.add(stream)
      } catch (error) {
        if (pauseMs > unknownPauseMs.patience) {
          refuse(drafts, unavailable(error))
          this.#settle(drafts)
          this.#refusePending(stream)
        }
        await new Promise<void>((resolve) => void setTimeout(resolve, pauseMs).unref())
      }
    }
  }

  /** Whether what stood at its place is gone: then nobody can tell whose it was, and a second try might append it twice [P-8.8]. */
  async #wasTrimmed({ stream, bucket }: PartWithBucket): Promise<boolean> {
    await this.#parts.catchUp(stream)
    return bucket.firstSeq < stream.first
  }

  /** The drafts of the next commit: the oldest dirty streams, within the bounds of a commit and of a bucket. */
  #take(): Part[] {
    const { commitStreamsMax, commitBytesMax } = this.#parts.limits
    const parts: Part[] = []
    const streams = this.#dirty
    let bytes = 0
    let at = 0
    this.#number++
    const take = (stream: Stream): number => {
      const part = this.#prepare(stream)
      if (part) parts.push(part)
      return part?.bucket?.value.length ?? 0
    }
    while (at < streams.length && parts.length < commitStreamsMax && bytes < commitBytesMax) {
      const stream = streams[at++] as Stream
      stream.dirty = false
      if (stream.pending[0]?.after) this.#behind.add(stream)
      else bytes += take(stream)
    }
    // What goes together with drafts of other streams is looked at when those have been taken.
    const behind = [...this.#behind]
    this.#behind.clear()
    for (const stream of behind) if (!stream.dirty && !stream.committing) take(stream)
    this.#dirty = streams.slice(at)
    return parts
  }

  /** Whether the draft that this one must not be without is on disk, refused, or part of the commit being built. */
  #mayFollow({ after }: Draft): boolean {
    if (!after || after.settled) return true
    return this.#parts.store.atomic === true && after.commit === this.#number
  }

  #prepare(stream: Stream): Part | undefined {
    const { bucketEntriesMax, bucketBytesMax } = this.#parts.limits
    const { pending } = stream
    let bytes = 0
    let count = 0
    let needsFold = false
    while (count < pending.length && count < bucketEntriesMax) {
      const draft = pending[count] as Draft
      if (!this.#mayFollow(draft) || (draft.erases && count > 0)) break
      bytes += draft.bytes
      // What a draft takes beside its frame is bounded by its names, id and four bytes.
      if (count > 0 && bytes + count * 256 > bucketBytesMax) break
      needsFold ||= draft.needsJudgement
      count++
      if (draft.erases) break
    }
    if (count === 0) {
      if (pending.length > 0) this.#behind.add(stream)
      return undefined
    }
    if (needsFold && !stream.fold) {
      this.#prepareFold(stream)
      return undefined
    }
    const drafts = count === pending.length ? pending : pending.slice(0, count)
    stream.pending = count === pending.length ? [] : pending.slice(count)
    stream.committing = true
    return this.#build(stream, drafts, needsFold)
  }

  #build(stream: Stream, drafts: readonly Draft[], needsFold: boolean): Part {
    const nonce = drawNonce()
    const ts = Math.max(this.#parts.clock.now(), stream.headTs)
    const mark = markOf(nonce)
    const firstSeq = stream.headSeq + 1
    let accepted = drafts
    if (needsFold) {
      const judge = new Judge(stream.fold, {
        epoch: this.#parts.epoch,
        nextSeq: firstSeq,
        mark,
        nonce,
        ts,
        aclTopic: aclTopicOf(stream.name),
        room: roomOf(stream, this.#parts.limits),
      })
      accepted = drafts.filter((draft) => judge.judge(draft))
    }
    const judgedAt = placeOf(stream)
    if (accepted.length === 0) return { stream, drafts, bucket: undefined, judgedAt, known: false }
    let seq = stream.headSeq
    for (const draft of accepted) {
      draft.seq = ++seq
      draft.mark = mark
      draft.commit = this.#number
    }
    return { stream, drafts, bucket: packBucket(stream.name, firstSeq, nonce, ts, accepted), judgedAt, known: false }
  }

  /** The stream waits for its state; the others do not. */
  #prepareFold(stream: Stream): void {
    stream.committing = true
    const loading = this.#parts
      .loadFold(stream)
      .catch((error: unknown) => {
        this.#parts.logger.error({ error, stream: stream.name }, 'the state of a stream could not be read')
        this.#refusePending(stream, unavailable(error))
      })
      .finally(() => {
        stream.committing = false
        this.add(stream)
      })
    void this.#setAside(loading)
  }

  #refusePending(stream: Stream, error: SyncError = unavailable()): void {
    const drafts = stream.pending
    stream.pending = []
    refuse(drafts, error)
    this.#settle(drafts)
  }

  /** A store that does not answer holds nobody for ever. What it stores late is found in the log. */
  #refuseStalled(): void {
    const { parts, isAll } = this.#inFlight.stalled(this.#parts.limits.appendTimeoutMs)
    if (parts.length === 0) return
    this.#parts.logger.error({}, 'the store has not answered a commit in time: who waits is refused')
    for (const { stream, drafts } of parts) {
      refuse(drafts, unavailable())
      this.#settle(drafts)
      this.#refusePending(stream)
    }
    if (isAll) for (const stream of this.#dirty) this.#refusePending(stream)
  }
}

/** Changes whenever the head or the beginning does: both only ever rise. */
function placeOf(stream: Stream): number {
  return stream.headSeq + stream.first
}
