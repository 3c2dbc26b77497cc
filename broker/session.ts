/**
 * What a client has subscribed to, and how far it has got. A clean=0 session outlives its connection as a
 * record; while connected, this is the one that delivers.
 */
import { Following } from '../delivery/following.ts'
import type { LiveMessage, LiveReader } from '../delivery/live.ts'
import { SyncCursor } from '../delivery/sync-cursor.ts'
import type { Pumped } from '../delivery/turn.ts'
import type { Bucket } from '../log/bucket.ts'
import type { Fold } from '../log/fold.ts'
import type { Log } from '../log/log.ts'
import { hasMembers, withdrawn } from '../log/members.ts'
import type { Follower, Stream } from '../log/stream.ts'
import type { Subscription } from '../protocol/filters.ts'
import { TopicFilter } from '../protocol/topic-filter.ts'
import { SyncError } from '../protocol/errors.ts'
import { openStream } from '../protocol/topics.ts'
import { FilterGrants, type Holder } from './filter-grants.ts'
import type { Hub } from './hub.ts'
import { Inflight } from './inflight.ts'
import type { Outlet } from './outlet.ts'
import { encodePublish } from './packets.ts'
import { PlainCursor, type PlainFilter } from './plain-cursor.ts'
import { RetainedRun } from './retained-run.ts'
import type { CursorRecord, SessionRecord } from './session-record.ts'
import { SyncPackets } from './sync-packets.ts'

/** What a session needs of its surroundings. */
export interface SessionParts {
  readonly hub: Hub
  readonly clean: boolean
  readonly client: string
  readonly holder: Holder
  /** Where packets go. */
  readonly link: {
    readonly bytesLeft: number
    write(packets: Buffer): void
    close(reason: string, code: string): void
  }
}

