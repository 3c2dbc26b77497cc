/** A server as far as an outbox meets it: chapter 9 of the protocol over logs in memory, and sessions that a test can stall and cut. */
import { ClientError } from '../../client/errors.ts'
import type { EntriesQuery, History } from '../../client/seams.ts'
import type { Session } from '../../client/transport/transport.ts'
import type { EntriesPage, Envelope, Put, PutAnswer } from '../../client/wire.ts'

export interface Appended {
  readonly seq: number
  readonly id: string
  readonly from: string
  readonly topic: string
  readonly content: string
  readonly retain: boolean
  readonly deleted: boolean
}

/** One stream: its entries from `first` on, and how far ids are forgotten. */
class SimulatedStream {
  readonly all: Appended[] = []
  first = 1
  idsForgottenUpTo = 0

  get readable(): readonly Appended[] {
    return this.all.slice(this.first - 1)
  }
}

export class SimulatedServer {
  readonly #streams = new Map<string, SimulatedStream>()
  /** Codes that puts to a topic are answered with; how often, at most. */
  readonly faults = new Map<string, { code: string; times: number }>()
  /** Ids that were refused once, where that is final: as of a grant that is not there. */
  refusedForGood: Set<string> | undefined = undefined
  /** Streams whose history is not granted. */
  readonly unreadable = new Set<string>()
  /** Requests of the history that fail before one succeeds. */
  historyFailures = 0
  epoch = 'aaaaaaaa'

  stream(name: string): SimulatedStream {
    const stream = this.#streams.get(name) ?? new SimulatedStream()
    this.#streams.set(name, stream)
    return stream
  }

  pos(seq: number): string {
    return `${this.epoch}.${seq}.${seq === 0 ? '0000' : 'mark'}`
  }

  head(name: string): string {
    return this.pos(this.stream(name).all.length)
  }

  /** By somebody else, so that windows move on. */
  fill(name: string, count: number): void {
    for (let n = 0; n < count; n++) this.judge('other', `${name}/noise`, { id: `noise-${this.stream(name).all.length}`, data: n })
  }

  /** [P-9.11]: the id, then the condition. */
  judge(uid: string, topic: string, put: Put): PutAnswer {
    const { id, retain = false, if: condition, since } = put
    const name = topic.split('/').slice(0, 2).join('/')
    const stream = this.stream(name)
    const fault = this.faults.get(topic)
    if (this.refusedForGood?.has(id)) return { id, error: 'forbidden' }
    if (fault && fault.times-- > 0) {
      if (fault.code === 'forbidden') this.refusedForGood?.add(id)
      return { id, error: fault.code }
    }
    const content = JSON.stringify([topic, put.data, put.text, put.base64, retain])
    const known = stream.all.findLast((entry) => entry.from === uid && entry.id === id && entry.seq > stream.idsForgottenUpTo)
    if (known) return known.content === content ? { id, pos: this.pos(known.seq), duplicate: true } : { id, error: 'id-reused' }
    if (since !== undefined && this.#seqOf(since) < stream.idsForgottenUpTo) return { id, error: 'unknown-outcome' }
    if (condition !== undefined) {
      const last = stream.all.findLast((entry) => entry.topic === topic && entry.retain)
      const current = last && !last.deleted ? last : undefined
      const holds =
        condition === 'none'
          ? !current
          : condition.startsWith('id:')
            ? current?.id === condition.slice(3) && current.from === uid
            : current && this.pos(current.seq) === condition
      if (!holds) return { id, error: 'conflict', current: current ? this.envelope(current) : null }
    }
    const deleted = retain && put.data === undefined && put.text === undefined && put.base64 === undefined
    stream.all.push({ seq: stream.all.length + 1, id, from: uid, topic, content, retain, deleted })
    return { id, pos: this.head(name) }
  }

  readonly history: History = {
    entries: async (name, query) => {
      await Promise.resolve()
      if (this.historyFailures-- > 0) throw new ClientError('network')
      if (this.unreadable.has(name)) throw new ClientError('forbidden')
      return this.#page(name, query)
    },
    state: () => Promise.reject(new Error('an outbox asks for no state')),
  }

  envelope({ seq, id, from, topic }: Appended): Envelope {
    return { pos: this.pos(seq), id, ts: seq, from, client: 'c', topic, data: null }
  }

  #page(name: string, { after, topic, limit = 100 }: EntriesQuery): EntriesPage {
    const stream = this.stream(name)
    const from = after === undefined ? stream.first - 1 : this.#seqOf(after)
    const where = { head: this.head(name), first: this.pos(Math.min(stream.first, stream.all.length)) }
    if (from < 0) throw new ClientError('epoch', undefined, where)
    if (from > stream.all.length) throw new ClientError('ahead', undefined, where)
    if (from < stream.first - 1) throw new ClientError('trimmed', undefined, where)
    const page = stream.all.slice(from, from + limit)
    const matching = page.filter((entry) => topic === undefined || entry.topic === `${name}/${topic}`)
    const next = from + page.length
    return {
      ...where,
      entries: matching.map((entry) => this.envelope(entry)),
      next: this.pos(next),
      upToDate: next === stream.all.length,
    }
  }

  /** Of another history: nothing reaches back to it. */
  #seqOf(position: string): number {
    const [epoch, seq] = position.split('.')
    return epoch === this.epoch ? Number(seq) : -1
  }
}

/** A put on its way. */
interface Travelling {
  readonly topic: string
  readonly put: Put
  answer: PutAnswer | undefined
  resolve(answer: PutAnswer): void
  reject(error: ClientError): void
}

/** Puts reach the server, and answers the client, in order, when the test says so; `auto` says so at once. */
export class SimulatedSession implements Session {
  /** Every put of this session, in order. */
  readonly sent: { readonly topic: string; readonly put: Put }[] = []
  readonly #server: SimulatedServer
  readonly #uid: string
  readonly #auto: boolean
  #travelling: Travelling[] = []

  constructor(server: SimulatedServer, uid = 'alice', auto = true) {
    this.#server = server
    this.#uid = uid
    this.#auto = auto
  }

  put(topic: string, put: Put): Promise<PutAnswer> {
    this.sent.push({ topic, put })
    return new Promise((resolve, reject) => {
      this.#travelling.push({ topic, put, answer: undefined, resolve, reject })
      if (this.#auto) queueMicrotask(() => (this.process(1), this.answer(1)))
    })
  }

  /** How many are without an answer. */
  get underWay(): number {
    return this.#travelling.length
  }

  /** The next puts reach the server. */
  process(count: number): void {
    for (const one of this.#travelling.filter(({ answer }) => !answer).slice(0, count)) {
      one.answer = this.#server.judge(this.#uid, one.topic, one.put)
    }
  }

  /** The next answers reach the client. */
  answer(count: number): void {
    const answered = this.#travelling.slice(0, count).filter(({ answer }) => answer)
    this.#travelling = this.#travelling.slice(answered.length)
    for (const one of answered) one.resolve(one.answer as PutAnswer)
  }

  /** Everything without an answer will never have one. */
  cut(): void {
    for (const one of this.#travelling.splice(0)) one.reject(new ClientError('network'))
  }

  follow(): void {}
  unfollow(): void {}
  async renew(): Promise<void> {}
  async probe(): Promise<void> {}
  clockOffset(): undefined {
    return undefined
  }

  close(): void {}
}
