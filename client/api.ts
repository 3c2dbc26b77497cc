/** The public face of the SDK. `connect` in index.ts makes a Client. */
import type { Bounds } from './bounds.ts'
import type { Codec } from './codec.ts'
import type { Entry } from './entry.ts'
import type { ClientError } from './errors.ts'
import type { OutboxStore } from './outbox/store.ts'
import type { EndReason, ResetReason } from './wire.ts'

export interface ClientOptions {
  /** Where the server is: `https://sync.example.com` or `wss://sync.example.com`; the rest is asked for. */
  readonly url: string
  /** The app's own token of the user. Called before each connect and ahead of expiry; never with a stale answer in hand. */
  readonly getToken: () => Promise<string> | string
  /** `auto`: MQTT over WebSocket, and plain HTTP where that is blocked. Default `auto`. */
  readonly transport?: 'auto' | 'mqtt' | 'http'
  /**
   * Where publishes wait. Default: IndexedDB in a browser, memory elsewhere. `levelOutbox(folder)` of
   * `tidemark/client/node` keeps them in a folder.
   */
  readonly outbox?: OutboxStore
  /** Keeps apart what several accounts of one app leave waiting on one device. Default: one for all; what another user has left waits for that user. */
  readonly account?: string
  /** One connection for all tabs of the browser. Default `true`; without Web Locks every tab has its own. */
  readonly shareTabs?: boolean
  /** End-to-end encryption, or any other change of what is published. Default: none. */
  readonly codec?: Codec
  /** Part of the client id, seen by others as `entry.client`. Default `web` or `node`. */
  readonly name?: string
  readonly bounds?: Partial<Bounds>
  /** Told of what the app need not handle but somebody may want to read. Default: `console.warn`. */
  readonly onWarning?: (warning: ClientError) => void
}

export interface Client {
  /** A stream by its name, e.g. `spaces/board-7`. Costs nothing until it is read. */
  stream(name: string, options?: StreamOptions): Stream
  readonly status: Readable<Status>
  readonly outbox: OutboxView
  /** Tries at once instead of waiting: after the app has mended what was refused. */
  retry(): void
  /** Ends everything; what waits in a durable outbox is sent next time. */
  close(): Promise<void>
}

export interface StreamOptions {
  /** Follow exactly this filter below the stream, for a token that grants no more: `notes/#`. Default `#`. */
  readonly filter?: string
}

export interface Stream {
  readonly name: string
  /** History, then live: in order, once each, without a gap. Ends when left; throws a ClientError where nothing more can come. */
  entries(options?: EntriesOptions): EntryReader
  /**
   * Publishes below the stream. Kept at once where the outbox is durable, sent in order, resolves when it is on the
   * server's disk. Rejects with `conflict` (`details.current`: Entry or null), `forbidden`, `bad-value`, `outbox-full` …
   */
  publish(topic: string, value: unknown, options?: PublishOptions): Promise<Published>
  /** The last retained entry per topic, live. `prefix` ends at a level: `cards/`, or `''` for all. Shared between callers. */
  state(prefix?: string, options?: StateOptions): StateMap
  /** One page of history, newest first with `reverse`. */
  history(options?: HistoryOptions): Promise<HistoryPage>
}

export interface EntriesOptions {
  /** A position, `earliest`, `snapshot` (the present state, then the tail) or `now`. Default `now`. */
  readonly from?: string
  /** MQTT filter below the stream, matched here. Default: all. */
  readonly topic?: string
  /** After a position that cannot be served: `snapshot` (default), `earliest`, or `throw`. */
  readonly onResetGo?: 'snapshot' | 'earliest' | 'throw'
  /** Forget what you hold. Called in order: after the last entry before the reset was taken. */
  readonly onReset?: (reset: Reset) => void
  /** Called when the reader has caught up, and with how far it is on the way there. */
  readonly onProgress?: (progress: Progress) => void
  readonly signal?: AbortSignal
}

export interface Reset {
  readonly reason: ResetReason | 'start'
  /** Where the stream begins and ends now; empty at the start of a snapshot that was asked for. */
  readonly first: string
  readonly head: string
}

