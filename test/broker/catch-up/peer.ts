/** One client of a run: its connection, and the models of what it must be shown. */
import { expect } from 'chai'
import type { TestBroker } from '../../support/broker.ts'
import { toMessage, type Message, type RawClient } from '../../support/raw-mqtt.ts'
import { within } from '../../support/waiting.ts'
import { counts } from './counts.ts'
import type { Who } from './ops.ts'
import { PlainModel } from './plain-model.ts'
import { SyncModel, type Json, type SyncRequest, type World } from './sync-model.ts'
import { violation } from './truth.ts'

export const longMs = 60_000

export class Peer {
  readonly who: Who
  readonly #world: World
  #client: RawClient | undefined
  #plain: PlainModel
  readonly #syncs = new Map<string, SyncModel>()
  /** What takes effect at the SUBACK with this packet id. */
  readonly #pending = new Map<number, (granted: number) => void>()
  /** Packet ids that wait for their PUBACK, and whether they are of control messages. */
  readonly #open = new Map<number, boolean>()
  #read = 0
  #hadSession = false
  /** The server died since the last CONNACK. */
  #crashed = false

  constructor(who: Who, world: World) {
    this.who = who
    this.#world = world
    this.#plain = new PlainModel(world.truth)
  }

  get connected(): boolean {
    return this.#client !== undefined
  }

  get retainedOver(): boolean {
    return this.#plain.retainedOver
  }

