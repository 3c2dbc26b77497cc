/**
 * What waits for one stream, in the order of the calls, and what is under way of it.
 *
 * Order: puts are sent in order, and on one session appended in that order [P-8.9]. What the server could not take now
 * (`too-many-requests`, a fault of the server) is sent again after a pause, in which nothing else is sent; what was
 * under way behind it by then may pass it. Streams `outbox/…`, where rates are limited, have one put under way at a time.
 *
 * Doubles: puts under way at once share one `since`. So if the server can no longer tell about one of them, it cannot
 * about those behind it either [P-9.9], and none of them passes it while the history is asked.
 */
import type { Bounds } from '../bounds.ts'
import { asClientError, ClientError, errorOf } from '../errors.ts'
import type { History, Timers } from '../seams.ts'
import type { Session } from '../transport/transport.ts'
import type { PutAnswer } from '../wire.ts'
import type { Item } from './item.ts'
import type { Waiting } from './store.ts'
import { putOf } from './value.ts'

export interface LaneParts {
  readonly history: History
  readonly timers: Timers
  readonly bounds: Bounds
  readonly uid: () => string | undefined
  readonly positionOf: (stream: string) => string | undefined
  readonly packetBytesMax: () => number | undefined
  /** Resolves when the changes are on disk. */
  readonly replace: (items: readonly Waiting[]) => Promise<void>
  readonly committed: (item: Item, pos: string, duplicate: boolean) => void
  readonly refused: (item: Item, error: ClientError) => void
  readonly onWarning: (warning: ClientError) => void
}

/** The present session, as one lane sees it. */
export interface Link {
  readonly session: Session
  readonly putsInFlightMax: number
  /** Aborted when the session is gone. */
  readonly signal: AbortSignal
}

/** How many puts share a `since` before a newer one is taken, for which everything under way has to be answered. */
const usesMax = 1_000

export class Lane {
  readonly #stream: string
  readonly #parts: LaneParts
  #items: Item[] = []
  /** The first that may have to be sent. */
  #next = 0
  #answered = 0
  readonly #underWay = new Set<Item>()
  #link: Link | undefined = undefined
  /** Asking the history, or noting what must be known before something is sent. */
  #busy = false
  #endPause: (() => void) | undefined = undefined
  /** In a row. */
  #failures = 0
  #sinceUses = 0
  /** How many are noted at once: fewer where the device has little room. */
  #notedMax = usesMax
  #lastPos: string | undefined = undefined
  /** The server has forgotten ids up to the place that was taken for a new one. */
  #isBehind = false

  constructor(stream: string, parts: LaneParts) {
    this.#stream = stream
    this.#parts = parts
  }

  /** Those not answered, in the order of the calls. */
  get items(): readonly Item[] {
    return this.#items.filter(({ state }) => state !== 'answered')
  }

  /** At the end, for a new one; the others by their keys. */
  add(...items: readonly Item[]): void {
    this.#items.push(...items)
    if (items.every(({ kept }) => !kept)) return
    this.#items.sort((one, other) => (one.waiting.key || Infinity) - (other.waiting.key || Infinity) || 0)
    this.#next = 0
  }