export interface Progress {
  /** Entries of the stream between the reader and its end, matching or not. */
  readonly behind: number
  readonly live: boolean
}

/** An async iterator, and where it is. */
export interface EntryReader extends AsyncIterableIterator<Entry, undefined> {
  /** Safe to store at any moment, also within a snapshot: everything up to it has been taken by the app. Empty before the first answer. */
  readonly position: string
  readonly state: ReaderState
  return(): Promise<IteratorResult<Entry, undefined>>
}

export type ReaderState = 'waiting' | 'joining' | 'catching-up' | 'live' | 'reset' | 'closed'

export interface PublishOptions {
  readonly retain?: boolean
  /** The version this one replaces: an entry (also a pending one of this client), a position, or `none`. Needs `retain`. */
  readonly if?: Entry | string
  /** Default: a fresh one. Publishing the same id again appends nothing. */
  readonly id?: string
  /** `json` (default), or `text` for a string as it is. A Uint8Array is always bytes; `undefined` with retain deletes. */
  readonly as?: 'json' | 'text'
}

export interface Published {
  readonly id: string
  readonly pos: string
  /** It stood there already: an earlier attempt had come through. */
  readonly duplicate: boolean
}

export interface StateOptions {
  /** Show what waits in the outbox in advance, as entries with `pending`. Default `true`. */
  readonly optimistic?: boolean
}

export interface StateMap extends Iterable<Entry> {
  /** Resolves when the state is complete for the first time; rejects where it cannot be had. */
  readonly ready: Promise<void>
  readonly status: 'loading' | 'ready' | 'stale' | 'closed'
  readonly error: ClientError | undefined
  get(topic: string): Entry | undefined
  /** By topic, in the order of their first appearance. The same object until something changes. */
  entries(): readonly Entry[]
  readonly size: number
  /** Called after each change, at most once a turn. A listener that throws harms nobody else. */
  subscribe(listener: () => void): () => void
  /** Lets go; the last one to do so ends the reading. */
  close(): void
}

export interface HistoryOptions {
  readonly after?: string
  readonly before?: string
  readonly sinceMs?: number
  readonly untilMs?: number
  readonly topic?: string
  readonly reverse?: boolean
  readonly limit?: number
  readonly signal?: AbortSignal
}

export interface HistoryPage {
  readonly entries: readonly Entry[]
  readonly next: string
  readonly head: string
  readonly first: string
  readonly upToDate: boolean
}

export interface Readable<T> {
  get(): T
  /** Calls at once and after each change; the answer ends it. */
  subscribe(listener: (value: T) => void): () => void
}

export interface Status {
  readonly connection: 'connecting' | 'online' | 'offline' | 'refused' | 'closed'
  /** Why it is offline or refused. */
  readonly error: ClientError | undefined
  readonly transport: string | undefined
  /** Publishes not settled yet. */
  readonly pending: number
  /** Entries that the slowest reader lacks; 0 where all are live; undefined where it is not known. */
  readonly behind: number | undefined
  /** `memory`: what waits is lost with the page. */
  readonly outbox: 'durable' | 'memory' | 'opening'
  /** Whether this tab holds the connection. */
  readonly leader: boolean
  /** The user the server takes us for. */
  readonly uid: string | undefined
}

/** What became of publishes, also of those whose promise was lost with a page. */
export interface OutboxView {
  readonly pending: Readable<readonly Pending[]>
  /** Refused ones that nobody has dismissed. They survive a reload. */
  readonly refused: Readable<readonly Refused[]>
  /** Takes a refused one off the list. */
  dismiss(id: string): Promise<void>
  /** Each publish, when it is settled. */
  onSettled(listener: (settled: Settled) => void): () => void
}

export interface Pending {
  readonly id: string
  readonly stream: string
  readonly topic: string
  readonly createdMs: number
  /** Written by another user than the connected one: kept, and sent when that user is back. */
  readonly held: boolean
}

export interface Refused extends Pending {
  readonly error: ClientError
}

export type Settled =
  | (Pending & { readonly outcome: 'committed'; readonly pos: string; readonly duplicate: boolean })
  | (Pending & { readonly outcome: 'refused'; readonly error: ClientError })

export type { EndReason }
