/** Time that passes when a test says so. */
import type { Timers } from '../../client/seams.ts'

export class ManualTimers implements Timers {
  #nowMs = 0
  #waiting: { readonly dueMs: number; readonly call: () => void }[] = []

  now(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs
  }

  after(ms: number, call: () => void): () => void {
    const timer = { dueMs: this.#nowMs + ms, call }
    this.#waiting.push(timer)
    return () => void (this.#waiting = this.#waiting.filter((other) => other !== timer))
  }

  random(): number {
    return 1
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Lets time pass up to the next call, and makes it. */
  next(): void {
    const [first] = this.#waiting.sort((one, other) => one.dueMs - other.dueMs)
    if (!first) throw new Error('nothing waits for time to pass')
    this.#waiting = this.#waiting.filter((other) => other !== first)
    this.#nowMs = Math.max(this.#nowMs, first.dueMs)
    first.call()
  }
}
