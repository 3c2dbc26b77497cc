/** Plain sessions: nothing is lost between connections, what comes twice is marked, and retained messages are those of a true moment [P-4.12, P-4.17, P-4.20]. */
import type { OpenEvent, PlainEvent, SubscribedEvent } from '../record.ts'
import { isOfServer, matches, streamOf, type Entry, type Facts } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

interface Connection {
  readonly open: OpenEvent
  readonly subscribed: SubscribedEvent[]
  readonly plain: PlainEvent[]
}

/** Of one session in one stream. */
interface Place {
  /** Everything matching up to here came; undefined before anything has. */
  newest: number | undefined
  /** Where the filter began, as far as is known. */
  readonly began: { readonly low: number; high: number }
}

export function plainSessions(facts: Facts): Finding {
  const notes = new Notes()
  const connections = new Map<number, Connection>()
  for (const event of facts.record) {
    if (event.k === 'open' && event.door === 'plain') connections.set(event.sub, { open: event, subscribed: [], plain: [] })
    else if (event.k === 'subscribed' && event.code <= 1) connections.get(event.sub)?.subscribed.push(event)
    else if (event.k === 'plain' && !facts.isLive(event.text)) connections.get(event.sub)?.plain.push(event)
  }
  const sessions = new Map<string, Session>()
  for (const connection of connections.values()) {
    const { open } = connection
    const name = open.clean === true ? `${open.reader} ${open.sub}` : open.reader
    let session = sessions.get(name)
    if (session && open.present !== true) {
      session.discarded(open)
      session = undefined
    }
    session ??= new Session(facts, notes, name)
    sessions.set(name, session)
    session.connected(connection)
  }
  const abandoned = new Set(facts.record.filter((event) => event.k === 'abandoned').map(({ reader }) => reader))
  for (const [name, session] of sessions) if (!abandoned.has(name)) session.ended()
  return notes
}

class Session {
  readonly #facts: Facts
  readonly #notes: Notes
  readonly #name: string
  readonly #places = new Map<string, Place>()
  readonly #filters = new Map<string, string>()
  /** Something was granted: from then on the session is kept. */
  #granted = false
  #clean = false

  constructor(facts: Facts, notes: Notes, name: string) {
    this.#facts = facts
    this.#notes = notes
    this.#name = name
  }

