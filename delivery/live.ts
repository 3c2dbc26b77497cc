/** Messages that are in no log: to whoever reads their stream now, on this node and on the others [P-3.2]. */
import { ephemeralEnvelope } from '../log/envelope.ts'
import type { Clock } from '../seams/clock.ts'
import type { Hints } from '../seams/hints.ts'

/** Who gets the ephemeral messages of a stream. */
export interface LiveReader {
  ephemeral(message: LiveMessage): void
}

export interface LiveMessage {
  readonly stream: string
  readonly topic: string
  readonly payload: Buffer
  /** As JSON, made when first needed [P-3.13]. */
  readonly envelope: () => Buffer
  /** As a PUBLISH at QoS 0, kept by the first reader that needs one. */
  packet: Buffer | undefined
}

export interface LiveFields {
  readonly stream: string
  readonly topic: string
  readonly payload: Buffer
  readonly from: string
  readonly client: string
}

export class Live {
  readonly #clock: Clock
  readonly #hints: Hints
  readonly #readers = new Map<string, Set<LiveReader>>()
  /** Hears no more of other nodes. */
  readonly close: () => void

  constructor({ clock, hints }: { readonly clock: Clock; readonly hints: Hints }) {
    this.#clock = clock
    this.#hints = hints
    this.close = hints.listen((hint) => {
      if (hint.type === 'ephemeral') this.#deliver(hint)
    })
  }

  add(stream: string, reader: LiveReader): void {
    const readers = this.#readers.get(stream)
    if (readers) readers.add(reader)
    else this.#readers.set(stream, new Set([reader]))
  }

  remove(stream: string, reader: LiveReader): void {
    const readers = this.#readers.get(stream)
    readers?.delete(reader)
    if (readers?.size === 0) this.#readers.delete(stream)
  }

  /** Delivers a message to the readers of its stream, here and on other nodes. */
  publish(message: LiveFields): void {
    this.#deliver(message)
    this.#hints.send({ type: 'ephemeral', ...message })
  }

  #deliver({ stream, topic, payload, from, client }: LiveFields): void {
    const readers = this.#readers.get(stream)
    if (!readers) return
    let envelope: Buffer | undefined
    const message: LiveMessage = {
      stream,
      topic,
      payload,
      envelope: () => (envelope ??= ephemeralEnvelope({ ts: this.#clock.now(), from, client, topic, payload })),
      packet: undefined,
    }
    for (const reader of readers) reader.ephemeral(message)
  }
}