export class Session implements Pumped, Follower, LiveReader, Outlet {
  readonly log: Log
  readonly inflight: Inflight
  readonly clean: boolean
  /** Something moved that the record does not show yet, and when that was made. */
  dirty = false
  recordedMs = 0
  readonly #parts: SessionParts
  readonly #grants: FilterGrants
  readonly #cursors: PlainCursor[] = []
  readonly #syncs = new Map<string, SyncCursor>()
  readonly #others = new Map<string, { readonly filter: TopicFilter; readonly door: 'reply' | 'tap'; readonly qos: number }>()
  #runs: RetainedRun[] = []
  readonly #following: Following
  /** Begun by a SUBSCRIBE whose SUBACK is not written yet. */
  #starting: (() => void)[] = []
  /** Filters that this SUBSCRIBE adds; they are judged at the same time. */
  #joining: string[] = []
  #heldBefore = 0
  /** Nothing is delivered before the CONNACK [MQTT-3.2.0-1]. */
  #active = false
  #closed = false
  #turnAt = 0
  /** Something waits for room: acknowledgements make some. */
  #behind = false

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.log = parts.hub.log
    this.clean = parts.clean
    this.#grants = new FilterGrants(parts.hub.rules, parts.client, parts.holder)
    this.#following = new Following(this.log, parts.hub.live, this)
    this.inflight = new Inflight(parts.hub.limits.inflightMax)
  }

  /** Filters held, of every door. */
  get filterCount(): number {
    let count = this.#syncs.size + this.#others.size
    for (const { filters } of this.#cursors) count += filters.size
    return count
  }

  /** Whether a message of the server on a reply topic would be seen [P-7.3]. */
  hearsReply(topic: string): boolean {
    for (const { filter, door } of this.#others.values()) if (door === 'reply' && filter.matches(topic)) return true
    return false
  }

  /** Takes up the filters and places of a record; false if an active filter can no longer be served [P-4.22]. */
  async restore(record: SessionRecord, dupBefore: (stream: Stream) => Promise<number>): Promise<boolean> {
    for (const { filter, qos } of record.others) {
      const subscription = this.#grants.judgeHeld(filter)
      if (subscription && (subscription.door === 'reply' || subscription.door === 'tap')) this.#addOther(filter, subscription, qos)
    }
    for (const stored of record.cursors) {
      const cursor = await this.#restoreCursor(stored, record.run === '' ? () => Promise.resolve(stored.sent) : dupBefore)
      if (!cursor) return false
    }
    this.#applyGrants()
    return this.#cursors.every(({ dormant, stream, next }) => dormant || next >= stream.first)
  }

  /** How the session is to be stored. */
  record(run: string, nowMs: number): SessionRecord {
    const cursors = this.#cursors.map((cursor): CursorRecord => ({
      stream: cursor.stream.name,
      acked: cursor.acked,
      sent: cursor.sent,
      filters: [...cursor.filters.values()].map(({ text, qos, since, retainedDue }) => ({ filter: text, qos, since, retainedDue })),
    }))
    return { run, seenMs: nowMs, cursors, others: [...this.#others].map(([filter, { qos }]) => ({ filter, qos })) }
  }

  /** Up to where each subscription has got; of a stream perhaps several. */
  places(): { stream: string; acked: number }[] {
    return [...this.#cursors, ...this.#syncs.values()].map(({ stream, acked }) => ({ stream: stream.name, acked }))
  }

  /** Judges a filter and prepares it; it takes effect at `activate`. Returns the granted QoS; throws what the client did wrong. */
  async subscribe(text: string, qos: number): Promise<number> {
    const subscription = this.#grants.judge(text)
    const { subscriptionsPerConnectionMax } = this.log.limits
    if (this.#joining.length === 0) this.#heldBefore = this.filterCount
    if (!this.#holds(text)) {
      if (this.#heldBefore + this.#joining.length >= subscriptionsPerConnectionMax) {
        throw new SyncError('too-many-requests', `${text}: more than ${subscriptionsPerConnectionMax} filters on one connection`)
      }
      this.#joining.push(text)
    }
    switch (subscription.door) {
      case 'reply':
      case 'tap':
        this.#starting.push(() => this.#addOther(text, subscription, 0))
        return 0
      case 'sync':
        await this.#prepareSync(text, subscription, qos)
        break
      case 'plain':
        await this.#preparePlain(text, subscription, qos)
    }
    return qos
  }

  /** The SUBACK has been written: what was prepared begins to deliver. */
  activate(): void {
    this.#active = true
    for (const start of this.#starting.splice(0)) start()
    if (this.#joining.length > 0) this.#joining = []
    this.kick()
  }

  unsubscribe(text: string): void {
    this.#syncs.get(text)?.close()
    this.#syncs.delete(text)
    this.#others.delete(text)
    if (![...this.#others.values()].some(({ door }) => door === 'tap')) this.#parts.hub.ephemerals.taps.remove(this)
    for (const cursor of this.#cursors) if (cursor.filters.has(text)) cursor.remove(text)
    for (const cursor of this.#cursors.filter(({ filters }) => filters.size === 0)) this.#dropCursor(cursor)
    for (const run of this.#runs) if (run.filter.text === text) this.#endRun(run)
    this.#following.keep(new Set([...this.#cursors, ...this.#syncs.values()].map(({ stream }) => stream)))
    this.moved()
  }

  /** A fresh token replaces the old one at once [P-10.24]. */
  renew(holder: Holder): void {
    this.#grants.replace(holder)
    for (const [text, sync] of this.#syncs) {
      if (this.#grants.covers(sync.stream.name, sync.filter.text)) continue
      sync.end(this.#grants.membership.isWithdrawn(sync.stream.name) ? 'withdrawn' : 'grant')
      this.#syncs.delete(text)
    }
    for (const text of this.#others.keys()) if (!this.#grants.judgeHeld(text)) this.unsubscribe(text)
    this.#applyGrants()
    this.kick()
  }

  // Outlet, Pumped and Follower: the ways in for delivery.

  get bytesLeft(): number {
    return this.#parts.link.bytesLeft
  }

  write(packets: Buffer): void {
    this.#parts.link.write(packets)
  }

  delivered(entries: number, committedMs: number | undefined): void {
    this.#parts.hub.deliveries.count(entries, committedMs)
  }

  kick(): void {
    if (!this.#closed) this.#parts.hub.turn.pump(this)
  }

  moved(stream?: Stream): void {
    if (!stream) return void (this.dirty = true)
    // What is live only ends at once, what is logged in its place.
    const newest = stream.tail.at(-1)
    if (newest) this.shownUntil(newest)
    this.kick()
  }

  shownUntil(bucket: Bucket): number {
    return this.#grants.membership.shownUntil(bucket)
  }

  mayShow(stream: Stream, state: Fold): boolean {
    return this.#grants.membership.mayShow(stream, state)
  }

  withdrawn(): void {
    this.#applyGrants()
  }

  fail(reason: string, error?: unknown): void {
    if (error !== undefined) this.#parts.hub.logger.error({ error }, reason)
    this.#parts.link.close(reason, error === undefined ? 'trimmed' : 'store-unavailable')
  }

  pump(): boolean {
    // While a SUBACK is on its way nothing may overtake the retained messages behind it [P-4.12].
    if (!this.#active || this.#starting.length > 0 || this.#closed || this.#parts.hub.authority.blind) return false
    for (const run of this.#runs) {
      run.deliver()
      if (run.finished) this.#endRun(run)
    }
    this.#behind = this.#deliver() || this.#runs.length > 0
    return this.#behind && this.bytesLeft > 0 && this.inflight.room > 0
  }

  /** Lets every subscription send; true if one is behind and could go on, given room. */
  #deliver(): boolean {
    const [only] = this.#cursors
    if (only && this.#cursors.length === 1 && this.#syncs.size === 0) return only.deliver()
    // Each turn begins with another subscription, so that a long backlog of one does not starve the others.
    const readers = [...this.#cursors, ...this.#syncs.values()]
    this.#turnAt = readers.length > 0 ? (this.#turnAt + 1) % readers.length : 0
    let more = false
    for (let at = 0; at < readers.length; at++) {
      if (readers[(this.#turnAt + at) % readers.length]?.deliver()) more = true
    }
    return more
  }

  /** A PUBACK has come. */
  acknowledge(packetId: number): void {
    const full = this.inflight.room <= 0
    this.inflight.acknowledge(packetId)
    // Kicking at half a window keeps runs long; a window that was full may be waiting for this very acknowledgement.
    if (this.#behind && (full || this.inflight.count <= this.log.limits.inflightMax >> 1)) this.kick()
  }

  ephemeral(message: LiveMessage): void {
    if (!this.#active || this.#closed || this.bytesLeft <= 0 || this.#parts.hub.authority.blind) return
    const { stream, topic, payload } = message
    if (this.#grants.membership.isWithdrawn(stream)) return
    const here = this.#cursors.filter((cursor) => cursor.stream.name === stream && !cursor.dormant)
    if (here.some((cursor) => cursor.qosOf(topic, Infinity) >= 0)) this.write((message.packet ??= encodePublish(topic, payload)))
    for (const sync of this.#syncs.values()) if (sync.stream.name === stream) sync.ephemeral(topic, message.envelope())
  }

  /** Everything this node handles, for who may see it all [P-1.31]. */
  tapped(topic: string, packet: Buffer): void {
    if (!this.#active || this.#closed || this.bytesLeft <= 0 || this.#parts.hub.authority.blind) return
    // What a filter of its own delivers comes once [P-4.10]; topics of the open stream are never tapped beside it.
    if (this.#cursors.some((cursor) => cursor.stream.name !== openStream && !cursor.dormant && cursor.qosOf(topic, Infinity) >= 0)) return
    for (const { filter, door } of this.#others.values()) {
      if (door === 'tap' && filter.matches(topic)) return this.write(packet)
    }
  }

  tick(nowMs: number): void {
    for (const sync of this.#syncs.values()) sync.tick(nowMs)
  }

  close(): void {
    this.#closed = true
    for (const sync of this.#syncs.values()) sync.close()
    for (const cursor of this.#cursors) cursor.close()
    this.#following.close()
    this.#parts.hub.ephemerals.taps.remove(this)
  }

  #holds(text: string): boolean {
    return this.#syncs.has(text) || this.#others.has(text) || this.#cursors.some(({ filters }) => filters.has(text))
  }

  async #prepareSync(text: string, { stream: name, filter, start, first }: Subscription & { door: 'sync' }, qos: number): Promise<void> {
    if (!this.clean) throw new SyncError('bad-filter', `${text}: sync filters belong to a connection; connect with clean=1 [P-6.21]`)
    const stream = await this.#following.follow(name)
    await this.log.confirmHead(stream) // What is said of the head next must be true [P-2.18].
    const captured = { seq: stream.headSeq, mark: stream.headMark }
    if (hasMembers(name)) this.#mustShow(stream, await this.log.state(stream))
    this.#starting.push(() => {
      this.#syncs.get(text)?.close()
      const sync = new SyncCursor(stream, { filter, start }, this, new SyncPackets({ text, first, stream: name, qos }, this))
      this.#syncs.set(text, sync)
      sync.start(captured).catch((error: unknown) => this.fail('the log cannot be read', error))
    })
  }

  async #preparePlain(text: string, { stream: name, filter }: Subscription & { door: 'plain' }, qos: number): Promise<void> {
    const stream = await this.#following.follow(name)
    await this.log.confirmHead(stream)
    const fold = await this.log.state(stream)
    this.#mustShow(stream, fold)
    const cursor = this.#cursors.find((held) => held.stream === stream && held.filters.has(text)) ?? this.#activeCursor(stream)
    // No turn passes between here and the end, so the state is that of the captured head.
    const matcher = new TopicFilter(filter)
    const old = cursor.filters.get(text)
    const plain: PlainFilter = { text, filter: matcher, qos, since: old?.since ?? stream.headSeq, retainedDue: true }
    cursor.put(plain)
    const retained = fold.states().filter(({ entry }) => matcher.matches(entry.topic))
    this.#starting.push(() => this.#runs.push(new RetainedRun(plain, stream, retained, this)))
    this.moved()
  }

  #mustShow(stream: Stream, state: Fold): void {
    if (!this.mayShow(stream, state)) throw withdrawn(this.#parts.holder.uid, stream.name)
  }

  #activeCursor(stream: Stream): PlainCursor {
    const held = this.#cursors.find((cursor) => cursor.stream === stream && !cursor.dormant)
    if (held) return held
    const cursor = new PlainCursor(stream, { acked: stream.headSeq, dupTo: 0 }, this)
    this.#cursors.push(cursor)
    return cursor
  }

  #addOther(text: string, subscription: Subscription & { door: 'reply' | 'tap' }, qos: number): void {
    this.#others.set(text, { filter: new TopicFilter(subscription.filter), door: subscription.door, qos })
    if (subscription.door === 'tap') this.#parts.hub.ephemerals.taps.add(this)
    this.moved()
  }

  async #restoreCursor(stored: CursorRecord, dupTo: (stream: Stream) => Promise<number>): Promise<PlainCursor | undefined> {
    const stream = await this.#following.follow(stored.stream)
    await this.log.confirmHead(stream) // Another node may have served it beyond what this one knows [P-2.18].
    if (hasMembers(stored.stream)) this.mayShow(stream, await this.log.state(stream)) // A withdrawn member's filters lie dormant.
    // A cursor ahead of the head belongs to a history that this store does not have.
    if (stored.acked > stream.headSeq) return undefined
    const cursor = new PlainCursor(stream, { acked: stored.acked, dupTo: Math.max(stored.sent, await dupTo(stream)) }, this)
    for (const { filter: text, qos, since, retainedDue } of stored.filters) {
      const plain: PlainFilter = { text, filter: new TopicFilter(text), qos, since, retainedDue }
      cursor.put(plain)
      if (retainedDue) await this.#restoreRetained(stream, plain)
    }
    this.#cursors.push(cursor)
    return cursor
  }

  async #restoreRetained(stream: Stream, plain: PlainFilter): Promise<void> {
    const fold = await this.log.state(stream)
    const due = fold.states().filter(({ entry }) => entry.seq <= plain.since && plain.filter.matches(entry.topic))
    this.#runs.push(new RetainedRun(plain, stream, due, this))
  }

  /** Filters outside the grants go to cursors of their own, which keep their place and deliver nothing [P-4.24]. */
  #applyGrants(): void {
    for (const cursor of this.#cursors.slice()) {
      const filters = [...cursor.filters.values()]
      const outside = filters.filter(({ text }) => !this.#grants.covers(cursor.stream.name, text))
      if (outside.length > 0 && outside.length < filters.length) {
        const aside = new PlainCursor(cursor.stream, { acked: cursor.acked, dupTo: cursor.sent }, this)
        for (const filter of outside) {
          cursor.remove(filter.text)
          aside.put(filter)
        }
        aside.dormant = true
        aside.preferred = cursor
        this.#cursors.push(aside)
      } else {
        cursor.dormant = outside.length > 0
      }
    }
    for (const cursor of this.#cursors) {
      // Of two places in one stream the first delivers what both match [P-4.10].
      cursor.preferred = this.#cursors.find(
        (other) => other.stream === cursor.stream && !other.dormant && this.#cursors.indexOf(other) < this.#cursors.indexOf(cursor),
      )
    }
    for (const run of this.#runs) if (!this.#grants.judgeHeld(run.filter.text)) this.#endRun(run)
  }

  #endRun(run: RetainedRun): void {
    this.#runs = this.#runs.filter((other) => other !== run)
  }

  #dropCursor(cursor: PlainCursor): void {
    cursor.close()
    this.#cursors.splice(this.#cursors.indexOf(cursor), 1)
    for (const other of this.#cursors) if (other.preferred === cursor) other.preferred = undefined
  }
}
