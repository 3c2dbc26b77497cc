/**
 * What a session tells of one followed filter: a window of the newest entries, and to whom it goes. It promises nothing
 * about loss; whoever reads it compares positions and reads what is missing from the history.
 */
import type { ClientError } from '../errors.ts'
import { sameHistory, seqOf } from '../position.ts'
import type { Envelope } from '../wire.ts'

/** What a feed tells its readers. */
export interface FeedListener {
  /** A session is there and was asked to follow. */
  opened(): void
  /** The window begins: everything after it will come. */
  joined(): void
  entry(envelope: Envelope): void
  /** Everything that matches up to `pos` has come. */
  at(pos: string): void
  lost(): void
  /** What was held is worth nothing any more: the stream was erased up to `pos`. */
  erased(pos: string): void
  /** Nothing more may be read. */
  refused(error: ClientError): void
}

export class Feed {
  /** As followed: `spaces/board-7/#`. */
  readonly filter: string
  readonly stream: string
  /** Below the stream, as history takes it: `#`. */
  readonly below: string
  /** Whether no entry of the stream is left out [P-6.8]. */
  readonly whole: boolean
  readonly listeners = new Set<FeedListener>()
  readonly #recentMax: number
  #recent: Envelope[] = []
  /** Before the first entry of the window; empty while there is none. */
  #floor = ''
  #head = ''

  constructor(stream: string, below: string, recentMax: number) {
    this.stream = stream
    this.below = below
    this.filter = `${stream}/${below}`
    this.whole = below === '#' && stream !== 'open/-'
    this.#recentMax = recentMax
  }

  get joined(): boolean {
    return this.#floor !== ''
  }

  /** The newest position told of; empty before. */
  get head(): string {
    return this.#head
  }

  /**
   * Whether everything after `pos` is in the window. A position that no server has confirmed (`known` false) only
   * where it is found in it: its mark decides [P-2.13].
   */
  covers(pos: string, known: boolean): boolean {
    if (!this.joined || !sameHistory(pos, this.#floor) || seqOf(pos) < seqOf(this.#floor)) return false
    return known || pos === this.#floor || pos === this.#head || this.#recent.some((envelope) => envelope.pos === pos)
  }

  /** The entries of the window after `pos`. */
  after(pos: string): readonly Envelope[] {
    const seq = seqOf(pos)
    return this.#recent.filter((envelope) => seqOf(envelope.pos as string) > seq)
  }

  /** A session follows it now. */
  open(): void {
    this.#clear()
    this.#tell((listener) => listener.opened())
  }

  lose(): void {
    this.#clear()
    this.#tell((listener) => listener.lost())
  }

  entry(envelope: Envelope): void {
    const { pos } = envelope
    if (pos !== undefined) {
      if (!this.joined) return // Before the first `at` nobody can tell what is missing.
      const ahead = sameHistory(pos, this.#head) ? seqOf(pos) - seqOf(this.#head) : Infinity
      if (ahead === 1 || (ahead > 1 && ahead < Infinity && !this.whole)) this.#keep(envelope, pos)
      else if (ahead > 1) this.#restartAt(pos)
    }
    this.#tell((listener) => listener.entry(envelope))
  }

  /** Everything up to `pos` has come; the first one of a session begins the window. */
  at(pos: string): void {
    if (!this.joined) {
      this.#floor = this.#head = pos
      this.#tell((listener) => listener.joined())
      return
    }
    const isSame = sameHistory(pos, this.#head)
    if (!isSame || seqOf(pos) > seqOf(this.#head)) {
      if (this.whole || !isSame) this.#restartAt(pos)
      else this.#head = pos
    }
    this.#tell((listener) => listener.at(pos))
  }

  erase(pos: string): void {
    this.#tell((listener) => listener.erased(pos))
  }

  refuse(error: ClientError): void {
    this.#tell((listener) => listener.refused(error))
  }

  #keep(envelope: Envelope, pos: string): void {
    this.#head = pos
    this.#recent.push(envelope)
    // In halves, so that it costs little.
    if (this.#recent.length > this.#recentMax * 2) {
      this.#recent = this.#recent.slice(-this.#recentMax)
      this.#floorBefore(this.#recent[0] as Envelope)
    }
  }

  /** Something was lost on the way: the window begins anew here. */
  #restartAt(pos: string): void {
    this.#recent = []
    this.#floor = this.#head = pos
  }

  /** The position before an entry is not known by its mark; its seq is enough for those that a server has confirmed. */
  #floorBefore(envelope: Envelope): void {
    const pos = envelope.pos as string
    this.#floor = `${pos.slice(0, 8)}.${seqOf(pos) - 1}.????`
  }

  #clear(): void {
    this.#recent = []
    this.#floor = this.#head = ''
  }

  #tell(what: (listener: FeedListener) => void): void {
    for (const listener of this.listeners) what(listener)
  }
}
