/**
 * One followed filter where messages are lost, doubled and out of order: told in the order of the log, each entry once, none left
 * out. Of a whole stream the positions say what is missing; on a narrower filter a message says only that there is something to ask for.
 */
import { asClientError, type ClientError } from '../errors.ts'
import { sameHistory, seqOf } from '../position.ts'
import type { Surroundings } from '../request.ts'
import type { History } from '../seams.ts'
import type { Control, Envelope, ResetReason } from '../wire.ts'
import { TopicFilter } from '../../protocol/topic-filter.ts'

export interface MendedParts extends Surroundings {
  readonly history: History
  readonly uid: string | undefined
  readonly entry: (envelope: Envelope) => void
  readonly control: (control: Control) => void
  /** It may not be read, and nothing was told. */
  readonly refused: () => void
  /** The session cannot go on: its token is not taken, or the history cannot be reached. */
  readonly failed: (error: ClientError) => void
}

const resets: ReadonlySet<string> = new Set<ResetReason>(['trimmed', 'epoch', 'ahead'])

/** Requests that fail in a row before the session is given up. */
const failuresMax = 4

export class Mended {
  readonly #parts: MendedParts
  readonly #stream: string
  readonly #below: string
  readonly #topics: TopicFilter
  readonly #isWhole: boolean
  readonly #closing = new AbortController()
  /** Everything up to here was told; empty before the beginning. */
  #pos = ''
  /** What came before its turn, by seq. */
  #early = new Map<number, Envelope>()
  #reading: Promise<void> | undefined
  /** Something came while the answer was on its way: it may be older than that. */
  #isStale = false
  #failures = 0
  readonly #cancels = new Set<() => void>()
  #isWaiting = false
  /** What the bridge said and was not yet true of what was told. */
  #at: Extract<Control, { ctl: 'at' }> | undefined

  constructor(filter: string, parts: MendedParts) {
    const [kind, id, ...levels] = filter.split('/')
    this.#parts = parts
    this.#stream = `${kind}/${id}`
    this.#below = levels.join('/')
    this.#topics = new TopicFilter(filter)
    this.#isWhole = this.#below === '#'
  }

  /** The subscription stands: begins at the head. What was heard before counts, too. */
  begin(): void {
    void this.check()
    this.#later(this.#parts.bounds.settleMs, () => void this.check())
  }

