/** The clients of the crash test. Each goes on from one run of the server to the next and knows what it was promised. */
import type { Packet } from 'mqtt-packet'
import { acknowledge, MqttClient } from './support/mqtt.ts'

export interface Door {
  readonly port: number
  readonly token: string
}

/** A message with a text that no other message has. */
export interface Sent {
  readonly stream: string
  readonly topic: string
  readonly text: string
  readonly retain: boolean
}

/** Keeps `windowSize` publishes under way while it is connected. */
abstract class Publisher {
  readonly name: string
  /** By text. */
  readonly sent = new Map<string, Sent>()
  readonly acknowledged = new Set<string>()
  protected client: MqttClient | undefined
  /** Without new publishes what is under way comes to its end. */
  draining = false
  readonly #streams: readonly string[]
  readonly #windowSize: number

  constructor(name: string, streams: readonly string[], windowSize: number) {
    this.name = name
    this.#streams = streams
    this.#windowSize = windowSize
  }

  abstract readonly underWay: number

  /** Resolves when the connection is over. */
  get closed(): Promise<void> {
    return this.client?.closed ?? Promise.resolve()
  }

  protected abstract begin(sent: Sent): void

  /** Publishes as long as there is room. */
  protected fill(): void {
    while (!this.draining && this.client && !this.client.isClosed && this.underWay < this.#windowSize) {
      const number = this.sent.size + 1
      const stream = this.#streams[number % this.#streams.length] as string
      const text = `${this.name}-${number}`
      const sent = { stream, text, topic: `${stream}/${this.name}/${number % 7}`, retain: number % 5 === 0 }
      this.sent.set(text, sent)
      this.begin(sent)
    }
  }
}

/** QoS 1 in a clean session: what was under way at a crash is never sent again, so that nothing may stand twice in the log. */
export class OncePublisher extends Publisher {
  #underWay = new Map<number, Sent>()
  #packetId = 0

  get underWay(): number {
    return this.#underWay.size
  }

