/** Plays one scenario against a server and holds its readers to what happened in the store. */
import { expect } from 'chai'
import { encodeFrame } from '../../../log/draft.ts'
import { Log } from '../../../log/log.ts'
import type { Stream } from '../../../log/stream.ts'
import { formatPosition, parsePosition } from '../../../protocol/positions.ts'
import { defaultLimits, type Limits } from '../../../seams/limits.ts'
import { abandon, closeAll, testBroker, type TestBroker } from '../../support/broker.ts'
import { calls, GatedStore, type Gate } from '../../support/gated-store.ts'
import { within } from '../../support/waiting.ts'
import { counts } from './counts.ts'
import type { Op, Publish, Scenario, Start, Who } from './ops.ts'
import { longMs, Peer } from './peer.ts'
import type { World } from './sync-model.ts'
import { plainFilters, streamName, syncFilters, topics, Truth, violation } from './truth.ts'

export class Run implements World {
  readonly truth: Truth
  epoch = ''
  first = 1
  readonly inflightMax: number
  readonly seen: string[] = []
  /** Positions shown before what follows them was trimmed away. */
  readonly #past: string[] = []
  readonly #scenario: Scenario
  readonly #limits: Limits
  readonly #folder: string
  readonly #pause: () => Promise<void>
  readonly #peers: Record<Who, Peer>
  #it!: TestBroker
  #store!: GatedStore
  #stream!: Stream
  #other: Log | undefined
  #gate: Gate | undefined
  #mending: (() => void)[] = []
  #texts = 0
  readonly #deleted = new Set<string>()
  #appending: Promise<unknown>[] = []

  constructor(scenario: Scenario, folder: string) {
    this.#scenario = scenario
    this.#limits = { ...defaultLimits, ...scenario.limits }
    this.#folder = folder
    this.#pause = pauses(scenario.pace)
    this.inflightMax = this.#limits.inflightMax
    this.truth = new Truth({ shared: scenario.shared })
    this.#peers = { kept: new Peer('kept', this), fresh: new Peer('fresh', this) }
  }

  async play(): Promise<void> {
    const { shared, ops } = this.#scenario
    await this.#open()
    try {
      if (shared) this.#other = await Log.open({ store: this.#newStore(), limits: this.#limits })
      for (const peer of this.#everybody) await this.#come(peer)
      for (const op of ops) {
        await this.#step(op)
        for (const peer of this.#everybody) peer.drain()
      }
      await this.#finish()
    } finally {
      this.#mend()
      await this.#other?.close()
      await closeAll()
    }
  }

  get #everybody(): Peer[] {
    return Object.values(this.#peers)
  }

  #newStore(): GatedStore {
    const store = new GatedStore(this.truth)
    store.pause = this.#pause
    return store
  }

  async #open(): Promise<void> {
    this.#store = this.#newStore()
    this.#it = await testBroker({ store: this.#store, limits: this.#scenario.limits, folder: this.#folder })
    this.epoch = this.#it.log.epoch
    this.#stream = await this.#it.log.stream(streamName)
  }

