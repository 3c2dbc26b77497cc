/** Where the time of a bid went, hop by hop, on the server's clock. */
import type { Entry, Receipt } from 'tidemark/client'

export interface Hop {
  readonly name: string
  readonly ms: number
}

/** Empty for what came from the history: there nobody measured. `called` is the bidder's own word. */
export function hopsOf({ receipt }: Entry, called: number | undefined): Hop[] {
  if (!receipt) return []
  const moments: (readonly [string, number | undefined])[] = [
    ['call', called],
    ['to the broker', receipt.received],
    ['authorised', receipt.authorised],
    ['on disk', receipt.committed],
    ['sent', receipt.written],
    ['received here', receipt.delivered],
  ]
  const known = moments.filter((moment): moment is readonly [string, number] => typeof moment[1] === 'number')
  // Two clocks differ by a little: no hop takes less than no time.
  return known.slice(1).map(([name, at], before) => ({ name, ms: Math.max(0, at - (known[before] as readonly [string, number])[1]) }))
}

/** The server's clock, as receipts show it; undefined until the first one. */
export class ServerClock {
  #aheadMs: number | undefined

  /** To be called as soon as the entry is there. */
  heard(receipt: Receipt | undefined): void {
    if (receipt) this.#aheadMs = receipt.delivered - Date.now()
  }

  now(): number | undefined {
    return this.#aheadMs === undefined ? undefined : Date.now() + this.#aheadMs
  }
}
