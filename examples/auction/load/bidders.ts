/** Bidders: each bids over what it sees, on the condition that nobody was faster, and raises at once where somebody was. */
import { ClientError, connect, type Client, type Entry } from 'tidemark/client'
import { Auction, saidIn, streamName, topic, type Said } from '../rules.ts'
import { hopsOf, ServerClock, type Hop } from '../trace.ts'
import { login, nowMs } from './login.ts'

/** A bid that stands in the log. */
export interface Placed {
  readonly calledMs: number
  readonly id: string
}

const biddersCount = 10
/** Every tenth bid is made at the same moment as the one before it: of the two one must lose. */
const togetherEvery = 10

export class Bidders {
  readonly placed: Placed[] = []
  conflicts = 0
  /** Of bids that stand, the hops to the bidder itself. */
  readonly hops: Hop[][] = []
  /** Entry id → number in the log. */
  readonly seqs = new Map<string, number>()
  /** The newest number of the log. */
  seq = 0
  readonly #bidders: Bidder[] = []
  #look = (): void => {}

  async join(origin: string): Promise<void> {
    const names = Array.from({ length: biddersCount }, (_, number) => `bidder-${number}`)
    this.#bidders.push(...(await Promise.all(names.map((name, number) => this.#joined(origin, name, number === 0)))))
  }

  /** Resolves when every bid stands in the log and the bidders have seen that it does. */
  async bid(perSecond: number, seconds: number): Promise<void> {
    const begin = nowMs()
    const count = Math.round(perSecond * seconds)
    const bids = Array.from({ length: count }, async (_, number) => {
      const due = begin + ((number - (number % togetherEvery === togetherEvery - 1 ? 1 : 0)) * 1000) / perSecond
      await new Promise((resolve) => setTimeout(resolve, due - nowMs()))
      const bidder = this.#bidders[number % biddersCount] as Bidder
      // One at a time: a bidder waits for the answer before bidding again.
      bidder.turn = bidder.turn.then(() => this.#place(bidder))
      await bidder.turn
    })
    await Promise.all(bids)
    const areSeen = (): boolean => this.placed.every(({ id }) => this.seqs.has(id))
    await new Promise<void>((resolve) => {
      this.#look = () => areSeen() && resolve()
      this.#look()
    })
  }

  async close(): Promise<void> {
    await Promise.all(this.#bidders.map(({ client }) => client.close()))
  }

  async #place(bidder: Bidder): Promise<void> {
    let over: Entry | undefined = bidder.auction.latest
    for (;;) {
      const calledMs = nowMs()
      try {
        const { id } = await bidder.bid(over)
        return void this.placed.push({ calledMs, id })
      } catch (thrown) {
        if (!(thrown instanceof ClientError && thrown.code === 'conflict')) throw thrown
        this.conflicts++
        over = thrown.details['current'] as Entry
      }
    }
  }

  async #joined(origin: string, name: string, isFirst: boolean): Promise<Bidder> {
    const { url } = await login(origin, name)
    const client = connect({ url, transport: 'mqtt', getToken: async () => (await login(origin, name)).token })
    const bidder = new Bidder(client)
    await bidder.begin((entry) => {
      const { called } = saidIn(entry)
      if (entry.from === name && called !== undefined) this.hops.push(hopsOf(entry, called))
      if (!isFirst) return
      this.seq = entry.seq
      this.seqs.set(entry.id, entry.seq)
      this.#look()
    })
    return bidder
  }
}

class Bidder {
  readonly auction = new Auction()
  readonly client: Client
  /** The end of the bid under way. */
  turn: Promise<void> = Promise.resolve()
  readonly #clock = new ServerClock()

  constructor(client: Client) {
    this.client = client
    client.outbox.onSettled(({ id, outcome }) => outcome === 'refused' && void client.outbox.dismiss(id))
  }

  /** Resolves when all there is has been read. */
  async begin(took: (entry: Entry) => void): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const read = async (): Promise<void> => {
        const entries = this.client.stream(streamName).entries({ from: 'earliest', onProgress: ({ live }) => live && resolve() })
        for await (const entry of entries) {
          this.#clock.heard(entry.receipt)
          if (entry.ephemeral) continue
          this.auction.take(entry)
          took(entry)
        }
      }
      read().catch(reject)
    })
  }

  bid(over: Entry | undefined): Promise<{ readonly id: string }> {
    const { lot } = this.auction
    if (!over || !lot) throw new Error('there is nothing to bid for')
    const amount = saidIn(over).amount
    const said: Said = { amount: amount === undefined ? lot.start : amount + lot.step, called: this.#clock.now() }
    return this.client.stream(streamName).publish(topic, said, { retain: true, if: over })
  }
}
