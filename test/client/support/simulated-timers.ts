/** Time that passes when the test says so. */
import type { Timers } from '../../../client/seams.ts'

export class SimulatedTimers implements Timers {
  #nowMs = 0
  readonly #due = new Set<{ readonly atMs: number; readonly call: () => void }>()

  now(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  after(ms: number, call: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, call }
    this.#due.add(timer)
    return () => void this.#due.delete(timer)
  }

  random(): number {
    return 0.5
  }

  advance(ms: number): void {
    const untilMs = this.#nowMs + ms
    for (;;) {
      const next = [...this.#due].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (!next) break
      this.#nowMs = next.atMs
      this.#due.delete(next)
      next.call()
    }
    this.#nowMs = untilMs
  }
}
