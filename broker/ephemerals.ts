/** Messages that are in no log: QoS 0 to whoever reads the stream now, and everything to taps. */
import { ephemeralEnvelope } from '../log/envelope.ts'
import type { Clock } from '../seams/clock.ts'
import type { Hints } from '../seams/hints.ts'
import type { Session } from './session.ts'
import { encodePublish } from './packets.ts'

/** Who gets the ephemeral messages of a stream. */
export interface StreamReader {
  ephemeral(message: EphemeralMessage): void
}

export interface EphemeralMessage {
  readonly stream: string
  readonly topic: string
  /** PUBLISH at QoS 0. */
  readonly packet: Buffer
  /** As JSON, made when first needed. */
  readonly envelope: () => Buffer
}

export interface EphemeralFields {
  readonly stream: string
  readonly topic: string
  readonly payload: Buffer
  readonly from: string
  readonly client: string
}

export class Ephemerals {
  readonly #clock: Clock
  readonly #hints: Hints
  readonly #readers = new Map<string, Set<StreamReader>>()
  readonly #taps = new Set<Session>()

  constructor(clock: Clock, hints: Hints) {
    this.#clock = clock
    this.#hints = hints
  }

  readonly readers = {
    add: (stream: string, reader: StreamReader): void => {
      const readers = this.#readers.get(stream)
      if (readers) readers.add(reader)
      else this.#readers.set(stream, new Set([reader]))
    },
    remove: (stream: string, reader: StreamReader): void => {
      const readers = this.#readers.get(stream)
      readers?.delete(reader)
      if (readers?.size === 0) this.#readers.delete(stream)
    },
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
  publish(message: EphemeralFields): void {
    this.deliver(message)
    if (this.tapped) this.show(message.topic, message.payload)
    this.#hints.send({ type: 'ephemeral', ...message })
  }

  /** Delivers a message to the readers here. */
  deliver({ stream, topic, payload, from, client }: EphemeralFields): void {
    const readers = this.#readers.get(stream)
    if (!readers) return
    let envelope: Buffer | undefined
    const message: EphemeralMessage = {
      stream,
      topic,
      packet: encodePublish(topic, payload),
      envelope: () => (envelope ??= ephemeralEnvelope({ ts: this.#clock.now(), from, client, topic, payload })),
    }
    for (const reader of readers) reader.ephemeral(message)
  }

  /** Shows a logged message to the taps [P-1.31]. */
  show(topic: string, payload: Buffer): void {
    const packet = encodePublish(topic, payload)
    for (const session of this.#taps) session.tapped(topic, packet)
  }
}
