/** One reader of events: its filters with their places in the log on one side, the response on the other [P-18.1]. */
import type { ServerResponse } from 'node:http'
import type { Principal } from '../auth/index.ts'
import type { Deliveries } from '../delivery/deliveries.ts'
import { Following } from '../delivery/following.ts'
import type { LiveMessage, LiveReader } from '../delivery/live.ts'
import { Membership } from '../delivery/membership.ts'
import { SyncCursor, type SyncOutlet } from '../delivery/sync-cursor.ts'
import type { Flushed, Pumped, Turn } from '../delivery/turn.ts'
import type { Bucket } from '../log/bucket.ts'
import type { Fold } from '../log/fold.ts'
import { headPosition } from '../log/history.ts'
import type { Log } from '../log/log.ts'
import { hasMembers, withdrawn } from '../log/members.ts'
import type { Follower, Stream } from '../log/stream.ts'
import { asSyncError, SyncError, type ErrorCode } from '../protocol/errors.ts'
import { formatPosition } from '../protocol/positions.ts'
import { eventId, type WantedFilter } from './event-request.ts'
import { emptyComment, encodeEvent, FilterEvents, type EventOutlet } from './filter-events.ts'
import type { BridgeParts } from './parts.ts'

export interface EventStreamParts extends BridgeParts {
  readonly turn: Turn
  readonly deliveries: Deliveries
}

interface Filter {
  readonly cursor: SyncCursor
  readonly events: FilterEvents
  /** The head when it was asked for. */
  readonly captured: { readonly seq: number; readonly mark: string }
}

export class EventStream implements Pumped, Flushed, Follower, LiveReader, SyncOutlet, EventOutlet {
  readonly log: Log
  readonly principal: Principal
  /** Resolves when the peer has everything, or was cut. */
  readonly gone: Promise<void>
  #resolveGone: () => void = () => {}
  readonly #parts: EventStreamParts
  readonly #membership: Membership
  readonly #following: Following
  #filters: readonly Filter[] = []
  #response: ServerResponse | undefined = undefined
  #chunks: Buffer[] = []
  #bytes = 0
  #turnAt = 0
  #closed = false
  #ended: SyncError | undefined = undefined
  #writtenMs = 0
  /** When the peer fell behind reading; Infinity while it keeps up. */
  #unreadSinceMs = Infinity