  connected({ open, subscribed, plain }: Connection): void {
    this.#clean = open.clean === true
    for (const { filter, call, t, code } of subscribed) {
      const stream = streamOf(filter)
      const log = this.#facts.log(stream)
      this.#filters.set(stream, filter)
      const place = this.#places.get(stream) ?? { newest: undefined, began: { low: log.lowest(call), high: Infinity } }
      if (code >= 0) place.began.high = Math.min(place.began.high, log.highest(t))
      if (code >= 0) this.#granted = true
      this.#places.set(stream, place)
    }
    for (const stream of this.#filters.keys()) {
      const here = plain.filter(({ topic }) => streamOf(topic) === stream)
      this.#live(
        stream,
        here.filter(({ retain }) => !retain),
      )
      this.#retained(
        stream,
        here.filter(({ retain }) => retain),
        subscribed.filter(({ filter, code }) => code >= 0 && streamOf(filter) === stream),
        open,
      )
    }
    for (const { topic, text } of plain) {
      const isHeld = [...this.#filters.values()].some((filter) => matches(filter, topic))
      this.#notes.expect(isHeld, () => `${this.#name} got ${topic} ${text.slice(0, 20)}, which it holds no filter for`)
    }
  }

  /** Session present was 0: allowed where something was trimmed that it had not got. */
  discarded(open: OpenEvent): void {
    const isExplained = [...this.#places].some(([stream, { newest = 0 }]) =>
      this.#facts.trims.some((trim) => trim.stream === stream && trim.t <= open.t + 30_000 && trim.first > newest - 200),
    )
    this.#notes.expect(!this.#granted || isExplained, () => `${this.#name} found its session gone at ${open.t}, and nothing explains it`)
  }

  /** A kept session has everything at the end that stood when the last message was sent. A will that nobody waited for may come behind it. */
  ended(): void {
    if (this.#clean || !this.#facts.settled) return
    for (const [stream, { newest }] of this.#places) {
      const stood = this.#facts.log(stream).lowest(this.#facts.lastSentAt)
      const wanted = this.#matching(stream).findLast(({ seq }) => seq <= stood)?.seq
      const isThere = wanted === undefined || (newest ?? 0) >= wanted
      this.#notes.expect(isThere, () => `${this.#name}: ${stream} came up to ${newest} of ${wanted}`)
    }
  }

  #live(stream: string, plain: readonly PlainEvent[]): void {
    const place = this.#places.get(stream) as Place
    const matching = this.#matching(stream)
    if (plain.length === 0) return
    const { newest, began } = place
    const start = beginningOf(matching, plain, (index) => {
      const before = matching[index - 1]?.seq ?? 0
      return newest === undefined ? before <= began.high && (matching[index]?.seq ?? 0) > began.low : before <= newest
    })
    this.#notes.expect(start >= 0, () => `${this.#name}: ${plain[0]?.topic} at ${plain[0]?.t} stands nowhere in the log`)
    if (start < 0) return
    const first = matching[start]?.seq ?? 0
    const before = matching[start - 1]?.seq ?? 0
    if (newest === undefined) {
      // The head captured lies between the entry before the first one that came and that one.
      this.#notes.expect(before <= began.high && first > began.low, () => {
        return `${this.#name}: ${stream} began with ${first} (after ${before}), and the head was ${began.low} to ${began.high}`
      })
    } else {
      this.#notes.expect(before <= newest, () => `${this.#name}: ${stream} went on with ${first} after ${newest}: seq ${before} is missing`)
    }
    plain.forEach(({ topic, text, dup, t }, index) => {
      const entry = matching[start + index]
      this.#notes.expect(entry?.topic === topic && entry.text === text, () => {
        return `${this.#name}: ${topic} ${text.slice(0, 20)} came at ${t} in the place of seq ${entry?.seq}`
      })
      if (!entry) return
      const isRepeat = newest !== undefined && entry.seq <= newest
      this.#notes.expect(!isRepeat || dup, () => `${this.#name}: seq ${entry.seq} of ${stream} came again at ${t} without DUP`)
      place.newest = Math.max(place.newest ?? 0, entry.seq)
    })
  }

  #retained(stream: string, plain: readonly PlainEvent[], subscribed: readonly SubscribedEvent[], open: OpenEvent): void {
    const log = this.#facts.log(stream)
    for (const { topic, text, t } of plain) {
      // What one SUBSCRIBE brings may still be on its way when the next one is answered.
      const asked = subscribed.filter((event) => event.t <= t).map((event) => [log.lowest(event.call), log.highest(event.t)] as const)
      // A run of retained messages that an end of the connection cut short goes on in the next one, with what stands there then.
      const restored = [log.lowest(open.t), log.highest(open.served ?? t)] as const
      const heads = open.present === true ? [restored, ...asked] : asked
      const isTrue = heads.some(([low, high]) => {
        for (let seq = low; seq <= high; seq++) if (log.retained(topic, seq)?.text === text) return true
        return false
      })
      this.#notes.expect(isTrue, () => {
        const ranges = heads.map(([low, high]) => `${low} to ${high}`).join(', ')
        return `${this.#name}: ${topic} came as retained ${text.slice(0, 20)} at ${t}, at no head of ${ranges}`
      })
    }
  }

  #matching(stream: string): readonly Entry[] {
    const filter = this.#filters.get(stream) ?? ''
    return matchingEntries(this.#facts, stream, filter)
  }
}

const known = new WeakMap<Facts, Map<string, Entry[]>>()

function matchingEntries(facts: Facts, stream: string, filter: string): readonly Entry[] {
  const byFilter = known.get(facts) ?? new Map<string, Entry[]>()
  known.set(facts, byFilter)
  let found = byFilter.get(filter)
  if (!found) {
    const { entries } = facts.log(stream)
    found = [...entries.values()].filter(({ topic }) => matches(filter, topic) && !isOfServer(topic)).sort((a, b) => a.seq - b.seq)
    byFilter.set(filter, found)
  }
  return found
}

/**
 * Where in the matching entries a run begins, told by its first payload. Deletions have none: of those the newest is meant that it may
 * begin with. Negative where it stands nowhere.
 */
function beginningOf(matching: readonly Entry[], plain: readonly PlainEvent[], mayBegin: (index: number) => boolean): number {
  const at = plain.findIndex(({ text }) => text !== '')
  if (at < 0) {
    const isThere = ({ topic, text }: Entry): boolean => topic === plain[0]?.topic && text === ''
    const found = matching.findLastIndex((entry, index) => isThere(entry) && mayBegin(index))
    return found < 0 ? matching.findLastIndex(isThere) : found
  }
  const { topic, text } = plain[at] as PlainEvent
  const found = matching.findIndex((entry) => entry.topic === topic && entry.text === text)
  return found - at
}
