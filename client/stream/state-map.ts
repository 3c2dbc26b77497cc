/** The state of a stream, live: the fold of its retained entries [P-9.1], with what waits in the outbox shown in advance. */
import type { Settled, StateMap } from '../api.ts'
import type { Entry } from '../entry.ts'
import { asClientError, ClientError } from '../errors.ts'
import type { Waiting } from '../outbox/store.ts'
import { seqOf } from '../position.ts'
import type { Reader } from './reader.ts'

/** What the outbox tells of a stream. */
export interface PendingSource {
  waitingOn(stream: string): readonly Waiting[]
  /** Calls after each change of what waits that `onSettled` does not tell. */
  onWaiting(listener: (stream: string) => void): () => void
  onSettled(listener: (settled: Settled) => void): () => void
}

export interface StateMapParts {
  readonly stream: string
  readonly stateEntriesMax: number
  /** Opens the reader, from a snapshot on. */
  readonly read: (events: {
    readonly onReset: () => void
    readonly onRead: () => void
    readonly onLive: () => void
    readonly onState: () => void
  }) => Reader
  readonly pending: PendingSource | undefined
  /** Whether a topic below the stream belongs to it, in the app's form. */
  readonly matches: (topic: string) => boolean
  /** A waiting publish as the entry that it will be. */
  readonly preview: (waiting: Waiting) => Promise<Entry>
  readonly soon: (call: () => void) => void
  readonly call: (listener: () => void) => void
  /** One holder less; whether it was the last one. */
  readonly release: () => boolean
}

interface Preview {
  readonly entry: Entry
  /** Whether its topic belongs to this map. */
  readonly isOurs: boolean
  /** Where it stands, once the server has said so; shown until that place has been read. */
  committedSeq: number | undefined
}

export class LiveState implements StateMap {
  readonly ready: Promise<void>
  error: ClientError | undefined
  readonly #parts: StateMapParts
  readonly #reader: Reader
  readonly #listeners = new Set<() => void>()
  readonly #leave: (() => void)[] = []
  #held = new Map<string, Entry>()
  /** What has come of a new snapshot; the old state is shown until it is complete. */
  #building: Map<string, Entry> | undefined = new Map<string, Entry>()
  /** By entry id, in the order in which they will be appended. */
  #previews = new Map<string, Preview>()
  /** What waits is looked at once a turn, however much is published in it. */
  #isPreviewing = false
  #isReady = false
  #isClosed = false
  #shown: ReadonlyMap<string, Entry> | undefined
  #list: readonly Entry[] | undefined
  #isTelling = false
  #settle: { resolve: () => void; reject: (error: ClientError) => void } | undefined

