/** The filters that one session follows, and how far each has been told. */
import { TopicFilter } from '../../protocol/topic-filter.ts'
import type { Control, Envelope } from '../wire.ts'
import type { SessionEvents } from './transport.ts'

interface Followed {
  readonly filter: TopicFilter
  /** Number of the newest entry told; undefined before `at` and after the end. */
  toldSeq: number | undefined
}

const controls: ReadonlySet<unknown> = new Set(['at', 'reset', 'ended'])

/**
 * Says which filters a message is for. A connection gets an entry once for each of its filters that match, and the
 * copies look alike: each filter takes the first one, and nothing from before its `at`. Ephemeral messages have no
 * number; they come twice where two filters of one stream overlap.
 */
export class Following {
  readonly #events: SessionEvents
  readonly #filters = new Map<string, Followed>()

  constructor(events: SessionEvents) {
    this.#events = events
  }

  get filters(): readonly string[] {
    return [...this.#filters.keys()]
  }

  has(filter: string): boolean {
    return this.#filters.has(filter)
  }

  add(filter: string): void {
    this.#filters.set(filter, { filter: new TopicFilter(filter), toldSeq: undefined })
  }

  delete(filter: string): boolean {
    return this.#filters.delete(filter)
  }

  refused(filter: string): void {
    if (this.delete(filter)) this.#events.refused(filter)
  }

  /** `topic` as on the door, without its prefix. */
  entry(topic: string, envelope: Envelope): void {
    for (const [filter, followed] of this.#filters) if (followed.filter.matches(topic)) this.entryOf(filter, envelope)
  }

  /** Where the door says which filter it is for. */
  entryOf(filter: string, envelope: Envelope): void {
    const followed = this.#filters.get(filter)
    if (followed?.toldSeq === undefined) return
    if (envelope.pos !== undefined) {
      const seq = seqOf(envelope.pos)
      if (seq <= followed.toldSeq) return
      followed.toldSeq = seq
    }
    this.#events.entry(filter, envelope)
  }

  /** What is not known is passed over [P-14.7]. */
  control(filter: string, message: Readonly<Record<string, unknown>>): void {
    const followed = this.#filters.get(filter)
    if (!followed || !controls.has(message['ctl'])) return
    const control = message as unknown as Control
    followed.toldSeq = control.ctl === 'at' ? Math.max(followed.toldSeq ?? 0, seqOf(control.pos)) : undefined
    this.#events.control(filter, control)
  }
}

function seqOf(pos: string): number {
  return Number(pos.split('.')[1])
}
