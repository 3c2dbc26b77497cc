/** The retained messages that a plain filter begins with: those of one of the heads at which it may have begun [P-4.12]. */
import type { Message } from '../../support/raw-mqtt.ts'
import { violation, type Entry, type Truth } from './truth.ts'

/** A plain filter of a session. The head at its SUBSCRIBE lies between the two; deliveries tell more. */
export interface Held {
  readonly filter: string
  qos: number
  sinceMin: number
  sinceMax: number
}

export class RetainedModel {
  readonly held: Held
  /** What would come, for each of the heads. */
  #candidates: readonly (readonly Entry[])[]
  #got = 0
  /** Whether it may as well not have begun: what a crash leaves of it is not promised. */
  #optional: boolean
  /** Packet ids that wait for their PUBACK. */
  readonly #open = new Set<number>()

  constructor(truth: Truth, held: Held, heads: { min: number; max: number }, again?: { readonly optional: boolean }) {
    this.held = held
    this.#optional = again?.optional ?? false
    const distinct = new Map<string, Entry[]>()
    for (let head = heads.min; head <= heads.max; head++) {
      const state = truth.state(head, held.filter)
      // In a later connection only what was there at the SUBSCRIBE.
      for (let since = again ? held.sinceMin : head; since <= (again ? held.sinceMax : head); since++) {
        const list = state.filter(({ seq }) => seq <= since)
        distinct.set(list.map(({ seq }) => seq).join(), list)
      }
    }
    this.#candidates = [...distinct.values()]
  }

  message({ topic, text, qos, messageId }: Message): void {
    this.#candidates = this.#candidates.filter((list) => {
      const next = list[this.#got]
      return next?.topic === topic && next.text === text && this.#qos(next) === qos
    })
    if (this.#candidates.length === 0) violation(`[P-4.12] ${this.held.filter} does not begin with ${topic} ${text} at QoS ${qos}`)
    this.#got++
    if (messageId !== undefined && qos > 0) this.#open.add(messageId)
  }

  acknowledged(id: number): void {
    this.#open.delete(id)
  }

  /** An entry of its filter has come: by now all of it must have. */
  mustBeOver(): void {
    if (!this.mayBeOver) violation(`[P-4.12] an entry of ${this.held.filter} before its retained messages, of which ${this.#got} came`)
    if (!this.#optional || this.#got > 0) this.#candidates = this.#candidates.filter(({ length }) => length === this.#got)
  }

  get mayBeOver(): boolean {
    return (this.#optional && this.#got === 0) || this.#candidates.some(({ length }) => length === this.#got)
  }

  /** All has come and was acknowledged, whichever head it was. */
  get isOver(): boolean {
    return this.#open.size === 0 && this.#candidates.every(({ length }) => length === this.#got)
  }

  /** Whether it comes again in the session's next connection. */
  due(how: 'in order' | 'crashed'): 'yes' | 'maybe' | 'no' {
    if (this.isOver) return how === 'in order' ? 'no' : 'maybe'
    if (this.#optional && this.#got === 0) return 'maybe'
    if (this.#open.size > 0) return 'yes'
    // What is left at QoS 0 may have been written and lost.
    const left = this.#candidates.map((list) => list.slice(this.#got))
    return left.every((list) => list.some((entry) => this.#qos(entry) > 0)) ? 'yes' : 'maybe'
  }

  #qos(entry: Entry): number {
    return Math.min(entry.qos, this.held.qos)
  }
}