  async come(it: TestBroker, headMin: number): Promise<void> {
    if (this.#client) return
    const clean = this.who === 'fresh'
    const how = this.#crashed ? 'crashed' : 'in order'
    const place = this.#plain.placeRange(how)
    const client = await it.raw()
    client.acknowledges = false
    const connack = await client.connect({ clientId: this.who, clean, password: await it.token('alice') })
    expect(connack.returnCode, 'CONNACK').to.equal(0)
    this.#client = client
    this.#read = 0
    const { first, truth } = this.#world
    if (connack.sessionPresent) {
      if (!this.#hadSession) violation('[P-4.21] session present 1 for a session that never was')
      if (this.#plain.active && place.max < first - 1) violation(`[P-4.22] the place ${place.max} is served, the first is ${first}`)
      this.#plain.restored({ min: headMin, max: truth.head }, how)
      counts.reconnects++
    } else {
      const lost = this.#hadSession && (!this.#plain.active || place.min >= first - 1)
      if (lost) violation(`[P-4.21] the session was lost; its place is ${place.min}, the first is ${first}`)
      if (this.#hadSession) counts.discarded++
      this.#plain = new PlainModel(truth)
    }
    this.#crashed = false
    this.#hadSession = !clean
  }

  async leave(how: 'disconnect' | 'cut'): Promise<void> {
    await this.barrier()
    const client = this.#client
    if (!client) return
    if (how === 'disconnect') client.send({ cmd: 'disconnect' })
    else client.destroy()
    await this.ended()
  }

  /** Resolves when the connection is over, with all that came of it taken in. */
  async ended(): Promise<void> {
    if (!this.#client) return
    await within(this.#client.closed, 'the end of the connection', longMs)
    this.#takeIn(this.#client)
    this.#gone()
  }

  /** What is stored of the session may be older than what was said of it. */
  serverDied(): void {
    this.#crashed = true
  }

  /** Resolves when everything the server wrote so far has come, and everything the client sent has been taken. */
  async barrier(): Promise<void> {
    const client = this.#client
    if (!client) return
    await client.ping().catch((error: unknown) => {
      if (!client.isClosed) throw error
    })
    this.drain()
  }

  async subscribePlain(filter: string, qos: 0 | 1, headMin: number): Promise<void> {
    await this.#subscribe(filter, qos, () => this.#plain.subscribed(filter, qos, { min: headMin, max: this.#world.truth.head }))
  }

  async subscribeSync(request: SyncRequest): Promise<void> {
    const { text, qos } = request
    await this.#subscribe(text, qos, () => this.#syncs.set(text, new SyncModel(this.#world, request)))
  }

  async #subscribe(filter: string, qos: number, granted: () => void): Promise<void> {
    const client = this.#client
    if (!client) return
    const messageId = client.nextId()
    this.#pending.set(messageId, (code) => {
      if (code !== qos) violation(`[P-4.7] ${filter} was granted ${code}`)
      granted()
    })
    client.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos: qos as 0 | 1 }] })
    const suback = client.expect((packet) => packet.cmd === 'suback' && packet.messageId === messageId, `SUBACK of ${filter}`, longMs)
    await suback.catch((error: unknown) => {
      if (!client.isClosed) throw error
    })
    this.drain()
  }

  acknowledge(picks: readonly number[]): void {
    for (const pick of picks) {
      const id = [...this.#open.keys()][pick % Math.max(this.#open.size, 1)]
      if (id !== undefined) this.#acknowledge(id)
    }
  }

  acknowledgeAll(): void {
    for (const id of this.#open.keys()) this.#acknowledge(id)
  }

  #acknowledge(id: number): void {
    this.#client?.send({ cmd: 'puback', messageId: id })
    this.#plain.acknowledged(id)
    this.#open.delete(id)
  }

  /** Takes in what has come. A server may close only for what a plain reader has missed [P-4.23]. */
  drain(): void {
    const client = this.#client
    if (!client) return
    this.#takeIn(client)
    if (!client.isClosed) return
    const { first } = this.#world
    const { active, next } = this.#plain
    if (!active || next >= first) violation(`[P-4.23] ${this.who} was closed for nothing: next is ${next}, the first is ${first}`)
    counts.closed++
    this.#gone()
  }

  /** Acknowledges whatever comes until everything has come that is due at this head, or the server has closed the connection. */
  async complete(head: number): Promise<void> {
    const client = this.#client
    if (!client) return
    let failed: unknown
    const done = (): boolean => {
      try {
        this.drain()
        this.acknowledgeAll()
        return !this.#client || this.#missing(head) === undefined
      } catch (error) {
        failed = error
        return true
      }
    }
    await client.inbox.until(done, `what is due to ${this.who}`, longMs).catch((error: unknown) => {
      if (!client.isClosed) throw new Error(`${this.who} has not got what is due: ${this.#missing(head)}`, { cause: error })
      done()
    })
    if (failed) throw failed
  }

  #missing(head: number): string | undefined {
    for (const model of [this.#plain, ...this.#syncs.values()]) {
      const missing = model.missing(head)
      if (missing !== undefined) return missing
    }
    return undefined
  }

  #gone(): void {
    this.#client = undefined
    this.#syncs.clear()
    this.#pending.clear()
    this.#open.clear()
    this.#plain.left()
  }

  #takeIn(client: RawClient): void {
    for (; this.#read < client.inbox.all.length; this.#read++) {
      const packet = client.inbox.all[this.#read]
      if (packet?.cmd === 'suback') {
        this.#pending.get(packet.messageId as number)?.(packet.granted[0] as number)
        this.#pending.delete(packet.messageId as number)
      } else if (packet?.cmd === 'publish') {
        this.#message(toMessage(packet))
      }
    }
  }

  #message(message: Message): void {
    const { topic, text, qos } = message
    this.#opened(message)
    if (!topic.startsWith('sync')) return this.#plain.message(message)
    const json = JSON.parse(text) as Json
    if (topic.endsWith('/$ctl')) {
      const sync = this.#syncs.get(json['filter'] as string)
      if (!sync || sync.request.qos !== qos) violation(`${text}: nobody asked for it`)
      return sync.control(json)
    }
    const sync = [...this.#syncs.values()].find((other) => other.isFor(topic, qos))
    if (!sync || topic.slice(topic.indexOf('/') + 1) !== json['topic']) violation(`[P-6.4] ${topic} ${text}: nobody asked for it`)
    sync.envelope(json)
  }

  /** Holds the window of deliveries, for which control messages do not wait [P-4.30]. */
  #opened({ topic, qos, messageId }: Message): void {
    if (qos === 0) return
    const id = messageId as number
    if (this.#open.has(id)) violation(`[MQTT-2.3.1-2] the packet id ${id} is in use`)
    this.#open.set(id, topic.endsWith('/$ctl'))
    const waiting = [...this.#open.values()].filter((isControl) => !isControl).length
    if (waiting > this.#world.inflightMax) violation(`[P-4.30] ${waiting} deliveries wait for their PUBACK`)
  }
}
