/** What a session with plain filters must be shown. */
import type { Message } from '../../support/raw-mqtt.ts'
import { counts } from './counts.ts'
import { RetainedModel, type Held } from './retained-model.ts'
import { matches, violation, type Entry, type Truth } from './truth.ts'

/** A delivery that asked for a PUBACK. */
interface Delivery {
  readonly id: number
  /** Absent where it is a retained message. */
  readonly seq: number | undefined
  acked: boolean
}

export class PlainModel {
  readonly #truth: Truth
  readonly #held = new Map<string, Held>()
  #retained: RetainedModel | undefined
  #deliveries: Delivery[] = []
  /** The newest entry on this connection. */
  #last = 0
  /** Everything up to here was acknowledged in order: the session's place is not before it. */
  #place = 0
  /** The place that is on disk for sure: as it was at the CONNACK, or where the first filter began [P-4.15]. */
  #storedPlace = 0
  /** Acknowledged in any order; such entries come again as long as one before them is not acknowledged. */
  readonly #acked = new Set<number>()
  /** Entries of QoS 0 that may have been written to a connection that did not read them [P-4.18]. */
  readonly #lossy = new Set<number>()
  readonly #received = new Set<number>()
  /** No entry has come on this connection yet. */
  #fresh = true
  /** The head at the CONNACK: entries after it were never sent before. */
  #existedTo = 0

  constructor(truth: Truth) {
    this.#truth = truth
  }

  get active(): boolean {
    return this.#held.size > 0
  }

  /** Its SUBACK has come; the head at its SUBSCRIBE lay in between. */
  subscribed(filter: string, qos: number, heads: { min: number; max: number }): void {
    if (!this.active) this.#last = this.#place = this.#storedPlace = heads.min
    const held = this.#held.get(filter) ?? { filter, qos, sinceMin: heads.min, sinceMax: heads.max }
    held.qos = qos
    this.#held.set(filter, held)
    this.#retained = new RetainedModel(this.#truth, held, heads)
  }

  /** Whether another filter may be subscribed without its retained messages being mixed with earlier ones. */
  get retainedOver(): boolean {
    return this.#retained?.isOver ?? true
  }

  /** The session goes on on a new connection. */
  restored(heads: { min: number; max: number }, how: 'in order' | 'crashed'): void {
    const due = this.#retained?.due(how) ?? 'no'
    if (how === 'crashed') this.#place = this.#storedPlace
    this.#storedPlace = this.#last = this.#place
    this.#deliveries = []
    this.#fresh = true
    this.#existedTo = heads.max
    this.#retained =
      this.#retained && due !== 'no' ? new RetainedModel(this.#truth, this.#retained.held, heads, { optional: due === 'maybe' }) : undefined
  }

