/** The rules, as a fold of the log: whoever reads it comes to the same result, in a page as in the auction house. */
import type { Entry } from 'tidemark/client'

export const space = 'auction-7'
export const streamName = `spaces/${space}`
/** Opening, bids and closing stand on one retained topic. Each names the entry that it replaces, so that they are one chain. */
export const topic = 'lot'
/** How many watch, told at QoS 0: nobody needs yesterday's number. */
export const watchingTopic = 'watching'
/** Who opens and closes: the back end itself. */
export const house = 'house'

export interface Lot {
  readonly number: number
  readonly title: string
  readonly start: number
  /** A bid is higher than the one before by this much at least. */
  readonly step: number
  /** On the server's clock. */
  readonly endsAt: number
}

export interface Sale {
  readonly winner: string | null
  readonly amount: number | null
}

/** What is published on the topic. */
export type Said =
  | { readonly opened: Lot }
  /** `called`: when the bidder pressed the button, on the server's clock as far as the bidder's page knew it. */
  | { readonly amount: number; readonly called?: number | undefined }
  | { readonly closed: Sale }

export interface Bid {
  readonly entry: Entry
  readonly by: string
  readonly amount: number
  readonly called: number | undefined
}

/** Bids that are remembered for the list. */
const bidsMax = 50

export class Auction {
  lot: Lot | undefined
  sale: Sale | undefined
  /** What the next bid must replace, whether it counts or not. */
  latest: Entry | undefined
  /** Those that count, of this lot; the highest is the last. */
  readonly bids: Bid[] = []

  get highest(): Bid | undefined {
    return this.bids.at(-1)
  }

  /** The least that may be bid; undefined while nothing is for sale. */
  get minimum(): number | undefined {
    if (!this.lot || this.sale) return undefined
    return this.highest ? this.highest.amount + this.lot.step : this.lot.start
  }

  /** In the order of the log. What breaks a rule, and what comes after the closing, counts for nobody. */
  take(entry: Entry): void {
    if (entry.topic !== topic || !entry.retain) return
    this.latest = entry
    const said = saidIn(entry)
    if (entry.from === house) {
      if (said.opened) {
        this.lot = said.opened
        this.sale = undefined
        this.bids.length = 0
      }
      if (said.closed) this.sale = said.closed
      return
    }
    const { minimum } = this
    const { amount, called } = said
    if (minimum === undefined || !Number.isSafeInteger(amount) || (amount as number) < minimum) return
    this.bids.push({ entry, by: entry.from, amount: amount as number, called })
    if (this.bids.length > bidsMax) this.bids.shift()
  }
}

/** Anybody may have published anything: what is not there is undefined. */
export function saidIn(entry: Entry): {
  readonly opened?: Lot
  readonly closed?: Sale
  readonly amount?: number
  readonly called?: number
} {
  return typeof entry.data === 'object' && entry.data !== null ? entry.data : {}
}

export function euros(amount: number): string {
  return `€${amount.toLocaleString('en')}`
}