  constructor(parts: StateMapParts) {
    this.#parts = parts
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
    // Who does not wait for it learns of the error by `error`.
    this.ready.catch(() => undefined)
    this.#reader = parts.read({
      onReset: () => (this.#building = new Map()),
      onRead: () => this.#swap(),
      onLive: () => this.#complete(),
      onState: () => this.#changed(),
    })
    if (parts.pending) {
      this.#leave.push(parts.pending.onWaiting((stream) => stream === parts.stream && void this.#preview()))
      this.#leave.push(parts.pending.onSettled((settled) => this.#settled(settled)))
      void this.#preview()
    }
    void this.#fold()
  }

  get status(): 'loading' | 'ready' | 'stale' | 'closed' {
    if (this.#isClosed || this.error) return 'closed'
    if (!this.#isReady) return 'loading'
    return this.#reader.state === 'live' ? 'ready' : 'stale'
  }

  get size(): number {
    return this.#show().size
  }

  get(topic: string): Entry | undefined {
    return this.#show().get(topic)
  }

  entries(): readonly Entry[] {
    return (this.#list ??= [...this.#show().values()])
  }

  [Symbol.iterator](): Iterator<Entry> {
    return this.entries()[Symbol.iterator]()
  }

  subscribe(listener: () => void): () => void {
    const own = (): void => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  close(): void {
    if (this.#isClosed || !this.#parts.release()) return
    this.#isClosed = true
    for (const leave of this.#leave) leave()
    void this.#reader.return()
    this.#settle?.reject(new ClientError('closed', 'the state map has been closed'))
    this.#changed()
  }

  async #fold(): Promise<void> {
    try {
      for await (const entry of this.#reader) this.#take(entry)
    } catch (thrown) {
      this.error = asClientError(thrown, 'network')
      this.#settle?.reject(this.error)
      this.#changed()
    }
  }

  #take(entry: Entry): void {
    if (entry.ephemeral || !entry.retain || !this.#parts.matches(entry.topic)) return
    const map = this.#building ?? this.#held
    if (entry.deleted) map.delete(entry.topic)
    else map.set(entry.topic, entry)
    if (map.size > this.#parts.stateEntriesMax) {
      const detail = `${this.#parts.stream} has more than ${this.#parts.stateEntriesMax} topics here (stateEntriesMax)`
      this.#reader.close(new ClientError('too-much-state', detail))
    }
    const seq = this.#previews.get(entry.id)?.committedSeq
    if (seq !== undefined && seq <= entry.seq) this.#previews.delete(entry.id)
    if (map === this.#held) this.#changed()
  }

  /** What was built is shown: complete as of a moment ago. */
  #swap(): void {
    if (this.#building) this.#held = this.#building
    this.#building = undefined
    this.#changed()
  }

  #complete(): void {
    this.#swap()
    for (const [key, preview] of this.#previews) if (preview.committedSeq !== undefined) this.#previews.delete(key)
    this.#isReady = true
    this.#settle?.resolve()
    this.#changed()
  }

  async #preview(): Promise<void> {
    if (this.#isPreviewing) return
    this.#isPreviewing = true
    await Promise.resolve() // The rest of the turn has its say first.
    let waiting: readonly Waiting[]
    for (;;) {
      waiting = this.#waiting()
      const fresh = waiting.filter(({ id }) => !this.#previews.has(id))
      if (fresh.length === 0) break
      for (const entry of await Promise.all(fresh.map((item) => this.#parts.preview(item)))) {
        this.#previews.set(entry.id, { entry, isOurs: this.#parts.matches(entry.topic), committedSeq: undefined })
      }
    }
    this.#isPreviewing = false
    const previews = new Map([...this.#previews].filter(([, preview]) => preview.committedSeq !== undefined))
    for (const { id } of waiting) previews.set(id, this.#previews.get(id) as Preview)
    this.#previews = previews
    this.#changed()
  }

  #waiting(): readonly Waiting[] {
    const waiting = this.#parts.pending?.waitingOn(this.#parts.stream) ?? []
    return waiting.filter((item) => item.retain && !item.refusal)
  }

  /** What has been committed is shown until it has been read. */
  #settled(settled: Settled): void {
    const preview = this.#previews.get(settled.id)
    if (!preview || settled.stream !== this.#parts.stream) return
    if (settled.outcome === 'refused' || !preview.isOurs || seqOf(settled.pos) <= this.#newest()) this.#previews.delete(settled.id)
    else preview.committedSeq = seqOf(settled.pos)
    this.#changed()
  }

  /** The newest place that has been folded. */
  #newest(): number {
    const { position } = this.#reader
    return position === '' ? -1 : seqOf(position)
  }

  #show(): ReadonlyMap<string, Entry> {
    if (this.#shown) return this.#shown
    if (this.#previews.size === 0) return (this.#shown = this.#held)
    const shown = new Map(this.#held)
    for (const { entry, isOurs } of this.#previews.values()) {
      if (!isOurs) continue
      if (entry.deleted) shown.delete(entry.topic)
      else shown.set(entry.topic, entry)
    }
    return (this.#shown = shown)
  }

  #changed(): void {
    this.#shown = undefined
    this.#list = undefined
    if (this.#isTelling) return
    this.#isTelling = true
    this.#parts.soon(() => {
      this.#isTelling = false
      for (const listener of this.#listeners) this.#parts.call(listener)
    })
  }
}
