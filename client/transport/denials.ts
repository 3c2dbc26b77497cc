/**
 * Filters that AWS IoT Core may have closed the connection for: it does not say why it closes. Each is tried alone after that, and
 * one that ends a connection alone is left for a while, so that a denied filter costs two connections and not every one.
 */
import type { Timers } from '../seams.ts'

export class Denials {
  readonly #timers: Timers
  readonly #pauseMs: number
  readonly #suspects = new Set<string>()
  readonly #deniedUntilMs = new Map<string, number>()

  constructor(timers: Timers, pauseMs: number) {
    this.#timers = timers
    this.#pauseMs = pauseMs
  }

  isDenied(filter: string): boolean {
    return this.#timers.now() < (this.#deniedUntilMs.get(filter) ?? -Infinity)
  }

  isSuspect(filter: string): boolean {
    return this.#suspects.has(filter)
  }

  /** The connection was closed while these had no answer. */
  cut(filters: readonly string[]): void {
    const [only] = filters
    if (only !== undefined && filters.length === 1 && this.#suspects.has(only))
      this.#deniedUntilMs.set(only, this.#timers.now() + this.#pauseMs)
    for (const filter of filters) this.#suspects.add(filter)
  }

  answered(filter: string): void {
    this.#suspects.delete(filter)
    this.#deniedUntilMs.delete(filter)
  }
}