  /** Takes it off without a word. */
  remove(item: Item): void {
    item.state = 'answered'
    this.#underWay.delete(item)
    this.#answered++
    if (this.#answered * 2 <= this.#items.length) return
    this.#items = this.#items.filter(({ state }) => state !== 'answered')
    this.#answered = 0
    this.#next = 0
  }

  attach(link: Link): void {
    if (this.#link !== link) this.detach()
    this.#link = link
    this.pump()
  }

  /** Everything unanswered is sent again on the next session, with the same id and `since`. */
  detach(): void {
    this.#link = undefined
    for (const item of this.#underWay) {
      item.state = 'queued'
      item.mayStand = true
    }
    this.#underWay.clear()
    this.#endPause?.()
    this.#endPause = undefined
    this.#failures = 0
    this.#next = 0
    this.#lastPos = undefined
  }

  /** The `since` of a publish that will be sent soon; undefined where that is decided when its turn has come. */
  sinceOfNext(): string | undefined {
    if (!this.#link) return undefined
    const last = this.#items.findLast((item) => item.state !== 'answered' && !this.#isHeld(item))
    if (!last) this.#sinceUses = 0
    if (++this.#sinceUses > usesMax) return undefined
    return last ? last.waiting.since : this.#position()
  }

  /** Sends what can be sent now. */
  pump(): void {
    const link = this.#link
    if (!link || this.#busy || this.#endPause) return
    // After a failure one goes ahead alone, so that nothing passes it.
    const isCareful = this.#failures > 0 || this.#stream.startsWith('outbox/')
    const windowMax = isCareful ? 1 : Math.min(link.putsInFlightMax, this.#parts.bounds.putsInFlightMax)
    while (this.#underWay.size < windowMax) {
      const item = this.#items[this.#next]
      if (!item?.kept) return
      if (item.state === 'answered' || item.state === 'under-way' || this.#isHeld(item)) {
        this.#next++
        continue
      }
      if (item.state === 'unknown') return void this.#work(link, () => this.#lookUp(item, link))
      if (item.waiting.since === undefined) return void this.#work(link, () => this.#stamp(link))
      const [first] = this.#underWay
      if (first && first.waiting.since !== item.waiting.since) return
      if (item.bytes > (this.#parts.packetBytesMax() ?? Infinity)) this.#refuse(item, new ClientError('payload-too-large'))
      else void this.#send(item, link)
    }
  }

  #isHeld({ waiting }: Item): boolean {
    return isHeld(waiting.uid, this.#parts.uid())
  }

  async #send(item: Item, link: Link): Promise<void> {
    item.state = 'under-way'
    this.#underWay.add(item)
    let answer: PutAnswer
    try {
      answer = await link.session.put(item.waiting.topic, putOf(item.waiting))
    } catch (error) {
      answer = { id: item.waiting.id, error: asClientError(error, 'network').code }
    }
    const isPresent = this.#link === link && this.#underWay.delete(item)
    // Whichever attempt was appended, the entry stands there. A refusal of an earlier session says nothing of a later attempt.
    if ('pos' in answer) this.#commit(item, answer.pos, answer.duplicate ?? false)
    else if (isPresent) this.#failed(item, answer)
    this.pump()
  }

  #failed(item: Item, answer: Extract<PutAnswer, { error: string }>): void {
    const { id: _, error: code, reason, ...details } = answer
    const error = code === 'network' ? new ClientError('network') : errorOf(code, 400, reason, details)
    item.state = 'queued'
    this.#next = 0
    // Of a fault the server may not know itself what became of it.
    if (isPassing(error) && code !== 'too-many-requests') item.mayStand = true
    if (isPassing(error)) this.#pause()
    else if (error.code === 'unknown-outcome' && !item.mayStand) this.#forgetSince(item)
    else if (error.code === 'unknown-outcome') item.state = 'unknown'
    else if (error.code === 'forbidden' && item.mayStand) {
      // A grant is judged before the id: this says nothing of the attempt before [P-9.11].
      item.state = 'unknown'
      item.refusal = error
    } else if (error.code !== 'conflict' || !this.#waitsFor(item)) this.#refuse(item, error)
  }

  /** This was its first attempt, and is refused: it does not stand, only its place was too old. */
  #forgetSince(item: Item): void {
    item.waiting = { ...item.waiting, since: undefined }
    this.#lastPos = undefined
    this.#isBehind = true
  }

  /** The one it builds upon was sent before it and has to be sent again: what the server compared with is not what it will find then. */
  #waitsFor(item: Item): boolean {
    const condition = item.waiting.if
    return this.#items
      .slice(0, this.#items.indexOf(item))
      .some(({ state, waiting }) => state !== 'answered' && condition === `id:${waiting.id}`)
  }

  #commit(item: Item, pos: string, duplicate: boolean): void {
    if (item.state === 'answered') return
    this.#failures = 0
    this.#lastPos = pos
    this.remove(item)
    this.#parts.committed(item, pos, duplicate)
  }

  #refuse(item: Item, error: ClientError): void {
    if (item.state === 'answered') return
    this.#failures = 0
    this.remove(item)
    this.#parts.refused(item, error)
  }

  #position(): string | undefined {
    return this.#parts.positionOf(this.#stream) ?? this.#lastPos
  }

  /** Where a server that has forgotten ids must ask itself from; kept before the first attempt, or a crash in it would lead to a double. */
  async #stamp(link: Link): Promise<void> {
    const since = (this.#isBehind ? undefined : this.#position()) ?? (await this.#headOr(link, ''))
    this.#isBehind = false
    const uid = this.#parts.uid()
    const items: Item[] = []
    for (const item of this.#items.slice(this.#next, this.#next + usesMax)) {
      if (!item.kept) break
      // While the head was asked for, answers may have moved what stands before.
      if (item.state === 'queued' && item.waiting.since === undefined && !this.#isHeld(item)) items.push(item)
    }
    const stamped = items.map(({ waiting }): Waiting => ({ ...waiting, since, uid: waiting.uid ?? uid }))
    const noted = await this.#note(stamped)
    for (const [index, item] of items.slice(0, noted).entries()) item.waiting = stamped[index] as Waiting
    this.#sinceUses = noted
  }

  /**
   * Keeps as many of the first as there is room for, and says how many that are. Only sending makes room on a full
   * device: there one at a time goes on without being noted, and might stand twice if the page ended just then and came
   * back when the server has forgotten it.
   */
  async #note(items: readonly Waiting[]): Promise<number> {
    for (;;) {
      const count = Math.min(items.length, this.#notedMax)
      try {
        await this.#parts.replace(items.slice(0, count))
        this.#notedMax = Math.min(usesMax, this.#notedMax * 2)
        return count
      } catch (error) {
        if (asClientError(error, 'internal').code !== 'storage-full') throw error
        if (count === 1) return 1
        this.#notedMax = Math.ceil(count / 2)
      }
    }
  }

  async #headOr(link: Link, unreadable: string): Promise<string> {
    try {
      return (await this.#parts.history.entries(this.#stream, { limit: 0 }, link.signal)).head
    } catch (thrown) {
      const error = asClientError(thrown, 'network')
      if (isPassing(error)) throw error
      return unreadable
    }
  }

  /** [P-9.10] */
  async #lookUp(item: Item, link: Link): Promise<void> {
    const { history, bounds } = this.#parts
    const { id, uid, topic, since = '' } = item.waiting
    const query = { topic: topic.slice(this.#stream.length + 1), limit: bounds.pageEntries }
    for (let after = since; ;) {
      let page: Awaited<ReturnType<History['entries']>>
      try {
        page = await history.entries(this.#stream, { ...query, after }, link.signal)
      } catch (thrown) {
        const error = asClientError(thrown, 'network')
        if (isPassing(error)) throw error
        // What stood there cannot be read any more, or not by us: nobody can tell.
        return this.#refuse(item, new ClientError('unknown-outcome', undefined, { reason: error.code }, error))
      }
      const found = page.entries.find((entry) => entry.id === id && entry.from === uid)
      if (found?.pos !== undefined) return this.#commit(item, found.pos, true)
      after = page.next
      if (!page.upToDate) continue
      if (item.refusal) return this.#refuse(item, item.refusal)
      const again: Waiting = { ...item.waiting, since: after }
      await this.#note([again])
      item.waiting = again
      if (item.state === 'unknown') item.state = 'queued'
      return
    }
  }

  async #work(link: Link, task: () => Promise<void>): Promise<void> {
    this.#busy = true
    try {
      await task()
    } catch (thrown) {
      if (this.#link === link) this.#pause()
      const { code, message } = asClientError(thrown, 'internal')
      if (code !== 'network') this.#parts.onWarning(new ClientError(code, `${this.#stream} is not sent now: ${message}`, {}, thrown))
    }
    this.#busy = false
    this.pump()
  }

  #pause(): void {
    if (this.#endPause) return
    const { timers, bounds } = this.#parts
    const ms = Math.min(bounds.retryFirstMs * 2 ** this.#failures++, bounds.retryLongestMs) * (0.5 + timers.random() / 2)
    this.#endPause = timers.after(ms, () => {
      this.#endPause = undefined
      this.#next = 0
      this.pump()
    })
  }
}

/** Another user has written it than the connected one: it is kept, not sent. */
export function isHeld(author: string | undefined, connected: string | undefined): boolean {
  return author !== undefined && author !== connected
}

/** A token that has run out is no fault of what is published. */
function isPassing({ code, retry }: ClientError): boolean {
  return retry === 'yes' || code === 'unauthorized' || code === 'token-expired'
}