  constructor(principal: Principal, parts: EventStreamParts) {
    this.log = parts.log
    this.principal = principal
    this.#parts = parts
    this.#membership = new Membership(principal)
    this.#following = new Following(parts.log, parts.live, this)
    this.gone = new Promise((resolve) => (this.#resolveGone = resolve))
  }

  /** Finds the streams. Throws `forbidden` where the user was withdrawn from one [P-16.3]. */
  async prepare(wanted: readonly WantedFilter[]): Promise<void> {
    this.#filters = await Promise.all(wanted.map((one) => this.#open(one)))
    if (this.#ended) throw this.#ended
  }

  /** Answers, and sends from now on. */
  begin(response: ServerResponse, headers: Readonly<Record<string, number | string | readonly string[] | undefined>>): void {
    this.#response = response
    response.on('close', () => this.abandon())
    if (response.destroyed) return this.abandon()
    response.on('drain', () => this.#drained())
    // Its own clock looks after it: what waits for news is not idle.
    response.socket?.setTimeout(0)
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value)
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // A proxy that gathers answers would keep the events to itself.
      'x-accel-buffering': 'no',
      connection: 'close',
    })
    response.flushHeaders()
    this.#writtenMs = this.#parts.clock.now()
    for (const { cursor, captured } of this.#filters) {
      cursor.start(captured).catch((error: unknown) => this.fail('the log cannot be read', error))
    }
  }

  /** Says why, and ends the response [P-18.12]; a peer that does not read is cut after `lingerMs`. */
  end(code: ErrorCode, reason: string): void {
    if (this.#closed) return
    const { principal } = this
    this.#parts.logger.info({ door: 'events', uid: principal.uid, code }, `closed: ${reason}`)
    this.write(encodeEvent('closed', Buffer.from(JSON.stringify({ ctl: 'closed', code }))))
    this.flush()
    this.#close()
    const response = this.#response
    if (!response) {
      this.#ended = new SyncError(code, reason)
      return this.#resolveGone()
    }
    response.end()
    const linger = setTimeout(() => response.destroy(), this.#parts.limits.lingerMs)
    void this.gone.then(() => clearTimeout(linger))
  }

  /** Lets go of everything: it never began, or its peer has left. */
  abandon(): void {
    this.#close()
    this.#resolveGone()
  }

  tick(nowMs: number): void {
    const { limits } = this.#parts
    if (nowMs >= this.principal.expiresAtMs) return this.end('token-expired', 'the token has expired')
    // Not every Node tells of each drain.
    if (this.#unreadSinceMs < Infinity && this.bytesLeft > 0) this.#drained()
    if (nowMs - this.#unreadSinceMs > limits.unreadTimeoutMs) return this.#cut()
    for (const { cursor } of this.#filters) cursor.tick(nowMs)
    if (nowMs - this.#writtenMs >= limits.eventsKeepAliveMs && this.bytesLeft > 0) this.write(emptyComment)
  }

  checkRevoked(): void {
    if (this.#parts.authority.isRevoked(this.principal)) this.end('unauthorized', 'the token was revoked')
    // What was held back while revocations could not be read goes on.
    else this.kick()
  }

  // The ways in for delivery.

  get eventId(): string {
    return eventId(this.#filters.map(({ events }) => events.place))
  }

  get unsentBytes(): number {
    return (this.#response?.writableLength ?? 0) + this.#bytes
  }

  get bytesLeft(): number {
    const highWaterMark = this.#response?.writableHighWaterMark ?? 0
    // Below its own mark the socket would not tell when it has drained.
    return Math.max(this.#parts.limits.unsentBytesMax, highWaterMark) - this.unsentBytes
  }

  write(event: Buffer): void {
    if (this.#closed) return
    this.#chunks.push(event)
    this.#bytes += event.length
    this.#parts.turn.flush(this)
  }

  delivered(entries: number, committedMs: number | undefined): void {
    this.#parts.deliveries.count(entries, committedMs)
  }

  shownUntil(bucket: Bucket): number {
    return this.#membership.shownUntil(bucket)
  }

  mayShow(stream: Stream, state: Fold): boolean {
    return this.#membership.mayShow(stream, state)
  }

  kick(): void {
    if (!this.#closed) this.#parts.turn.pump(this)
  }

  moved(stream: Stream): void {
    // What is live only ends at once, what is logged in its place.
    const newest = stream.tail.at(-1)
    if (newest) this.shownUntil(newest)
    this.kick()
  }

  ephemeral({ stream, topic, envelope }: LiveMessage): void {
    if (this.#closed || this.bytesLeft <= 0 || this.#parts.authority.blind || this.#membership.isWithdrawn(stream)) return
    for (const { cursor } of this.#filters) if (cursor.stream.name === stream) cursor.ephemeral(topic, envelope())
  }

  fail(reason: string, error: unknown): void {
    if (this.#closed) return
    this.#parts.logger.error({ door: 'events', error }, reason)
    this.end('store-unavailable', asSyncError(error).message)
  }

  /** Each turn begins with another filter, so that a long backlog of one does not starve the others. */
  pump(): boolean {
    const filters = this.#filters
    if (this.#closed || filters.length === 0 || this.#parts.authority.blind) return false
    this.#turnAt = (this.#turnAt + 1) % filters.length
    let more = false
    for (let at = 0; at < filters.length; at++) {
      if (filters[(this.#turnAt + at) % filters.length]?.cursor.deliver()) more = true
    }
    return more && this.bytesLeft > 0
  }

  acknowledge(): void {
    // Nothing is acknowledged here.
  }

  flush(): void {
    const chunks = this.#chunks
    if (chunks.length === 0 || this.#closed) return
    const wasFull = this.bytesLeft <= 0
    const bytes = this.#bytes
    this.#chunks = []
    this.#bytes = 0
    this.#writtenMs = this.#parts.clock.now()
    this.#response?.write(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, bytes))
    if (this.bytesLeft <= 0) this.#unreadSinceMs = Math.min(this.#unreadSinceMs, this.#writtenMs)
    // The system took it all at once: there will be no drain event to go on at.
    else if (wasFull) setImmediate(() => this.#drained())
  }

  async #open({ text, stream: name, filter, start }: WantedFilter): Promise<Filter> {
    const { log } = this
    const stream = await this.#following.follow(name)
    await log.confirmHead(stream) // What is said of the head next must be true [P-2.18].
    const captured = { seq: stream.headSeq, mark: stream.headMark }
    const place = start === 'now' ? headPosition(log, stream) : placeOf(start)
    if (hasMembers(name) && !this.mayShow(stream, await log.state(stream))) {
      throw new SyncError('forbidden', withdrawn(this.principal.uid, name).message, { filter: text })
    }
    const events = new FilterEvents(text, place, this)
    return { cursor: new SyncCursor(stream, { filter, start }, this, events), events, captured }
  }

  #drained(): void {
    this.#unreadSinceMs = Infinity
    this.kick()
  }

  /** Waiting for it to read what is still to be said would be in vain. */
  #cut(): void {
    this.#parts.logger.info({ door: 'events', uid: this.principal.uid, code: 'unread' }, 'closed: the peer does not read')
    this.#close()
    this.#response?.destroy()
  }

  #close(): void {
    this.#closed = true
    for (const { cursor } of this.#filters) cursor.close()
    this.#following.close()
  }
}

function placeOf(start: Exclude<WantedFilter['start'], 'now'>): string {
  return typeof start === 'string' ? start : formatPosition(start.epoch, start.seq, start.mark)
}
