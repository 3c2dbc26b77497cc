/** How far the server's clock is from ours, from the time between a question and the `at` that answers it [P-6.10]. */
import type { Timers } from '../seams.ts'
import type { ClockOffset } from './transport.ts'

export class ClockEstimate {
  readonly #timers: Timers
  readonly #asked = new Map<string, { readonly wallMs: number; readonly nowMs: number }>()
  #best: ClockOffset | undefined

  constructor(timers: Timers) {
    this.#timers = timers
  }

  get(): ClockOffset | undefined {
    return this.#best
  }

  asked(filter: string): void {
    this.#asked.set(filter, { wallMs: this.#timers.wallMs(), nowMs: this.#timers.now() })
  }

  /** The quicker the answer, the better the estimate; later `at`s of the filter answer nothing. */
  answered(filter: string, serverMs: number): void {
    const asked = this.#asked.get(filter)
    if (!asked || !this.#asked.delete(filter)) return
    const halfMs = (this.#timers.now() - asked.nowMs) / 2
    if (this.#best && this.#best.errorMs < halfMs) return
    this.#best = { offsetMs: serverMs - asked.wallMs - halfMs, errorMs: halfMs }
  }
}