  /** The oldest head that a reader may be given who asks now [P-2.18]. */
  get #head(): number {
    return this.#scenario.shared ? this.truth.head : this.#stream.headSeq
  }

  async #step(op: Op): Promise<void> {
    switch (op.op) {
      case 'append':
        return this.#append(op.by === 'other' && this.#other ? this.#other : this.#it.log, op.entries)
      case 'collide':
        for (const log of [this.#it.log, this.#other]) if (log) this.#append(log, op.entries)
        return
      case 'hold':
        return this.#hold()
      case 'open':
        return this.#release()
      case 'unknown':
        return this.#unknown(op.stored, op.fails)
      case 'plain':
        return this.#subscribePlain(this.#peers[op.who], plainFilters[op.filter] as string, op.qos)
      case 'sync':
        return this.#subscribeSync(op)
      case 'ack':
        return this.#peers[op.who].acknowledge(op.picks)
      case 'leave':
        return this.#peers[op.who].leave(op.how)
      case 'come':
        return this.#come(this.#peers[op.who])
      case 'trim':
        return this.#trim(op.part)
      case 'restart':
        return this.#restart(op.how)
      case 'settle':
        for (const peer of this.#everybody) await peer.barrier()
    }
  }

  // Appending.

  #append(log: Log, entries: readonly Publish[]): void {
    for (const { topic: at, retain, empty, qos } of entries) {
      const topic = topics[at] as string
      const deletes = retain && empty && !this.#deleted.has(topic)
      if (deletes) this.#deleted.add(topic)
      // What became of it is seen in the store.
      const settled = this.#publish(log, topic, deletes ? '' : `m${++this.#texts}`, retain, retain ? qos : 1).catch(() => {})
      if (log === this.#it.log) this.#appending.push(settled)
    }
  }

  async #publish(log: Log, topic: string, text: string, retain: boolean, qos: 0 | 1): Promise<void> {
    const draft = { topic, ...encodeFrame(topic, Buffer.from(text)), qos, retain, from: 'alice', client: 'desk' }
    await log.publish(streamName, { ...draft, receivedMs: Date.now() })
  }

  #hold(): void {
    if (this.#gate) return
    this.#gate = this.#store.hold(calls('commit'))
    counts.held++
  }

  #release(): void {
    this.#gate?.release()
    this.#gate = undefined
  }

  /** The next commit of the node has no clear end, and so many questions after it find no answer. */
  #unknown(stored: boolean, fails: number): void {
    counts.unknown++
    const store = this.#store
    let left = fails
    this.#mending.push(store.fail(({ name }) => name === 'settle' && left-- > 0))
    store.committing = async (buckets, commit) => {
      store.committing = undefined
      if (stored) await commit()
      return buckets.map(() => 'unknown')
    }
    this.#mending.push(() => (store.committing = undefined))
  }

  /** Nothing fails or waits any more. */
  #mend(): void {
    this.#release()
    for (const mend of this.#mending.splice(0)) mend()
  }

  async #trim(part: number): Promise<void> {
    const before = Math.max(1, Math.floor((this.#stream.headSeq * part) / 100) + 1)
    if (before <= this.first) return
    const kept = this.first
    this.first = before
    const first = await within(this.#it.log.trim(streamName, before), 'the trim', longMs)
    this.first = Math.max(kept, first)
    this.#past.push(...this.seen.filter((pos) => parsePosition(pos).seq < first - 1))
    counts.trims++
  }

  // Readers.

  #come(peer: Peer): Promise<void> {
    return peer.come(this.#it, this.#head)
  }

  /** Retained messages of one filter at a time: on the wire nothing tells whose they are. */
  async #subscribePlain(peer: Peer, filter: string, qos: 0 | 1): Promise<void> {
    if (!peer.retainedOver) {
      peer.acknowledgeAll()
      await peer.barrier()
    }
    if (peer.retainedOver) await peer.subscribePlain(filter, qos, this.#head)
  }

  async #subscribeSync({ filter: at, start, pick }: Op & { op: 'sync' }): Promise<void> {
    const { filter, qos } = syncFilters[at] as (typeof syncFilters)[number]
    const position = this.#position(start, pick)
    const text = start === 'now' ? `sync/${filter}` : `sync@${position ?? start}/${filter}`
    await this.#peers.fresh.subscribeSync({ text, filter, qos, start, position, headMin: this.#head, firstMin: this.first })
  }

  #position(start: Start, pick: number): string | undefined {
    const known = this.seen[pick % Math.max(this.seen.length, 1)] ?? formatPosition(this.epoch, 0, '0000')
    const { seq, mark } = parsePosition(known)
    switch (start) {
      case 'seen':
        return known
      case 'past':
        return this.#past[pick % Math.max(this.#past.length, 1)] ?? known
      case 'ahead':
        return formatPosition(this.epoch, this.truth.head + 1 + (pick % 3), mark)
      case 'wrong mark':
        return formatPosition(this.epoch, seq, mark === 'AAAA' ? 'BBBB' : 'AAAA')
      case 'foreign':
        return formatPosition(this.epoch === 'AAAAAAAA' ? 'BBBBBBBB' : 'AAAAAAAA', seq, mark)
      case 'now':
      case 'earliest':
      case 'snapshot':
    }
    return undefined
  }

  // The server.

  async #restart(how: 'stop' | 'crash'): Promise<void> {
    for (const peer of this.#everybody) await peer.barrier()
    this.#noErrors()
    if (how === 'stop') {
      this.#mend()
      await within(Promise.all(this.#appending), 'the appends to be settled', longMs)
      await within(this.#it.close(), 'the broker to stop', longMs)
      counts.restarts++
    } else {
      this.#store.crash()
      this.#gate = undefined
      this.#mending = []
      abandon(this.#it)
      await this.truth.idle()
      for (const peer of this.#everybody) peer.serverDied()
      counts.crashes++
    }
    for (const peer of this.#everybody) await peer.ended()
    this.#appending = []
    await this.#open()
  }

  #noErrors(): void {
    const error = this.#it.lines.all.find(({ level }) => level === 'error')
    if (error) violation(`the server reports ${error.message}: ${String(error.fields['error'])}`)
  }

  /** At the end everything must come that is due. */
  async #finish(): Promise<void> {
    this.#mend()
    await within(Promise.all(this.#appending), 'the appends to be settled', longMs)
    // What the other log still has to append comes before this.
    if (this.#other)
      await within(this.#publish(this.#other, topics[0], 'last of the other', false, 1), 'an append of the other log', longMs)
    for (const topic of topics) {
      await within(this.#publish(this.#it.log, topic, `last of ${topic}`, false, 1), 'an append with nothing in its way', longMs)
    }
    await this.#it.log.confirmHead(this.#stream)
    this.#noErrors()
    expect(this.#stream.headSeq, 'the head').to.equal(this.truth.head)
    for (const peer of this.#everybody) {
      do {
        await this.#come(peer)
        await peer.complete(this.truth.head)
      } while (!peer.connected)
    }
    // A double would have come by now.
    for (const peer of this.#everybody) await peer.barrier()
    this.#noErrors()
  }
}

/** Calls of a store take a few turns of the event loop, drawn from a seed: otherwise they would always end in the same order. */
function pauses(seed: number): () => Promise<void> {
  let drawn = seed >>> 0
  return async () => {
    drawn = (Math.imul(drawn, 1_103_515_245) + 12_345) >>> 0
    for (let turns = Math.max(0, (drawn >>> 16) % 8) - 3; turns > 0; turns--)
      await new Promise<void>((resolve) => void setImmediate(resolve))
  }
}
