/** One reader's place in a stream and what waits for the app: the actions of the machine. Knows no network and no promise. */
import type { ReaderState } from '../api.ts'
import { ClientError } from '../errors.ts'
import { sameHistory, seqOf } from '../position.ts'
import type { EntriesPage, Envelope, ResetReason, StatePage } from '../wire.ts'
import type { Feed } from './feed.ts'
import { readerMachine, type ReaderActions, type ReaderEvents } from './machine.ts'

/** What the app meets, in order. */
export type Item =
  | { readonly kind: 'entry'; readonly envelope: Envelope; readonly snapshot: boolean }
  /** Nothing that matches stands before this position. */
  | { readonly kind: 'at'; readonly pos: string }
  | { readonly kind: 'reset'; readonly reason: ResetReason | 'start'; readonly first: string; readonly head: string }
  /** Everything that there was has been read, and the session has not begun yet. */
  | { readonly kind: 'read' }
  | { readonly kind: 'live' }

export interface LineOptions {
  /** A position, `earliest`, `snapshot` or `now`. */
  readonly from: string
  readonly onResetGo: 'snapshot' | 'earliest' | 'throw'
  readonly matches: (topic: string) => boolean
  readonly queuedEntriesMax: number
}

/** What has to be read next; undefined where nothing has. */
export type Wanted = { readonly kind: 'entries'; readonly after: string } | { readonly kind: 'state'; readonly after: string | undefined }

interface Snapshot {
  /** The app has been told to forget what it holds. */
  isAnnounced: boolean
  /** The last page got, and the log goes on from `end` when all have come. */
  readonly after?: string
  readonly end?: string
}

export class Line implements ReaderActions {
  readonly #feed: Feed
  readonly #options: LineOptions
  readonly queue: Item[] = []
  state: ReaderState
  error: ClientError | undefined
  /** Everything up to here is queued. Empty until the server has said where `now` is. */
  #cursor: string
  /** Whether a server has confirmed the cursor since the session began. */
  #known = false
  /** A snapshot is due or being read; that goes on after a loss, page by page [P-11.31]. */
  #snapshot: Snapshot | undefined
  #head = ''

  constructor(feed: Feed, options: LineOptions) {
    this.#feed = feed
    this.#options = options
    const { from } = options
    this.#cursor = from === 'now' || from === 'snapshot' ? '' : from
    this.#snapshot = from === 'snapshot' ? { isAnnounced: false } : undefined
    this.state = from === 'now' ? 'waiting' : from === 'snapshot' ? 'reset' : 'catching-up'
  }

  dispatch<E extends keyof ReaderEvents>(event: E, ...args: ReaderEvents[E]): void {
    this.state = readerMachine[this.state][event](this, ...args)
  }

