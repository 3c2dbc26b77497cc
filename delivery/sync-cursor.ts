/**
 * One filter of a reader with its own place in the log: envelopes with positions, and control messages in order with
 * them [P-6.1]. The sync door and event streams read like this; what they send looks different.
 */
import type { Bucket } from '../log/bucket.ts'
import { encodeEnvelope } from '../log/envelope.ts'
import type { Fold, Retained } from '../log/fold.ts'
import { beginning, checkPosition, firstPosition, headPosition } from '../log/history.ts'
import type { Log } from '../log/log.ts'
import { hasMembers } from '../log/members.ts'
import { Reader } from '../log/reader.ts'
import type { Stream } from '../log/stream.ts'
import type { SyncStart } from '../protocol/filters.ts'
import { TopicFilter } from '../protocol/topic-filter.ts'
import { emptyMark, formatPosition, type Position } from '../protocol/positions.ts'
import { openStream } from '../protocol/topics.ts'

export interface SyncRequest {
  /** In terms of plain topics. */
  readonly filter: string
  readonly start: SyncStart
}

/** What a cursor may use of its connection while it delivers. */
export interface SyncOutlet {
  readonly log: Log
  /** Bytes that may still be written before the peer has read what it got. */
  readonly bytesLeft: number
  /** Entries went out; `committedMs` is when the newest was on disk, where known. */
  delivered(entries: number, committedMs: number | undefined): void
  /** Up to which index the entries of a bucket may be shown: the one that withdraws the user, or all of them [P-16.2]. */
  shownUntil(bucket: Bucket): number
  /** Whether the user is no withdrawn member, as this state of the stream says. */
  mayShow(stream: Stream, state: Fold): boolean
  /** There is more to deliver. */
  kick(): void
  /** The connection cannot go on: the log cannot be read. */
  fail(reason: string, error: unknown): void
}

/** What is said beside entries [P-6.9]. */
export interface SyncMessage {
  readonly ctl: 'at' | 'reset' | 'ended' | 'snapshot-start' | 'snapshot-end'
  readonly pos?: string
  readonly head?: string
  readonly first?: string
  readonly ts?: number
  readonly reason?: string
}

/** What a filter sends, in the form of its door. */
export interface SyncSink {
  /** Entries that may still be sent before the client has acknowledged others. */
  readonly room: number
  /** Whether entries of a topic have a place on this door. */
  fits(topic: string): boolean
  /** Gathers an entry and returns the bytes that it takes. */
  entry(topic: string, envelope: Buffer, seq: number, mark: string): number
  /** Sends what was gathered. */
  flush(): void
  ephemeral(topic: string, envelope: Buffer): void
  control(message: SyncMessage): void
}

export class SyncCursor {
  readonly stream: Stream
  readonly filter: TopicFilter
  readonly #start: SyncStart
  readonly #outlet: SyncOutlet
  readonly #sink: SyncSink
  readonly #reader: Reader
  /** Whether every entry of the stream matches. */
  readonly #whole: boolean
  /** `closed`: nothing more comes until the client subscribes again. */
  #state: 'starting' | 'snapshot' | 'tail' | 'resetting' | 'closed' = 'starting'
  /** The place after what the client has got: it may go on from there, also within a snapshot [P-6.17]. */
  #next = 1
  #markBefore = emptyMark
  /** The entry that a filter from `earliest` begins with. */
  #beginning = -1
  #snapshot: { readonly entries: readonly Retained[]; readonly seq: number; readonly mark: string; at: number } | undefined = undefined
  /** The client has been told that it is caught up at this seq. */
  #announced = -1
  #lastSentMs = 0
  #announcing = false

  constructor(stream: Stream, { filter, start }: SyncRequest, outlet: SyncOutlet, sink: SyncSink) {
    this.stream = stream
    this.filter = new TopicFilter(filter)
    this.#start = start
    this.#outlet = outlet
    this.#sink = sink
    this.#whole = stream.name !== openStream && filter === `${stream.name}/#`
    this.#reader = new Reader(outlet.log, stream, outlet)
  }

