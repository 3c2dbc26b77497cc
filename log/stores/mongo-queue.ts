/**
 * Who waits to write to a stream that several nodes write to. Whoever comes first at a place wins it, and the winner of one
 * place is the first to know the next: alone that would let one node win for ever. So who has lost twice stands in a queue
 * in the database, and while others stand before it a node leaves the place to them.
 *
 * It is courtesy only: who is first is decided by the place alone, and who does not come when it is its turn is passed by.
 */
import type { Collection, Db } from 'mongodb'
import { mongoQueueLookMs, mongoTicketsMax, mongoTurnMsMax } from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import { drawNonce } from '../bucket.ts'
import { sentenceOf } from './mongo-connection.ts'
import { endOfKeys, numberedKey } from './mongo-keys.ts'
import { Turns } from './turns.ts'

/** The key is made of the stream, the number and the node. */
interface Ticket {
  readonly _id: string
  readonly s: string
  readonly n: number
  readonly node: string
}

const lossesBeforeQueueing = 2

interface Contest {
  losses: number
  /** This node has a ticket, or had one that others took for forgotten. */
  queued: boolean
  /** Who is first, and since when, as seen from here. */
  first: { readonly id: string; readonly sinceMs: number } | undefined
  /** Somebody else waited when it was last looked at. */
  waitedFor: boolean
}

export class MongoQueue {
  readonly #collection: Collection<Ticket>
  readonly #logger: Logger
  readonly #node = drawNonce().toString('base64url')
  readonly #contests = new Map<string, Contest>()
  /** What this node does about one stream, one after the other. */
  readonly #turns = new Turns()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(database: Db, logger: Logger) {
    this.#collection = database.collection('queue')
    this.#logger = logger
  }

  /** Whether nobody stands before this node. Costs nothing while the stream is not contested. */
  async isOurTurn(stream: string): Promise<boolean> {
    if (!this.#timer && !this.#closed) this.#timer = setTimeout(() => this.#aside(this.#look()), mongoQueueLookMs).unref()
    const contest = this.#contests.get(stream)
    if (!contest?.queued && !contest?.waitedFor) return true
    return await this.#turns.take(stream, () => this.#isFirst(stream, contest))
  }

  won(stream: string): void {
    const contest = this.#contests.get(stream)
    if (!contest) return
    contest.losses = 0
    if (!contest.waitedFor) this.#contests.delete(stream)
    if (!contest.queued) return
    contest.queued = false
    this.#aside(this.#turns.take(stream, () => this.#collection.deleteMany({ _id: ticketsOf(stream), node: this.#node })))
  }

  lost(stream: string): void {
    const contest = this.#contestOf(stream)
    if (++contest.losses < lossesBeforeQueueing || contest.queued) return
    contest.queued = true
    this.#aside(this.#turns.take(stream, () => this.#isFirst(stream, contest)))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  async #look(): Promise<void> {
    try {
      const tickets = await this.#collection.find({}).limit(mongoTicketsMax).toArray()
      const waitedFor = new Set(tickets.filter(({ node }) => node !== this.#node).map(({ s }) => s))
      for (const stream of waitedFor) this.#contestOf(stream).waitedFor = true
      for (const [stream, contest] of this.#contests) {
        contest.waitedFor = waitedFor.has(stream)
        if (!contest.waitedFor && contest.losses === 0) this.#contests.delete(stream)
      }
    } finally {
      this.#timer = undefined
    }
  }

  /** Also takes a ticket where this node has none. */
  async #isFirst(stream: string, contest: Contest): Promise<boolean> {
    const tickets = await this.#collection
      .find({ _id: ticketsOf(stream) })
      .sort({ _id: 1 })
      .limit(mongoTicketsMax)
      .toArray()
    const [first] = tickets
    if (!tickets.some(({ node }) => node === this.#node)) {
      contest.queued = true
      const n = (tickets.at(-1)?.n ?? 0) + 1
      await this.#collection.insertOne({ _id: numberedKey(stream, n) + this.#node, s: stream, n, node: this.#node })
    }
    if (!first || first.node === this.#node) return true
    if (contest.first?.id !== first._id) contest.first = { id: first._id, sinceMs: performance.now() }
    if (performance.now() - contest.first.sinceMs > mongoTurnMsMax) await this.#collection.deleteOne({ _id: first._id })
    return false
  }

  #contestOf(stream: string): Contest {
    let contest = this.#contests.get(stream)
    if (!contest) this.#contests.set(stream, (contest = { losses: 0, queued: false, first: undefined, waitedFor: false }))
    return contest
  }

  #aside(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      if (!this.#closed) this.#logger.warn({ failure: sentenceOf(error) }, 'the queue of a contested stream could not be kept')
    })
  }
}

function ticketsOf(stream: string): { $gte: string; $lt: string } {
  return { $gte: numberedKey(stream, 0), $lt: endOfKeys(stream) }
}
