/** Counts what one turn delivered and tells it once: a metric per write would cost as much as the write. */
import type { Clock } from '../seams/clock.ts'
import type { Telemetry } from '../seams/telemetry.ts'

export class Deliveries {
  readonly #clock: Clock
  readonly #telemetry: Telemetry
  #entries = 0
  #committedMs = Infinity

  constructor(clock: Clock, telemetry: Telemetry) {
    this.#clock = clock
    this.#telemetry = telemetry
  }

  /** Entries went to a session; `committedMs` is when the newest of them was on disk, where this process knows. */
  count(entries: number, committedMs: number | undefined): void {
    this.#entries += entries
    if (committedMs !== undefined && committedMs < this.#committedMs) this.#committedMs = committedMs
  }

  /** The turn is over. */
  tell(): void {
    if (this.#entries === 0) return
    const latencyMs = this.#committedMs === Infinity ? undefined : this.#clock.now() - this.#committedMs
    this.#telemetry.delivered(this.#entries, latencyMs)
    this.#entries = 0
    this.#committedMs = Infinity
  }
}
