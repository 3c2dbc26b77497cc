/** What the app publishes, from the call until it is on the server's disk or refused. */
import type { OutboxView, Pending, Published, PublishOptions, Readable, Settled, Status } from '../api.ts'
import type { Bounds } from '../bounds.ts'
import type { Clear, Codec } from '../codec.ts'
import type { Entry } from '../entry.ts'
import { asClientError, ClientError } from '../errors.ts'
import { Listeners, Watched } from '../readable.ts'
import { freshId } from '../id.ts'
import type { History, Timers } from '../seams.ts'
import type { Session } from '../transport/transport.ts'
import type { Envelope } from '../wire.ts'
import { Caller, type Item } from './item.ts'
import { Keeper } from './keeper.ts'
import { isHeld, Lane, type LaneParts, type Link } from './lane.ts'
import { Refusals } from './refusals.ts'
import type { OutboxStore, Waiting } from './store.ts'
import { bodyOf, checkNames, clearOf, conditionOf, sameContent, sizeOf, type Draft } from './value.ts'

export interface OutboxParts {
  readonly store: OutboxStore
  readonly history: History
  readonly timers: Timers
  readonly bounds: Bounds
  /** Whose records of the store are sent by this outbox. */
  readonly owner: string
  /** The user of the connection, or the last one known. */
  readonly uid: () => string | undefined
  /** Where a stream that is read stands. */
  readonly positionOf: (stream: string) => string | undefined
  readonly codec?: Codec | undefined
  /** What the server takes at most, where that is known. */
  readonly packetBytesMax?: () => number | undefined
  /** For `details.current` of a conflict. Default: the envelope as it came. */
  readonly entryOf?: (stream: string, envelope: Envelope) => Promise<Entry>
  readonly onWarning: (warning: ClientError) => void
}

export class Outbox {
  readonly view: OutboxView
  readonly kind: Readable<Status['outbox']>
  /** How many are not settled. */
  readonly count: Readable<number>
  readonly #parts: OutboxParts
  readonly #keeper: Keeper
  readonly #refusals: Refusals
  readonly #laneParts: LaneParts
  readonly #lanes = new Map<string, Lane>()
  /** All that is not settled, by id. */
  readonly #pending = new Map<string, Item>()
  #bytes = 0
  #link: (Link & { readonly abort: AbortController }) | undefined = undefined
  #loading: Promise<void> | undefined = undefined
  #isLoaded = false
  #closed = false
  /** Resolves when what was published before has its place; a codec takes its time. */
  #turn: Promise<void> = Promise.resolve()
  readonly #pendingList: Watched<readonly Pending[]>
  readonly #count: Watched<number>
  readonly #kind: Watched<Status['outbox']>
  readonly #settled: Listeners<Settled>
  readonly #waiting: Listeners<string>

