/** How fast one user may send to one inbox [P-15.7]: a bucket of tokens per pair, in the memory of this node. */
import { LRUCache } from 'lru-cache'
import { SyncError } from '../protocol/errors.ts'
import type { Delivery } from '../protocol/topics.ts'
import { relayPairsMax } from '../seams/limits.ts'
import type { Log } from './log.ts'

export class RelayRates {
  readonly #log: Log
  /** The one seen longest ago is forgotten first, and has all its tokens again. */
  readonly #pairs = new LRUCache<string, { tokens: number; atMs: number }>({ max: relayPairsMax })

  constructor(log: Log) {
    this.#log = log
  }

  /** Counts one message; throws `too-many-requests` for one too many. */
  admit({ from, to }: Delivery): void {
    const { relayPerSecondMax, relayBurstMax } = this.#log.limits
    if (relayPerSecondMax === 0) return
    const nowMs = this.#log.clock.now()
    const pair = this.#pairs.get(`${from} ${to}`) ?? { tokens: relayBurstMax, atMs: nowMs }
    const gained = (Math.max(0, nowMs - pair.atMs) / 1_000) * relayPerSecondMax
    const tokens = Math.min(relayBurstMax, pair.tokens + gained)
    if (tokens < 1) {
      const message = `${from} sends to ${to} faster than ${relayPerSecondMax} messages a second, after ${relayBurstMax} at once`
      throw new SyncError('too-many-requests', message)
    }
    this.#pairs.set(`${from} ${to}`, { tokens: tokens - 1, atMs: nowMs })
  }
}