  /** Entries between the cursor and the newest one told of, if any was; before the first page from `earliest` at most so many. */
  get behind(): number | undefined {
    const head = this.#newest()
    if (head === '') return undefined
    if (this.#cursor === '') return 0
    return Math.max(0, seqOf(head) - (isPosition(this.#cursor) ? seqOf(this.#cursor) : 0))
  }

  get wanted(): Wanted | undefined {
    if (this.queue.length > this.#options.queuedEntriesMax / 2) return undefined
    if (this.state === 'catching-up') return { kind: 'entries', after: this.#cursor }
    if (this.state === 'reset') return { kind: 'state', after: this.#snapshot?.after }
    return undefined
  }

  join(): ReaderState {
    this.#known = false
    return this.#feed.joined ? this.begin() : 'joining'
  }

  leaveSession(): ReaderState {
    this.#known = false
    return 'waiting'
  }

  begin(): ReaderState {
    if (this.#snapshot) {
      this.#announce(this.#snapshot)
      return 'reset'
    }
    if (this.#cursor === '') this.#reach(this.#feed.head)
    return this.meet()
  }

  meet(): ReaderState {
    if (!isPosition(this.#cursor) || !this.#feed.covers(this.#cursor, this.#known)) return 'catching-up'
    const missing = this.#feed.after(this.#cursor)
    if (this.queue.length + missing.length > this.#options.queuedEntriesMax) return 'catching-up'
    for (const envelope of missing) this.#take(envelope, false)
    if (seqOf(this.#feed.head) > seqOf(this.#cursor)) this.#reach(this.#feed.head)
    this.#known = true
    this.queue.push({ kind: 'live' })
    return 'live'
  }

  takeLive(envelope: Envelope): ReaderState {
    const { pos } = envelope
    if (pos === undefined) {
      if (this.#options.matches(envelope.topic) && !this.#isFull()) this.queue.push({ kind: 'entry', envelope, snapshot: false })
      return 'live'
    }
    if (!sameHistory(pos, this.#cursor)) return 'catching-up' // The history will say `epoch`.
    const seq = seqOf(pos)
    const mine = seqOf(this.#cursor)
    if (seq <= mine) return 'live'
    if ((this.#feed.whole && seq !== mine + 1) || this.#isFull()) return 'catching-up'
    this.#take(envelope, false)
    return 'live'
  }

  moveTo(pos: string): ReaderState {
    if (!sameHistory(pos, this.#cursor)) return 'catching-up'
    if (seqOf(pos) <= seqOf(this.#cursor)) return 'live'
    if (this.#feed.whole) return 'catching-up'
    this.#reach(pos)
    return 'live'
  }

  takePage(page: EntriesPage): ReaderState {
    // Asked for before there was a session, and the server has said meanwhile that the stream begins anew.
    if (this.#snapshot) return this.state
    // While it was on its way the feed may have told of some of it.
    const mine = isPosition(this.#cursor) ? seqOf(this.#cursor) : -1
    for (const envelope of page.entries) if (seqOf(envelope.pos as string) > mine) this.#take(envelope, false)
    if (seqOf(page.next) > mine) this.#reach(page.next)
    this.#head = page.head
    if (this.#isAhead) return this.#readOn(page.upToDate)
    this.#known = true
    return this.meet()
  }

  takeState(page: StatePage): ReaderState {
    if (!this.#snapshot) return this.state
    this.#announce(this.#snapshot)
    const { end = page.pos, after } = this.#snapshot
    // What has changed since the first page comes in its place behind the snapshot [P-11.31].
    for (const envelope of page.entries) if (seqOf(envelope.pos as string) <= seqOf(end)) this.#take(envelope, true)
    if (!page.upToDate) {
      this.#snapshot = { isAnnounced: true, after: page.next, end }
      return this.state
    }
    this.#snapshot = undefined
    this.#reach(end)
    // It may have been told by a session before this one, of a history that is no more.
    this.#known = false
    // Of several pages the later ones lack what has changed meanwhile.
    return this.#isAhead ? this.#readOn(after === undefined) : this.meet()
  }

  giveUp(): ReaderState {
    return this.#isAhead ? 'waiting' : this.state
  }

  stay(): ReaderState {
    return this.state
  }

  startOver(reason: ResetReason, first: string, head: string): ReaderState {
    if (this.#options.onResetGo === 'throw') {
      const code = reason === 'erased' ? 'trimmed' : reason
      return this.fail(
        new ClientError(code, `the stream ${this.#feed.stream} cannot go on from ${this.#cursor}: ${reason}`, { reason, first, head }),
      )
    }
    this.queue.push({ kind: 'reset', reason, first, head })
    this.#known = false
    if (this.#options.onResetGo === 'earliest') {
      this.#cursor = 'earliest'
      this.#snapshot = undefined
      return this.state === 'waiting' || this.state === 'joining' ? this.state : 'catching-up'
    }
    this.#snapshot = { isAnnounced: true }
    return this.state === 'waiting' || this.state === 'joining' ? this.state : 'reset'
  }

  fail(error: ClientError): ReaderState {
    this.error = error
    return 'closed'
  }

  end(): ReaderState {
    this.queue.length = 0
    return 'closed'
  }

  /** Whether it reads before the session has told where it begins. */
  get #isAhead(): boolean {
    return !this.#feed.joined
  }

  #readOn(isAtEnd: boolean): ReaderState {
    if (this.state === 'joining') return 'joining'
    if (!isAtEnd) return 'catching-up'
    this.queue.push({ kind: 'read' })
    return 'waiting'
  }

  #announce(snapshot: Snapshot): void {
    if (!snapshot.isAnnounced) this.queue.push({ kind: 'reset', reason: 'start', first: '', head: '' })
    snapshot.isAnnounced = true
  }

  #take(envelope: Envelope, snapshot: boolean): void {
    if (this.#options.matches(envelope.topic)) {
      this.queue.push({ kind: 'entry', envelope, snapshot })
      this.#cursor = envelope.pos as string
    } else {
      this.#reach(envelope.pos as string)
    }
  }

  /** The cursor moves without an entry. */
  #reach(pos: string): void {
    if (pos === this.#cursor) return
    this.#cursor = pos
    if (this.queue.at(-1)?.kind === 'at') this.queue.pop()
    this.queue.push({ kind: 'at', pos })
  }

  #isFull(): boolean {
    return this.queue.length >= this.#options.queuedEntriesMax
  }

  #newest(): string {
    const told = this.#feed.head
    if (told === '' || this.#head === '') return told || this.#head
    return seqOf(told) > seqOf(this.#head) ? told : this.#head
  }
}

function isPosition(text: string): boolean {
  return text !== '' && text !== 'earliest'
}
