/** All readers of events: one clock, one turn of the event loop, a bound per user [P-18.14], and their end with the server. */
import type { Principal } from '../auth/index.ts'
import { Deliveries } from '../delivery/deliveries.ts'
import { Turn } from '../delivery/turn.ts'
import { SyncError } from '../protocol/errors.ts'
import { eventsTickMs } from '../seams/limits.ts'
import type { WantedFilter } from './event-request.ts'
import { EventStream, type EventStreamParts } from './event-stream.ts'
import type { BridgeParts } from './parts.ts'

export class EventStreams {
  readonly #parts: EventStreamParts
  readonly #streams = new Set<EventStream>()
  readonly #timer: NodeJS.Timeout
  readonly #stopListening: () => void
  #closed = false

  constructor(parts: BridgeParts) {
    const deliveries = new Deliveries(parts.clock, parts.metrics)
    this.#parts = { ...parts, deliveries, turn: new Turn(() => deliveries.tell()) }
    this.#stopListening = parts.authority.onChange(() => {
      for (const stream of this.#streams) stream.checkRevoked()
    })
    this.#timer = setInterval(() => this.#ticked(), eventsTickMs).unref()
  }

  stats(): { readonly eventStreams: number; readonly eventUnsentBytes: number } {
    let eventUnsentBytes = 0
    for (const { unsentBytes } of this.#streams) eventUnsentBytes += unsentBytes
    return { eventStreams: this.#streams.size, eventUnsentBytes }
  }

  /** A reader that is ready to begin. Throws `too-many-requests`, `forbidden`, or what keeps the log from being read. */
  async open(principal: Principal, wanted: readonly WantedFilter[]): Promise<EventStream> {
    if (this.#closed) throw new SyncError('stopping', 'the server is stopping')
    const { connectionsPerUserMax } = this.#parts.limits
    const held = [...this.#streams].filter((one) => one.principal.uid === principal.uid).length
    if (connectionsPerUserMax > 0 && held >= connectionsPerUserMax) {
      throw new SyncError('too-many-requests', `more than ${connectionsPerUserMax} event streams of one user`)
    }
    const stream = new EventStream(principal, this.#parts)
    this.#streams.add(stream)
    void stream.gone.then(() => this.#streams.delete(stream))
    try {
      await stream.prepare(wanted)
      return stream
    } catch (error) {
      stream.abandon()
      throw error
    }
  }

  /** Ends all; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    this.#stopListening()
    const streams = [...this.#streams]
    for (const stream of streams) stream.end('stopping', 'the server is stopping')
    await Promise.all(streams.map(({ gone }) => gone))
  }

  #ticked(): void {
    const nowMs = this.#parts.clock.now()
    for (const stream of this.#streams) stream.tick(nowMs)
  }
}
