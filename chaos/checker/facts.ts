/** What a record says, put together: every message with its attempts, and the one log that all doors must agree on. */
import type { AckedEvent, Event, FaultEvent, RefusedEvent, RunEvent, SendEvent, SettledEvent, Sighting } from '../record.ts'
import { parsePosition } from './positions.ts'

export interface Message {
  readonly m: number
  readonly sent: SendEvent
  /** In the order of time. */
  readonly attempts: SendEvent[]
  readonly acked: AckedEvent[]
  readonly refused: RefusedEvent[]
}

export interface Entry {
  readonly seq: number
  readonly pos: string
  readonly id: string
  readonly ts: number
  readonly from: string
  readonly client: string
  readonly topic: string
  readonly text: string
  readonly flags: string
  /** The message that it holds; undefined for what the server appended itself. */
  readonly m: number | undefined
}

export class StreamLog {
  readonly name: string
  /** By seq. */
  readonly entries = new Map<number, Entry>()
  /** Two doors, or one at two times, that do not show the same. */
  readonly disagreements: string[] = []
  lastSeq = 0
  /** The first seq that anybody was ever told is readable at the end. */
  sightings = 0
  readonly #certain: { t: number; seq: number }[] = []
  #certainSorted = false
  #possible: Float64Array = new Float64Array(0)
  readonly #changes = new Map<string, { readonly seq: number; readonly entry: Entry | null }[]>()

  constructor(name: string) {
    this.name = name
  }

  sight(sighting: Sighting, t: number): void {
    const [pos, id, ts, from, client, topic, text, flags] = sighting
    const position = parsePosition(pos)
    this.sightings++
    if (!position) return void this.disagreements.push(`${this.name}: ${pos} is no position`)
    const { seq } = position
    const known = this.entries.get(seq)
    const entry: Entry = { seq, pos, id, ts, from, client, topic, text, flags, m: messageOf(text, id) }
    if (!known) this.entries.set(seq, entry)
    else if (JSON.stringify(known) !== JSON.stringify(entry))
      this.disagreements.push(`${this.name}: seq ${seq} was ${JSON.stringify(known)} and is ${JSON.stringify(entry)} at ${t}`)
    this.lastSeq = Math.max(this.lastSeq, seq)
    this.certain(t, seq)
  }

  /** The entry stood at this time. */
  certain(t: number, seq: number): void {
    this.#certain.push({ t, seq })
  }