  /** A message of the stream, which may not match. */
  heard(envelope: Envelope): void {
    const { pos } = envelope
    if (this.#closing.signal.aborted || pos === undefined || !this.#topics.matches(envelope.topic)) return
    if (this.#pos !== '' && !sameHistory(pos, this.#pos)) return void this.check()
    const seq = seqOf(pos)
    if (this.#pos !== '' && seq <= seqOf(this.#pos)) return
    this.#isStale = true
    if (!this.#isWhole) return this.#pos === '' ? undefined : void this.check()
    if (this.#early.size < this.#parts.bounds.recentEntriesMax) this.#early.set(seq, envelope)
    if (this.#pos === '' || this.#reading) return
    this.#drain()
    if (this.#early.size > 0) this.#mendSoon()
  }

  /** The bridge says how far the stream has come. */
  at(control: Extract<Control, { ctl: 'at' }>): void {
    if (this.#closing.signal.aborted || this.#pos === '') return
    this.#at = control
    if (!sameHistory(control.pos, this.#pos) || seqOf(control.pos) > seqOf(this.#pos)) this.#mendSoon()
    else this.#tellAt()
  }

  /** Asks the log for what was not told; resolves when that is told. One question at a time. */
  async check(): Promise<void> {
    if (this.#closing.signal.aborted) return
    if (this.#reading) {
      this.#isStale = true
      return this.#reading
    }
    this.#reading = this.#readAll().finally(() => (this.#reading = undefined))
    await this.#reading
    this.#drain()
    if (this.#early.size > 0) this.#mendSoon()
    else this.#tellAt()
  }

  close(): void {
    this.#closing.abort()
    for (const cancel of this.#cancels) cancel()
    this.#cancels.clear()
    this.#early.clear()
  }

  async #readAll(): Promise<void> {
    try {
      do {
        this.#isStale = false
        if (this.#pos === '') await this.#readHead()
        else await this.#readOn()
        // Of a whole stream what came meanwhile is at hand.
      } while (this.#isStale && !this.#isWhole && !this.#closing.signal.aborted)
      this.#failures = 0
    } catch (thrown) {
      if (!this.#closing.signal.aborted) this.#broke(asClientError(thrown, 'network'))
    }
  }

  async #readHead(): Promise<void> {
    const { history, timers } = this.#parts
    const { head, first } = await history.entries(this.#stream, { topic: this.#below, limit: 0 }, this.#closing.signal)
    if (this.#closing.signal.aborted) return
    this.#pos = head
    // Not the server's clock: HTTP does not tell it, and nobody reads it here.
    this.#parts.control({ ctl: 'at', pos: head, head, first, ts: timers.wallMs() })
  }

  async #readOn(): Promise<void> {
    const { history, bounds } = this.#parts
    const query = { topic: this.#below, limit: bounds.pageEntries }
    for (;;) {
      const page = await history.entries(this.#stream, { ...query, after: this.#pos }, this.#closing.signal)
      for (const envelope of page.entries) if (!this.#closing.signal.aborted) this.#tell(envelope)
      if (this.#closing.signal.aborted) return
      this.#pos = page.next
      if (page.upToDate) return
    }
  }

  /** Tells what is next as long as it is at hand. */
  #drain(): void {
    if (this.#pos === '') return
    for (const seq of this.#early.keys()) if (seq <= seqOf(this.#pos)) this.#early.delete(seq)
    for (;;) {
      const next = this.#early.get(seqOf(this.#pos) + 1)
      if (!next || this.#closing.signal.aborted) return
      // Whether it is meant for a membership of ours the log knows.
      if (this.#withdrawsUs(next)) return void this.check()
      this.#early.delete(seqOf(next.pos as string))
      this.#tell(next)
    }
  }

  #tell(envelope: Envelope): void {
    this.#pos = envelope.pos as string
    this.#parts.entry(envelope)
    if (envelope.topic === `${this.#stream}/$erased`) this.#end({ ctl: 'ended', reason: 'erased', pos: this.#pos })
  }

  /** Once everything up to there was told. */
  #tellAt(): void {
    const at = this.#at
    if (!at || this.#closing.signal.aborted || this.#pos === '' || seqOf(at.pos) > seqOf(this.#pos)) return
    this.#at = undefined
    this.#parts.control({ ...at, pos: this.#pos, head: seqOf(at.head) > seqOf(this.#pos) ? at.head : this.#pos })
  }

  #withdrawsUs({ topic, data }: Envelope): boolean {
    const { uid } = this.#parts
    return uid !== undefined && topic === `${this.#stream}/$acl` && (data as { withdrawn?: unknown } | undefined)?.withdrawn === uid
  }

  /** What is missing may still come by itself. */
  #mendSoon(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#later(this.#parts.bounds.disorderMs, () => {
      this.#isWaiting = false
      void this.check()
    })
  }

  #broke(error: ClientError): void {
    const { code, details } = error
    if (resets.has(code)) {
      return this.#end({ ctl: 'reset', reason: code as ResetReason, first: String(details['first']), head: String(details['head']) })
    }
    if (code === 'unauthorized' || code === 'token-expired') return this.#parts.failed(error)
    if (error.retry === 'no') {
      if (this.#pos !== '')
        return this.#end({ ctl: 'ended', reason: this.#stream.startsWith('spaces/') ? 'withdrawn' : 'grant', pos: this.#pos })
      this.close()
      return this.#parts.refused()
    }
    this.#failures++
    if (this.#failures > failuresMax) return this.#parts.failed(error)
    this.#later(this.#parts.bounds.retryFirstMs * 2 ** this.#failures, () => void this.check())
  }

  #end(control: Control): void {
    this.close()
    this.#parts.control(control)
  }

  #later(ms: number, call: () => void): void {
    const cancel = this.#parts.timers.after(ms, () => {
      this.#cancels.delete(cancel)
      call()
    })
    this.#cancels.add(cancel)
  }
}
