/** Which transport is tried next: the best, unless it cannot be opened while another can. */
import type { ClientError } from './errors.ts'
import type { Timers } from './seams.ts'
import type { Transport } from './transport/transport.ts'

/** So often in a row the best one fails before the other is tried. */
const attemptsMax = 2

export class Choice {
  readonly #best: Transport
  readonly #other: Transport | undefined
  readonly #timers: Timers
  readonly #againMs: number
  #failures = 0
  /** Until then the other one is taken at once: it has just been shown to work, and the best one not to. */
  #otherUntilMs = -Infinity

  /** One transport, or the best and the one for networks that block it. */
  constructor(transports: readonly [Transport, Transport?], timers: Timers, againMs: number) {
    ;[this.#best, this.#other] = transports
    this.#timers = timers
    this.#againMs = againMs
  }

  next(): Transport {
    const other = this.#failures >= attemptsMax || this.#timers.now() < this.#otherUntilMs
    return (other ? this.#other : undefined) ?? this.#best
  }

  /** Only a network that does not let us through tells anything about the transport. */
  failed(transport: Transport, error: ClientError): void {
    if (error.code !== 'network') return
    this.#failures = transport === this.#best ? this.#failures + 1 : 0
    if (transport === this.#other) this.#otherUntilMs = -Infinity
  }

  opened(transport: Transport): void {
    this.#failures = 0
    this.#otherUntilMs = transport === this.#other ? this.#timers.now() + this.#againMs : -Infinity
  }

  /** What is worth trying beside `transport`. */
  betterThan(transport: Transport): Transport | undefined {
    return transport === this.#best ? undefined : this.#best
  }
}
