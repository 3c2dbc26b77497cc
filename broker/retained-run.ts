/** The retained messages that a new plain filter begins with, as of the head at its SUBSCRIBE [P-4.12]. */
import type { Retained } from '../log/fold.ts'
import type { Stream } from '../log/stream.ts'
import type { DeliveryOwner, Outlet } from './outlet.ts'
import { encodePublish } from './packets.ts'
import type { PlainFilter } from './plain-cursor.ts'

export class RetainedRun implements DeliveryOwner {
  readonly filter: PlainFilter
  readonly #stream: Stream
  readonly #entries: readonly Retained[]
  readonly #outlet: Outlet
  #next = 0
  #open = 0

  constructor(filter: PlainFilter, stream: Stream, entries: readonly Retained[], outlet: Outlet) {
    this.filter = filter
    this.#stream = stream
    this.#entries = entries
    this.#outlet = outlet
    this.#finishIfDone()
  }

  get finished(): boolean {
    return this.#next === this.#entries.length
  }

  /** Sends what the window and the socket take. */
  deliver(): void {
    const { inflight } = this.#outlet
    let { bytesLeft } = this.#outlet
    while (!this.finished && bytesLeft > 0) {
      const { entry } = this.#entries[this.#next] as Retained
      if (entry.seq < this.#stream.erasedBefore) {
        this.#next++
        continue
      }
      const qos = Math.min(entry.qos, this.filter.qos)
      if (qos > 0 && inflight.room <= 0) return
      this.#next++
      const packet =
        qos === 0
          ? encodePublish(entry.topic, entry.payload, { retain: true })
          : encodePublish(entry.topic, entry.payload, { retain: true, packetId: inflight.push(this, entry.seq) })
      if (qos > 0) this.#open++
      bytesLeft -= packet.length
      this.#outlet.write(packet)
    }
    this.#finishIfDone()
  }

  acknowledged(): void {
    this.#open--
    this.#finishIfDone()
  }

  /** From here on an absent client need not get them again. */
  #finishIfDone(): void {
    if (!this.finished || this.#open > 0 || !this.filter.retainedDue) return
    this.filter.retainedDue = false
    this.#outlet.moved()
  }
}
