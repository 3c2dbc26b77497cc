/** How many streams one user may begin in an hour [P-13.23]: nobody fills the store with empty logs. */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../seams/clock.ts'
import { quotaUsersMax } from '../seams/limits.ts'

const hourMs = 3_600_000

export class StreamQuota {
  readonly #clock: Clock
  readonly #perHourMax: number
  /** The one seen longest ago is forgotten first. */
  readonly #begun = new LRUCache<string, { count: number; sinceMs: number }>({ max: quotaUsersMax })

  /** `perHourMax` 0 is off. */
  constructor(clock: Clock, perHourMax: number) {
    this.#clock = clock
    this.#perHourMax = perHourMax
  }

  /** Counts one more stream of the user; false if that is one too many. */
  admit(uid: string): boolean {
    if (this.#perHourMax === 0) return true
    const nowMs = this.#clock.now()
    const begun = this.#begun.get(uid)
    if (!begun || nowMs - begun.sinceMs >= hourMs) {
      this.#begun.set(uid, { count: 1, sinceMs: nowMs })
      return true
    }
    return ++begun.count <= this.#perHourMax
  }
}
