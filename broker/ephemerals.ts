/** QoS 0 messages of this node's clients to whoever reads their stream, and everything to taps. */
import type { Live, LiveFields } from '../delivery/live.ts'
import type { Session } from './session.ts'
import { encodePublish } from './packets.ts'

export class Ephemerals {
  readonly #live: Live
  readonly #taps = new Set<Session>()

  constructor(live: Live) {
    this.#live = live
  }

  readonly taps = {
    add: (session: Session): void => void this.#taps.add(session),
    remove: (session: Session): void => void this.#taps.delete(session),
  }

  /** Whether anybody sees what this node handles. */
  get tapped(): boolean {
    return this.#taps.size > 0
  }

  /** Delivers a message to the readers of its stream, here and on other nodes [P-3.2]. */
  publish(message: LiveFields): void {
    this.#live.publish(message)
    if (this.tapped) this.show(message.topic, message.payload)
  }

  /** Shows a logged message to the taps [P-1.31]. */
  show(topic: string, payload: Buffer): void {
    const packet = encodePublish(topic, payload)
    for (const session of this.#taps) session.tapped(topic, packet)
  }
}