  constructor(parts: OutboxParts) {
    this.#parts = parts
    const { store, bounds, onWarning } = parts
    this.#keeper = new Keeper({ ...parts, loaded: () => this.#load(), settledKeptMs: bounds.settledKeptMs })
    this.#refusals = new Refusals({ ...parts, keeper: this.#keeper })
    this.#laneParts = {
      ...parts,
      packetBytesMax: () => parts.packetBytesMax?.(),
      replace: (items) => this.#keeper.replace(items),
      committed: (item, pos, duplicate) => this.#committed(item, pos, duplicate),
      refused: (item, error) => void this.#refused(item, error),
    }
    this.#settled = new Listeners(onWarning)
    this.#waiting = new Listeners(onWarning)
    this.#pendingList = new Watched<readonly Pending[]>(
      () => [...this.#pending.values()].map(({ waiting }) => this.#pendingOf(waiting)),
      onWarning,
    )
    this.#kind = new Watched<Status['outbox']>(() => (!this.#isLoaded ? 'opening' : store.durable ? 'durable' : 'memory'), onWarning)
    this.kind = this.#kind
    this.count = this.#count = new Watched<number>(() => this.#pending.size, onWarning)
    this.view = {
      pending: this.#pendingList,
      refused: this.#refusals.list,
      dismiss: (id) => this.#refusals.dismiss(id),
      onSettled: (listener) => this.#settled.add(listener),
    }
    this.#load().catch((error: unknown) => onWarning(asClientError(error, 'storage-unavailable')))
  }

  /**
   * Resolves when it is on the server's disk. Rejects at once with `bad-value`, `bad-topic`, `payload-too-large`,
   * `outbox-full`, `id-reused` (that id waits with other content), and with `storage-full` or `storage-unavailable`
   * where it could not be kept: in all these cases it is as if it had never been called. What is refused later is also
   * in `view.refused`, so nobody has to wait for the promise.
   */
  publish(stream: string, topic: string, value: unknown, options: PublishOptions = {}): Promise<Published> {
    const caller = new Caller()
    this.#publish(caller, stream, topic, value, options).catch((error: unknown) => caller.reject(error))
    return caller.promise
  }

  /** The connection is open: everything is sent that has not been answered. */
  attach(session: Session, putsInFlightMax: number): void {
    this.detach()
    const abort = new AbortController()
    this.#link = { session, putsInFlightMax, signal: abort.signal, abort }
    this.#pendingList.changed()
    this.#pump()
  }

  detach(): void {
    this.#link?.abort.abort()
    this.#link = undefined
    for (const lane of this.#lanes.values()) lane.detach()
  }

  /** What will be published to a stream, in order, as the server will get it. Keys are 0 until they are kept. */
  waitingOn(stream: string): readonly Waiting[] {
    return this.#lanes.get(stream)?.items.map(({ waiting }) => waiting) ?? []
  }

  /** Called with the stream's name when `waitingOn` has changed, unless something was settled: `onSettled` tells that. */
  onWaiting(listener: (stream: string) => void): () => void {
    return this.#waiting.add(listener)
  }

  /** Whose records are in the store, beside ours. */
  async owners(): Promise<readonly string[]> {
    const owners = new Set((await this.#parts.store.load()).map(({ owner }) => owner))
    owners.delete(this.#parts.owner)
    return [...owners]
  }

  /** Takes over the records of an owner that is gone for good. */
  async adopt(owner: string): Promise<void> {
    await this.#load()
    const found = (await this.#parts.store.load()).filter((waiting) => waiting.owner === owner)
    const adopted = found.map((waiting): Waiting => ({ ...waiting, owner: this.#parts.owner }))
    if (adopted.length > 0) await this.#noteAdopted(adopted)
    await this.#take(adopted)
    this.#pump()
  }

  /** On a device without room for that another tab may send them as well, which does no harm. */
  async #noteAdopted(adopted: readonly Waiting[]): Promise<void> {
    try {
      await this.#keeper.replace(adopted)
    } catch (error) {
      if (asClientError(error, 'storage-unavailable').code !== 'storage-full') throw error
    }
  }

  /** What is being written is written; what waits is sent in another life, where the store outlives this one. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.detach()
    await this.#keeper.idle()
    const { durable } = this.#parts.store
    const error = new ClientError('closed', durable ? 'The client has been closed; this is kept, and sent next time' : undefined)
    for (const { callers } of this.#pending.values()) for (const caller of callers) caller.reject(error)
    await this.#parts.store.close()
  }

  /** Resolves when the store has been read; what it held follows. */
  #load(): Promise<void> {
    this.#loading ??= (async () => {
      try {
        const found = await this.#parts.store.load()
        void this.#loaded(found.filter(({ owner }) => owner === this.#parts.owner))
      } catch (error) {
        // What made it fail may be gone when something is to be kept.
        this.#loading = undefined
        throw asClientError(error, 'storage-unavailable')
      }
    })()
    return this.#loading
  }

  async #loaded(found: readonly Waiting[]): Promise<void> {
    await this.#take(found)
    this.#isLoaded = true
    this.#kind.changed()
    this.#pump()
  }

  /** Left by an earlier life, or by another page. Never rejects. */
  async #take(found: readonly Waiting[]): Promise<void> {
    const items = found.flatMap((waiting): Item[] => {
      const same = this.#pending.get(waiting.id)?.waiting
      if (same && same.key !== waiting.key) void this.#refuseTwin(waiting, same)
      return same || waiting.refusal
        ? []
        : [{ waiting, bytes: sizeOf(waiting), kept: true, state: 'queued', mayStand: waiting.since !== undefined, callers: [] }]
    })
    for (const item of items) this.#enter(item)
    for (const stream of new Set(items.map(({ waiting }) => waiting.stream))) {
      this.#lane(stream).add(...items.filter(({ waiting }) => waiting.stream === stream))
      this.#changed(stream)
    }
    for (const waiting of found) if (waiting.refusal) await this.#refusals.take(waiting, waiting.refusal)
  }

  /** Two pages have used one id. */
  async #refuseTwin(waiting: Waiting, other: Waiting): Promise<void> {
    if (sameContent(waiting, other)) this.#keeper.forget(waiting.key, true)
    else this.#tellRefused(waiting, await this.#refusals.add(waiting, new ClientError('id-reused')))
  }

  async #publish(caller: Caller, stream: string, topic: string, value: unknown, options: PublishOptions): Promise<void> {
    const { id = freshId(), retain = false } = options
    const clear = clearOf(topic, value, options)
    const condition = conditionOf(options)
    const accept = (wire: Clear): void =>
      this.#accept(caller, { id, stream, topic: `${stream}/${wire.topic}`, body: bodyOf(wire, retain), retain, if: condition })
    const { codec } = this.#parts
    if (!codec) return accept(clear)

    const before = this.#turn
    let end!: (before: Promise<void>) => void
    this.#turn = new Promise<void>((resolve) => (end = resolve))
    try {
      const [wire] = await Promise.all([codec.encode(stream, clear), before])
      accept(wire)
    } catch (error) {
      throw asClientError(error, 'bad-value')
    } finally {
      end(before)
    }
  }

  /** Gives it its place, and keeps it. */
  #accept(caller: Caller, draft: Draft): void {
    const { id, stream, topic, body, retain, if: condition } = draft
    const { timers, owner, uid, bounds } = this.#parts
    if (this.#closed) throw new ClientError('closed')
    checkNames(id, topic, bounds)
    const same = this.#pending.get(id)
    if (same) return this.#join(same, draft, caller)
    const bytes = sizeOf(draft)
    this.#checkRoom(bytes)

    const since = this.#lane(stream).sinceOfNext()
    const createdMs = timers.wallMs()
    // Member by member: a spread takes V8 as long as all else that a publish needs here.
    const waiting: Waiting = {
      id,
      stream,
      topic,
      body,
      retain,
      if: condition,
      key: 0,
      uid: uid(),
      owner,
      since,
      createdMs,
      refusal: undefined,
    }
    const item: Item = { waiting, bytes, kept: false, state: 'queued', mayStand: false, callers: [caller] }
    this.#enter(item)
    this.#lane(stream).add(item)
    this.#changed(stream)
    this.#keeper.add({ item: waiting, kept: (key) => this.#kept(item, key), failed: (error) => this.#failed(item, error) })
  }

  #join(item: Item, draft: Draft, caller: Caller): void {
    if (!sameContent(draft, item.waiting)) throw new ClientError('id-reused', `${draft.id} waits with other content`)
    item.callers.push(caller)
    if (item.kept) caller.release()
  }

  #checkRoom(bytes: number): void {
    const { bounds, packetBytesMax } = this.#parts
    const most = packetBytesMax?.() ?? Infinity
    if (bytes > most) throw new ClientError('payload-too-large', `${bytes} bytes, the server takes ${most}`)
    if (this.#pending.size < bounds.outboxEntriesMax && this.#bytes + bytes <= bounds.outboxBytesMax) return
    throw new ClientError('outbox-full', `${this.#pending.size} publishes with ${this.#bytes} bytes wait already`)
  }

  #kept(item: Item, key: number): void {
    item.waiting = { ...item.waiting, key }
    item.kept = true
    for (const caller of item.callers) caller.release()
    // The store may have found only now that it cannot keep anything.
    this.#kind.changed()
    // A refused one with this id is what this one repeats.
    void this.#refusals.dismiss(item.waiting.id)
    this.#lane(item.waiting.stream).pump()
  }

  #failed(item: Item, error: ClientError): void {
    this.#lane(item.waiting.stream).remove(item)
    this.#leave(item)
    this.#changed(item.waiting.stream)
    for (const { reject } of item.callers) reject(error)
  }

  #committed(item: Item, pos: string, duplicate: boolean): void {
    this.#leave(item)
    this.#settled.emit({ ...this.#pendingOf(item.waiting), outcome: 'committed', pos, duplicate })
    this.#counted()
    for (const { resolve } of item.callers) resolve({ id: item.waiting.id, pos, duplicate })
    // A page that is loaded again now must not show it as waiting.
    this.#keeper.forget(item.waiting.key, this.#pending.size === 0)
  }

  /** Noted before it is told: what the app has been told to be refused must not be sent again by the next life. */
  async #refused(item: Item, refusal: ClientError): Promise<void> {
    const error = await this.#refusals.add(item.waiting, refusal)
    this.#leave(item)
    this.#tellRefused(item.waiting, error)
    this.#counted()
    for (const { reject } of item.callers) reject(error)
  }

  #tellRefused(waiting: Waiting, error: ClientError): void {
    this.#settled.emit({ ...this.#pendingOf(waiting), outcome: 'refused', error })
  }

  #enter(item: Item): void {
    this.#pending.set(item.waiting.id, item)
    this.#bytes += item.bytes
  }

  #leave(item: Item): void {
    this.#pending.delete(item.waiting.id)
    this.#bytes -= item.bytes
  }

  #changed(stream: string): void {
    this.#counted()
    this.#waiting.emit(stream)
  }

  #counted(): void {
    this.#pendingList.changed()
    this.#count.changed()
  }

  #pendingOf({ id, stream, topic, createdMs, uid }: Waiting): Pending {
    return { id, stream, topic: topic.slice(stream.length + 1), createdMs, held: isHeld(uid, this.#parts.uid()) }
  }

  #lane(stream: string): Lane {
    let lane = this.#lanes.get(stream)
    if (lane) return lane
    lane = new Lane(stream, this.#laneParts)
    this.#lanes.set(stream, lane)
    if (this.#link && this.#isLoaded) lane.attach(this.#link)
    return lane
  }

  #pump(): void {
    if (!this.#link || !this.#isLoaded) return
    for (const lane of this.#lanes.values()) lane.attach(this.#link)
  }
}