  async connect(door: Door): Promise<void> {
    this.#underWay = new Map()
    this.client = await MqttClient.open({ ...door, clientId: this.name, clean: true, received: (packet) => this.#received(packet) })
    this.fill()
  }

  protected override begin(sent: Sent): void {
    this.#packetId = (this.#packetId % 60_000) + 1
    this.#underWay.set(this.#packetId, sent)
    const { topic, text, retain } = sent
    this.client?.send({ cmd: 'publish', topic, payload: text, qos: 1, retain, dup: false, messageId: this.#packetId })
  }

  #received(packet: Packet): void {
    const sent = packet.cmd === 'puback' ? this.#underWay.get(packet.messageId ?? 0) : undefined
    if (!sent) throw new Error(`${this.name}: unexpected ${packet.cmd} ${packet.messageId}`)
    this.#underWay.delete(packet.messageId as number)
    this.acknowledged.add(sent.text)
    this.fill()
  }
}

/** QoS 2 in a clean=0 session: sends again what was under way, with DUP, in the old order [MQTT-4.4.0-1]. */
export class ExactlyOncePublisher extends Publisher {
  /** In the order of the first sending; released: PUBREC has come. */
  readonly #underWay = new Map<number, { readonly sent: Sent; released: boolean }>()
  #packetId = 0
  #connectedBefore = false
  repeated = 0

  get underWay(): number {
    return this.#underWay.size
  }

  async connect(door: Door): Promise<void> {
    this.client = await MqttClient.open({ ...door, clientId: this.name, clean: false, received: (packet) => this.#received(packet) })
    if (this.client.sessionPresent !== this.#connectedBefore) throw new Error(`${this.name}: session present ${this.client.sessionPresent}`)
    this.#connectedBefore = true
    for (const [messageId, { sent, released }] of this.#underWay) {
      this.repeated++
      if (released) this.client.send({ cmd: 'pubrel', messageId })
      else this.#publish(sent, messageId, true)
    }
    this.fill()
  }

  protected override begin(sent: Sent): void {
    do this.#packetId = (this.#packetId % 50) + 1
    while (this.#underWay.has(this.#packetId))
    this.#underWay.set(this.#packetId, { sent, released: false })
    this.#publish(sent, this.#packetId, false)
  }

  #publish({ topic, text, retain }: Sent, messageId: number, dup: boolean): void {
    this.client?.send({ cmd: 'publish', topic, payload: text, qos: 2, retain, dup, messageId })
  }

  #received(packet: Packet): void {
    const messageId = packet.messageId as number
    const known = this.#underWay.get(messageId)
    if (packet.cmd === 'pubrec' && known) {
      this.acknowledged.add(known.sent.text)
      known.released = true
      this.client?.send({ cmd: 'pubrel', messageId })
    } else if (packet.cmd === 'pubcomp' && known) {
      this.#underWay.delete(messageId)
      this.fill()
    } else throw new Error(`${this.name}: unexpected ${packet.cmd} ${messageId}`)
  }
}

/** The put door: what was not answered is put again with the same id. */
export class Putter extends Publisher {
  readonly #underWay = new Map<string, Sent>()
  /** Positions as answered, by text. */
  readonly positions = new Map<string, string>()
  #packetId = 0
  duplicates = 0

  get underWay(): number {
    return this.#underWay.size
  }

  async connect(door: Door): Promise<void> {
    this.client = await MqttClient.open({ ...door, clientId: this.name, clean: true, received: (packet) => this.#received(packet) })
    await this.client.subscribe(`reply/${this.name}/#`)
    for (const sent of this.#underWay.values()) this.#put(sent)
    this.fill()
  }

  protected override begin(sent: Sent): void {
    this.#underWay.set(sent.text, sent)
    this.#put(sent)
  }

  #put({ topic, text, retain }: Sent): void {
    this.#packetId = (this.#packetId % 60_000) + 1
    const payload = JSON.stringify({ id: text, text, retain })
    this.client?.send({ cmd: 'publish', topic: `put/${topic}`, payload, qos: 1, retain: false, dup: false, messageId: this.#packetId })
  }

  #received(packet: Packet): void {
    if (packet.cmd !== 'publish') return // The PUBACK of a put says nothing of the entry [P-8.4].
    const { id, pos, duplicate, error } = JSON.parse(packet.payload.toString()) as {
      id: string
      pos?: string
      duplicate?: boolean
      error?: string
    }
    if (pos === undefined || !this.#underWay.delete(id))
      throw new Error(`${this.name}: unexpected answer for ${id}: ${error ?? 'no position'}`)
    if (duplicate) this.duplicates++
    this.acknowledged.add(id)
    this.positions.set(id, pos)
    this.fill()
  }
}

/** A clean=0 subscriber that acknowledges what it gets. */
export class Subscriber {
  readonly name = 'subscriber'
  readonly streams: readonly string[]
  /** What came in each connection, by stream, in the order of arrival. */
  readonly connections: Map<string, { readonly text: string; readonly dup: boolean }[]>[] = []
  /** Texts that came, by stream. */
  readonly got = new Map<string, Set<string>>()
  #client: MqttClient | undefined

  constructor(streams: readonly string[]) {
    this.streams = streams
  }

  async connect(door: Door): Promise<void> {
    const first = this.connections.length === 0
    const arrived = new Map<string, { text: string; dup: boolean }[]>()
    this.connections.push(arrived)
    this.#client = await MqttClient.open({
      ...door,
      clientId: this.name,
      clean: false,
      received: (packet, client) => {
        if (packet.cmd !== 'publish') return
        const stream = packet.topic.split('/').slice(0, 2).join('/')
        const text = packet.payload.toString()
        place(arrived, stream, []).push({ text, dup: packet.dup })
        place(this.got, stream, new Set()).add(text)
        acknowledge(packet, client)
      },
    })
    if (this.#client.sessionPresent === first) throw new Error(`${this.name}: session present ${this.#client.sessionPresent}`)
    if (first) await this.#client.subscribe(...this.streams.map((stream) => `${stream}/#`))
  }
}

function place<Value>(map: Map<string, Value>, key: string, fresh: Value): Value {
  const value = map.get(key) ?? fresh
  map.set(key, value)
  return value
}