  /** Everything up to here was sent; the client alone knows what it has. */
  get acked(): number {
    return this.#next - 1
  }

  /** Finds where to begin; called once the answer is on its way. The head captured when it was asked for is passed in. */
  async start(captured: { seq: number; mark: string }): Promise<void> {
    const { log } = this.#outlet
    const start = this.#start
    this.#lastSentMs = log.clock.now()
    if (start === 'snapshot') return this.#startSnapshot()
    let from: Position
    if (start === 'now') from = { epoch: log.epoch, ...captured }
    else if (start === 'earliest') from = beginning(log, this.stream)
    else from = start
    this.#next = from.seq + 1
    this.#markBefore = from.mark
    // Who begins here holds nothing that this entry could have erased.
    if (start === 'earliest') this.#beginning = this.#next
    const unservable = await checkPosition(log, this.stream, from)
    if (this.#closed) return
    if (unservable) return this.#reset(unservable.reason)
    // What withdrew the user may stand before the position that was asked for.
    if (hasMembers(this.stream.name) && !this.#outlet.mayShow(this.stream, await log.state(this.stream))) return this.end('withdrawn')
    await this.#startTail()
  }

  /** From the first `at` on, entries follow: none comes before it [P-6.15]. */
  async #startTail(): Promise<void> {
    this.#state = 'starting'
    const first = await firstPosition(this.#outlet.log, this.stream)
    if (this.#closed) return
    this.#state = 'tail'
    this.#at(first)
    this.#outlet.kick()
  }

  /** Sends a run of envelopes; true if it is behind and could go on, given room. */
  deliver(): boolean {
    if (this.#state === 'snapshot') return this.#deliverSnapshot()
    if (this.#state !== 'tail') return false
    if (this.#next > this.stream.headSeq) {
      if (this.#announced !== this.stream.headSeq) this.#announce()
      return false
    }
    if (this.#next < this.stream.first) {
      void this.#reset('trimmed')
      return false
    }
    const { bytesLeft } = this.#outlet
    if (bytesLeft <= 0 || this.#sink.room <= 0) return true
    const bucket = this.#reader.at(this.#next)
    if (!bucket) return false
    this.#deliverRun(bucket, bytesLeft)
    return true
  }

  /** At least every `atIntervalMs` without a matching entry the reader hears how far it is complete [P-6.15]. */
  tick(nowMs: number): void {
    if (this.#state === 'tail' && nowMs - this.#lastSentMs >= this.#outlet.log.limits.atIntervalMs) {
      this.#lastSentMs = nowMs
      this.#announced = -1
      this.#announce()
    }
  }

  /** A QoS 0 message of the stream, live [P-3.13]. */
  ephemeral(topic: string, envelope: Buffer): void {
    if (this.#state !== 'tail' || this.#outlet.bytesLeft <= 0 || !this.#deliverable(topic)) return
    this.#sink.ephemeral(topic, envelope)
  }

  /** It is not for this user any more [P-6.12]. */
  end(reason: 'grant' | 'withdrawn' | 'erased'): void {
    if (this.#state === 'closed') return
    const pos = formatPosition(this.#outlet.log.epoch, this.#next - 1, this.#markBefore)
    this.close()
    this.#sink.control({ ctl: 'ended', reason, pos })
  }

  close(): void {
    this.#state = 'closed'
    this.#snapshot = undefined
    this.#reader.close()
  }

  get #closed(): boolean {
    return this.#state === 'closed'
  }

  async #startSnapshot(): Promise<void> {
    const { log } = this.#outlet
    await log.confirmHead(this.stream)
    const fold = await log.state(this.stream)
    if (this.#closed) return
    if (!this.#outlet.mayShow(this.stream, fold)) return this.end('withdrawn')
    const { seq, mark } = fold
    const entries = fold.states().filter(({ entry }) => this.#deliverable(entry.topic))
    this.#snapshot = { entries, seq, mark, at: 0 }
    this.#state = 'snapshot'
    this.#sink.control({ ctl: 'snapshot-start', pos: formatPosition(log.epoch, seq, mark) })
    this.#outlet.kick()
  }

  #deliverSnapshot(): boolean {
    const snapshot = this.#snapshot
    if (!snapshot) return false
    const { log } = this.#outlet
    // What was erased meanwhile is not sent, and the tail behind it cannot be: the client begins anew.
    if (snapshot.seq < this.stream.erasedBefore) {
      void this.#reset('trimmed')
      return false
    }
    let { bytesLeft } = this.#outlet
    for (; snapshot.at < snapshot.entries.length && bytesLeft > 0 && this.#sink.room > 0; snapshot.at++) {
      const { entry } = snapshot.entries[snapshot.at] as Retained
      const envelope = encodeEnvelope(entry, formatPosition(log.epoch, entry.seq, entry.mark))
      bytesLeft -= this.#sink.entry(entry.topic, envelope, entry.seq, entry.mark)
      this.#next = entry.seq + 1
      this.#markBefore = entry.mark
    }
    this.#sink.flush()
    if (snapshot.at < snapshot.entries.length) return true
    this.#snapshot = undefined
    this.#next = snapshot.seq + 1
    this.#markBefore = snapshot.mark
    this.#sink.control({ ctl: 'snapshot-end', pos: formatPosition(log.epoch, snapshot.seq, snapshot.mark) })
    this.#startTail().catch((error: unknown) => this.#outlet.fail('the log cannot be read', error))
    return false
  }

  #deliverRun(bucket: Bucket, bytesLeft: number): void {
    const { log } = this.#outlet
    const sink = this.#sink
    let entries = 0
    let index = this.#next - bucket.firstSeq
    const until = this.#outlet.shownUntil(bucket)
    for (; index < until && sink.room > 0 && bytesLeft > 0; index++) {
      const topic = bucket.topic(index)
      if (!this.#whole && !this.#deliverable(topic)) continue
      bytesLeft -= sink.entry(topic, log.envelopes.of(bucket, index), bucket.firstSeq + index, bucket.mark)
      entries++
    }
    // Of a bucket whose first entry is not shown the position before stays what it was.
    if (index > 0) this.#markBefore = bucket.mark
    this.#next = bucket.firstSeq + index
    if (entries > 0) {
      this.#lastSentMs = log.clock.now()
      sink.flush()
      this.#outlet.delivered(entries, bucket.hops?.committed)
    }
    if (until < bucket.count && index >= until) this.end('withdrawn')
    else if (bucket.erases && bucket.lastSeq !== this.#beginning) this.end('erased')
  }

  #deliverable(topic: string): boolean {
    return this.filter.matches(topic) && this.#sink.fits(topic)
  }

  /** Says that the reader is caught up, once the store has confirmed that it is. */
  #announce(): void {
    if (this.#announcing) return
    this.#announcing = true
    this.#outlet.log
      .confirmHead(this.stream)
      .then(() => this.#sendAt())
      .catch((error: unknown) => this.#outlet.fail('the log cannot be read', error))
      .finally(() => (this.#announcing = false))
  }

  async #sendAt(): Promise<void> {
    const { log } = this.#outlet
    const first = await firstPosition(log, this.stream)
    if (this.#state === 'tail') this.#at(first)
  }

  /** Says how far the reader is complete [P-6.10]. */
  #at(first: string): void {
    const { log } = this.#outlet
    if (this.#next > this.stream.headSeq) this.#announced = this.stream.headSeq
    const pos = formatPosition(log.epoch, this.#next - 1, this.#markBefore)
    this.#sink.control({ ctl: 'at', pos, head: headPosition(log, this.stream), first, ts: log.clock.now() })
  }

  async #reset(reason: 'trimmed' | 'epoch' | 'ahead'): Promise<void> {
    const { log } = this.#outlet
    this.#state = 'resetting'
    try {
      const first = await firstPosition(log, this.stream)
      // A filter that was subscribed again meanwhile, or ended, has nothing more to say: its successor would be taken for over.
      if (this.#closed) return
      this.close()
      this.#sink.control({ ctl: 'reset', reason, first, head: headPosition(log, this.stream) })
    } catch (error) {
      this.#outlet.fail('the log cannot be read', error)
    }
  }
}