  /** Call once, when everything is known. */
  finish(messages: ReadonlyMap<number, Message>): void {
    this.#certain.sort((a, b) => a.t - b.t)
    let highest = 0
    for (const fact of this.#certain) fact.seq = highest = Math.max(highest, fact.seq)
    this.#certainSorted = true
    this.#possible = new Float64Array(this.lastSeq + 1)
    let latest = -Infinity
    for (let seq = 1; seq <= this.lastSeq; seq++) {
      const entry = this.entries.get(seq)
      latest = Math.max(latest, (entry?.m === undefined ? undefined : messages.get(entry.m)?.sent.t) ?? -Infinity)
      this.#possible[seq] = latest
      if (entry && entry.flags !== '') {
        const changes = this.#changes.get(entry.topic) ?? []
        changes.push({ seq, entry: entry.flags === 'd' ? null : entry })
        this.#changes.set(entry.topic, changes)
      }
    }
    this.#possible[0] = -Infinity
  }

  /** The head was at least this at the time. */
  lowest(t: number): number {
    if (!this.#certainSorted) throw new Error('the facts are not finished')
    const at = countUpTo(this.#certain.length, (index) => (this.#certain[index]?.t ?? 0) <= t)
    return this.#certain[at - 1]?.seq ?? 0
  }

  /** The head was at most this at the time: what was not yet sent could not stand. */
  highest(t: number): number {
    return countUpTo(this.lastSeq + 1, (seq) => (this.#possible[seq] ?? 0) <= t) - 1
  }

  /** The retained entry of a topic after `seq`; null where there is none. */
  retained(topic: string, seq: number): Entry | null {
    const changes = this.#changes.get(topic) ?? []
    const at = countUpTo(changes.length, (index) => (changes[index]?.seq ?? 0) <= seq)
    return changes[at - 1]?.entry ?? null
  }

  /** The state after `seq`, in ascending position. */
  state(seq: number): Entry[] {
    const found = [...this.#changes.keys()].map((topic) => this.retained(topic, seq)).filter((entry) => entry !== null)
    return found.sort((a, b) => a.seq - b.seq)
  }
}

export interface Facts {
  readonly record: readonly Event[]
  readonly run: RunEvent | undefined
  readonly settled: SettledEvent | undefined
  readonly messages: ReadonlyMap<number, Message>
  readonly logs: ReadonlyMap<string, StreamLog>
  readonly trims: readonly (NonNullable<FaultEvent['trimmed']> & { readonly t: number })[]
  /** The first moment at which a span of `ms` from `since` has passed in which no fault kept a server from anything. */
  after(since: number, ms: number): number
  /** Whether the payload is that of a message with QoS 0. */
  isLive(text: string): boolean
  /** Until then something was published that could be shown where it must not be. */
  readonly lastSentAt: number
  /** Where a message stands in the stream it was published to; empty where it does not. */
  placesOf(m: number): readonly Entry[]
  log(stream: string): StreamLog
}

export function factsOf(record: readonly Event[]): Facts {
  const messages = new Map<number, Message>()
  const logs = new Map<string, StreamLog>()
  const trims: { stream: string; first: number; t: number }[] = []
  const slow: { from: number; to: number }[] = []
  const log = (stream: string): StreamLog => {
    const found = logs.get(stream) ?? new StreamLog(stream)
    logs.set(stream, found)
    return found
  }
  for (const event of record) {
    if (event.k === 'send') {
      const message = messages.get(event.m) ?? { m: event.m, sent: event, attempts: [], acked: [], refused: [] }
      message.attempts.push(event)
      messages.set(event.m, message)
    } else if (event.k === 'acked') messages.get(event.m)?.acked.push(event)
    else if (event.k === 'refused') messages.get(event.m)?.refused.push(event)
    else if (event.k === 'got') log(streamOf(event.e[5])).sight(event.e, event.t)
    else if (event.k === 'page') for (const entry of event.entries) log(event.stream).sight(entry, event.t)
    else if (event.k === 'fault') {
      if (event.trimmed) trims.push({ ...event.trimmed, t: event.t })
      if (event.slowMs !== undefined) slow.push({ from: event.t, to: event.t + event.slowMs })
    }
  }
  const places = new Map<number, Entry[]>()
  for (const { entries } of logs.values()) {
    for (const entry of entries.values()) {
      if (entry.m === undefined || messages.get(entry.m)?.sent.stream !== streamOf(entry.topic)) continue
      const found = places.get(entry.m) ?? []
      found.push(entry)
      places.set(entry.m, found)
    }
  }
  for (const { m, sent, acked } of messages.values()) {
    for (const { t } of acked) for (const { seq } of places.get(m) ?? []) log(sent.stream).certain(t, seq)
  }
  for (const each of logs.values()) each.finish(messages)
  return {
    record,
    run: record.find((event) => event.k === 'run'),
    settled: record.find((event) => event.k === 'settled'),
    messages,
    logs,
    trims,
    isLive(text) {
      const m = messageOf(text, '')
      return m !== undefined && messages.get(m)?.sent.door === 'qos0'
    },
    lastSentAt: record.findLast(({ k }) => k === 'send')?.t ?? 0,
    after: (since, ms) => spanAfter(slow, since, ms),
    placesOf: (m) => places.get(m) ?? [],
    log(stream) {
      const known = logs.get(stream)
      if (known) return known
      // Nobody ever saw an entry of it.
      const empty = log(stream)
      empty.finish(messages)
      return empty
    },
  }
}

/** The spans come in the order of their beginnings, as they stand in a record. */
function spanAfter(spans: readonly { from: number; to: number }[], since: number, ms: number): number {
  let [at, left] = [since, ms]
  for (const { from, to } of spans) {
    if (to <= at) continue
    if (from - at >= left) break
    left -= Math.max(0, from - at)
    at = to
  }
  return at + left
}

export function streamOf(topic: string): string {
  return topic.split('/').slice(0, 2).join('/')
}

/** The number of a message from its payload, or of a deletion from its id. */
export function messageOf(text: string, id: string): number | undefined {
  const found = /^m(\d+)(?: |$)/.exec(text === '' ? id : text)
  return found ? Number(found[1]) : undefined
}

/** What the server appends to a stream for itself; the plain door does not show it [P-4.29]. */
export function isOfServer(topic: string): boolean {
  return /^[^/]+\/[^/]+\/\$/.test(topic)
}

/** Whether an MQTT filter matches a topic, levels compared one by one. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (let at = 0; at < wanted.length; at++) {
    if (wanted[at] === '#') return true
    if (at >= levels.length || (wanted[at] !== '+' && wanted[at] !== levels[at])) return false
  }
  return wanted.length === levels.length
}

/** How many of the first `length` numbers, for which the condition holds up to one of them, it holds for. */
function countUpTo(length: number, holds: (index: number) => boolean): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >> 1
    if (holds(middle)) low = middle + 1
    else high = middle
  }
  return low
}