  /** The connection is over. */
  left(): void {
    for (const entry of this.#truth.entries.slice(this.#last)) if (this.#qos(entry).min === 0) this.#lossy.add(entry.seq)
    // With nothing in flight the place is behind everything that was written, QoS 0 included [P-4.18].
    if (this.#deliveries.every(({ acked }) => acked)) this.#place = Math.max(this.#place, this.#last)
  }

  /** Where the session may stand if nothing more comes of it: its place is neither before nor after these two. */
  placeRange(how: 'in order' | 'crashed'): { min: number; max: number } {
    const min = how === 'crashed' ? this.#storedPlace : this.#place
    const open = this.#truth.entries.find(
      (entry) => entry.seq > this.#place && this.#wants(entry) === 'yes' && !this.#acked.has(entry.seq) && this.#qos(entry).max > 0,
    )
    return { min, max: open ? open.seq - 1 : this.#truth.head }
  }

  /** The first entry that is still to come, as far as the client can know. */
  get next(): number {
    return this.#last + 1
  }

  message(message: Message): void {
    if (!message.retain) return this.#live(message)
    if (!this.#retained) violation(`[P-4.13] ${message.topic} ${message.text} with retain, and nobody waits for retained messages`)
    this.#retained.message(message)
    counts.retained++
    if (message.messageId !== undefined && message.qos > 0) this.#deliveries.push({ id: message.messageId, seq: undefined, acked: false })
  }

  acknowledged(id: number): void {
    const delivery = this.#deliveries.find((other) => other.id === id && !other.acked)
    if (!delivery) return
    delivery.acked = true
    if (delivery.seq === undefined) this.#retained?.acknowledged(id)
    else this.#acked.add(delivery.seq)
    for (const { seq, acked } of this.#deliveries) {
      if (!acked) break
      if (seq !== undefined) this.#place = Math.max(this.#place, seq)
    }
  }

  /** What is due at this head and has not come; undefined where nothing is. */
  missing(head: number): string | undefined {
    if (this.#retained && !this.#retained.mayBeOver) return `retained messages of ${this.#retained.held.filter}`
    const due = this.#truth.entries.slice(this.#last, head).find((entry) => this.#wants(entry) === 'yes' && !this.#maySkip(entry))
    return due && `seq ${due.seq} after ${this.#last}`
  }

  #live(message: Message): void {
    const { topic, text, qos, messageId, dup } = message
    const entry = this.#truth.find(topic, text)
    if (!entry) violation(`[P-8.13] ${topic} ${text} is not in the log`)
    const { seq } = entry
    const after = `after ${this.#last}`
    if (seq <= this.#last) violation(`[P-4.11] [P-4.12] seq ${seq} (${topic} ${text}) came ${after}`)
    if (this.#wants(entry) === 'no') violation(`[P-4.12] nobody asked for seq ${seq} (${topic} ${text})`)
    for (const passed of this.#truth.entries.slice(this.#last, seq - 1)) {
      const wanted = this.#wants(passed)
      if (wanted === 'yes' && !this.#maySkip(passed)) violation(`[P-4.17] a gap: seq ${passed.seq} was due ${after}, there came ${seq}`)
      if (wanted === 'maybe') this.#beginsAfter(passed)
    }
    this.#check(entry, message)
    if (this.#retained && matches(this.#retained.held.filter, topic)) this.#retained.mustBeOver()
    this.#beginsBefore(entry)
    this.#last = seq
    this.#fresh = false
    this.#received.add(seq)
    counts.deliveries++
    if (dup) counts.dups++
    if (qos === 0) this.#acked.add(seq)
    if (messageId !== undefined && qos > 0) this.#deliveries.push({ id: messageId, seq, acked: false })
  }

  /** What a client that returns need not get again, and what a cut may have lost. */
  #maySkip({ seq }: Entry): boolean {
    return (this.#fresh && this.#acked.has(seq)) || this.#lossy.has(seq)
  }

  #check(entry: Entry, { qos, dup }: Message): void {
    const { min, max } = this.#qos(entry)
    if (qos < min || qos > max) violation(`[P-4.7] [P-4.10] seq ${entry.seq} came at QoS ${qos}, not ${min} to ${max}`)
    if (qos > 0 && !dup && this.#received.has(entry.seq)) violation(`[P-4.20] seq ${entry.seq} came again without DUP`)
    if (dup && entry.seq > this.#existedTo) violation(`[P-4.20] seq ${entry.seq} has DUP, but was never sent before`)
    if (qos === 0 && dup) violation('[MQTT-3.3.1-2] DUP at QoS 0')
  }

  #wants({ seq, topic }: Entry): 'yes' | 'maybe' | 'no' {
    let wanted: 'yes' | 'maybe' | 'no' = 'no'
    for (const { filter, sinceMin, sinceMax } of this.#held.values()) {
      if (seq <= sinceMin || !matches(filter, topic)) continue
      if (seq > sinceMax) return 'yes'
      wanted = 'maybe'
    }
    return wanted
  }

  #qos({ seq, topic, qos }: Entry): { min: number; max: number } {
    let [min, max] = [-1, -1]
    for (const held of this.#held.values()) {
      if (seq <= held.sinceMin || !matches(held.filter, topic)) continue
      if (seq > held.sinceMax) min = Math.max(min, held.qos)
      max = Math.max(max, held.qos)
    }
    return { min: Math.min(qos, Math.max(min, 0)), max: Math.min(qos, max) }
  }

  /** It came: a filter that is the only one to ask for it began before it. */
  #beginsBefore({ seq, topic }: Entry): void {
    const asking = [...this.#held.values()].filter(({ filter, sinceMin }) => seq > sinceMin && matches(filter, topic))
    const [only] = asking
    if (asking.length === 1 && only) only.sinceMax = Math.min(only.sinceMax, seq - 1)
  }

  /** It did not come: whoever might have asked for it began after it. */
  #beginsAfter({ seq, topic }: Entry): void {
    for (const held of this.#held.values()) if (seq > held.sinceMin && matches(held.filter, topic)) held.sinceMin = seq
  }
}
