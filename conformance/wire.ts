/** An MQTT 3.1.1 connection that sends what a check tells it to, packet by packet. */
import type { Duplex } from 'node:stream'
import {
  generate,
  parser,
  type IConnackPacket,
  type IConnectPacket,
  type IPublishPacket,
  type ISubackPacket,
  type Packet,
  type QoS,
} from 'mqtt-packet'
import { Arrivals, within, withoutTokens, type Trace } from './arrivals.ts'
import { inward, outward, type Admission } from './below-root.ts'
import { Broken, must, short } from './check.ts'

export interface PublishOptions {
  readonly qos?: QoS
  readonly retain?: boolean
  readonly dup?: boolean
  readonly messageId?: number
}

export interface Message {
  readonly topic: string
  readonly bytes: Buffer
  readonly text: string
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  readonly messageId: number | undefined
}

export type Json = Readonly<Record<string, unknown>>

/** A message whose payload is a JSON object. */
export interface JsonMessage extends Message {
  readonly json: Json
}

export interface WireParts {
  readonly name: string
  readonly trace: Trace
  readonly timeoutMs: number
  /** Told of every retained message that is published, so that it can be removed at the end. */
  readonly retained: (topic: string) => void
  /** Where AWS IoT Core carries the connection. Topics here and in checks are without the root. */
  readonly admission?: Admission | undefined
}

export class Wire {
  readonly packets: Arrivals<Packet>
  /** Resolves when the connection is over, whoever ended it. */
  readonly closed: Promise<void>
  isClosed = false
  /** As it stands in reply topics and entries. */
  clientId = ''
  /** Whether messages with QoS 1 are acknowledged as they come. */
  acknowledges = true
  readonly #socket: Duplex
  readonly #parts: WireParts
  #nextId = 1

  constructor(socket: Duplex, parts: WireParts) {
    this.#socket = socket
    this.#parts = parts
    this.packets = new Arrivals(parts.timeoutMs)
    const parse = parser({ protocolVersion: 4 })
    parse.on('packet', (packet) => this.#take(packet))
    parse.on('error', (error) => {
      this.#note(`← what is no MQTT: ${error.message}`)
      socket.destroy()
    })
    socket.on('data', (chunk: Buffer) => {
      try {
        parse.parse(chunk)
      } catch (error) {
        this.#note(`← what cannot be read: ${String(error)}`)
        socket.destroy()
      }
    })
    // The close that follows is what counts.
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true
        this.#note('the connection is closed')
        this.packets.end('the connection was closed')
        resolve()
      })
    })
    socket.once('end', () => socket.destroy())
  }

  send(packet: Packet): void {
    this.#write(generate(this.#outward(packet)))
  }

  /** Several packets in one write. */
  sendTogether(...packets: Packet[]): void {
    this.#write(Buffer.concat(packets.map((packet) => generate(this.#outward(packet)))))
  }

  /** Bytes that no packet generator would make. */
  sendBytes(bytes: Uint8Array, what: string): void {
    this.#note(`→ ${what}`)
    this.#write(bytes)
  }

  /** Sends CONNECT and resolves with the CONNACK, whatever it says. */
  async connect(connect: IConnectPacket): Promise<IConnackPacket> {
    this.clientId = this.#parts.admission?.client ?? connect.clientId
    this.send(connect)
    return await this.connack()
  }

  connack(): Promise<IConnackPacket> {
    return this.packets.take((packet): packet is IConnackPacket => packet.cmd === 'connack', 'CONNACK')
  }

  /** Sends SUBSCRIBE; resolves with the codes of the SUBACK. */
  async subscribe(filters: string | readonly string[], qos: QoS = 1): Promise<number[]> {
    const messageId = this.nextId()
    this.send({ cmd: 'subscribe', messageId, subscriptions: [filters].flat().map((topic) => ({ topic, qos })) })
    const suback = await this.packets.take(
      (packet): packet is ISubackPacket => packet.cmd === 'suback' && packet.messageId === messageId,
      `SUBACK of ${String(filters)}`,
    )
    return suback.granted as number[]
  }

  /** Subscribes, and throws `Broken` where a filter is refused. */
  async follow(...filters: string[]): Promise<this> {
    const codes = await this.subscribe(filters)
    must(!codes.includes(0x80), `SUBSCRIBE of ${filters.join(', ')} was refused: SUBACK ${codes.join(' ')}`)
    return this
  }

  async unsubscribe(filter: string): Promise<void> {
    const messageId = this.nextId()
    this.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filter] })
    await this.packets.take((packet) => packet.cmd === 'unsuback' && packet.messageId === messageId, 'UNSUBACK')
  }

  /** A PUBLISH, to be sent; what it leaves behind is noted. */
  publishPacket(topic: string, payload: string | Buffer, options: PublishOptions = {}): IPublishPacket {
    const { qos = 1, retain = false, dup = false, messageId = this.nextId() } = options
    if (retain && payload.length > 0) this.#parts.retained(topic)
    return { cmd: 'publish', topic, payload, qos, retain, dup, ...(qos > 0 ? { messageId } : {}) }
  }

  /** Sends PUBLISH; returns its packet id. */
  publishNow(topic: string, payload: string | Buffer, options: PublishOptions = {}): number {
    const packet = this.publishPacket(topic, payload, options)
    this.send(packet)
    return packet.messageId ?? 0
  }

  /** Sends PUBLISH; resolves at its PUBACK or, with QoS 2, after the whole exchange. */
  async publish(topic: string, payload: string | Buffer, options: PublishOptions = {}): Promise<void> {
    const messageId = this.publishNow(topic, payload, options)
    if (options.qos === 0) return
    if (options.qos !== 2) return await this.acknowledged('puback', messageId)
    await this.acknowledged('pubrec', messageId)
    await this.release(messageId)
  }

  async release(messageId: number): Promise<void> {
    this.send({ cmd: 'pubrel', messageId })
    await this.acknowledged('pubcomp', messageId)
  }

  async acknowledged(cmd: 'puback' | 'pubrec' | 'pubcomp', messageId: number): Promise<void> {
    await this.packets.take((packet) => packet.cmd === cmd && packet.messageId === messageId, cmd.toUpperCase())
  }

  /** The next message, taken: any, that on this topic, or the next that matches. */
  async message(which: string | ((message: Message) => boolean) = () => true, what?: string, timeoutMs?: number): Promise<Message> {
    const matches = typeof which === 'string' ? ({ topic }: Message): boolean => topic === which : which
    const packet = await this.packets.take(
      (candidate): candidate is IPublishPacket => candidate.cmd === 'publish' && matches(messageOf(candidate)),
      what ?? (typeof which === 'string' ? `a message on ${which}` : 'a message'),
      timeoutMs,
    )
    return messageOf(packet)
  }

  /** The next message whose payload is a JSON object that matches, taken. */
  async json(matches: (json: Json, topic: string) => boolean, what: string, timeoutMs?: number): Promise<JsonMessage> {
    const isWanted = (candidate: Message): boolean => {
      const json = objectOf(candidate.text)
      return json !== undefined && matches(json, candidate.topic)
    }
    const message = await this.message(isWanted, what, timeoutMs)
    return { ...message, json: objectOf(message.text) ?? {} }
  }

  /** The next control message `ctl` of this filter; its members. */
  async control(ctl: string, filter?: string): Promise<Json> {
    const what = `the control message ${ctl}${filter === undefined ? '' : ` of ${filter}`}`
    return (await this.json((json) => json['ctl'] === ctl && (filter === undefined || json['filter'] === filter), what)).json
  }

  /** Messages that came and that nobody has taken. */
  unread(): Message[] {
    return this.packets.waiting.filter((packet): packet is IPublishPacket => packet.cmd === 'publish').map(messageOf)
  }

  /** Resolves when everything that was sent before has been looked at, and what was due before has come. */
  async ping(): Promise<void> {
    this.send({ cmd: 'pingreq' })
    await this.packets.take(({ cmd }) => cmd === 'pingresp', 'PINGRESP')
  }

  /** Puts through the put door; resolves with the answer. The connection must follow its reply topics. */
  async put(topic: string, put: Json): Promise<Json> {
    if (put['retain'] === true) this.#parts.retained(topic)
    const id = String(put['id'])
    const messageId = this.publishNow(`put/${topic}`, JSON.stringify(put))
    const answer = await this.json((json, on) => on.startsWith('reply/') && json['id'] === id, `the answer to the put ${id}`)
    await this.acknowledged('puback', messageId)
    return answer.json
  }

  /** As `put`; throws `Broken` where it is refused. */
  async putWell(topic: string, put: Json): Promise<{ id: string; pos: string; duplicate?: boolean }> {
    const answer = await this.put(topic, put)
    must(typeof answer['pos'] === 'string', `the put ${String(put['id'])} was answered ${JSON.stringify(answer)}`)
    return answer as { id: string; pos: string; duplicate?: boolean }
  }

  /** Waits for the server to close the connection. Throws `Broken` where it does not, or sends such a packet before it does. */
  async mustClose(why: string, unlike?: Packet['cmd']): Promise<void> {
    await within(this.closed, this.#parts.timeoutMs, `the connection was not closed ${why}`)
    const wrong = this.packets.waiting.find(({ cmd }) => cmd === unlike)
    if (wrong) throw new Broken(`${wrong.cmd.toUpperCase()} came before the connection was closed ${why}`)
  }

  async disconnect(): Promise<void> {
    if (this.isClosed) return
    this.send({ cmd: 'disconnect' })
    await within(this.closed, this.#parts.timeoutMs, 'the connection was not closed after DISCONNECT')
  }

  /** Ends the connection without DISCONNECT. */
  cut(): void {
    this.#socket.destroy()
  }

  nextId(): number {
    return this.#nextId++
  }

  #take(packet: Packet): void {
    this.#note(`← ${describe(packet)}`)
    if (packet.cmd === 'publish' && packet.qos === 1 && this.acknowledges && !this.isClosed)
      this.#write(generate({ cmd: 'puback', messageId: packet.messageId ?? 0 }))
    const { admission } = this.#parts
    for (const one of admission ? inward(packet, admission) : [packet]) this.packets.add(one)
  }

  /** As it goes out, which is noted. */
  #outward(packet: Packet): Packet {
    const { admission } = this.#parts
    const wire = admission ? outward(packet, admission) : packet
    this.#note(`→ ${describe(wire)}`)
    return wire
  }

  #write(bytes: Uint8Array): void {
    if (!this.isClosed && this.#socket.writable) this.#socket.write(bytes)
  }

  #note(line: string): void {
    this.#parts.trace.add(`${this.#parts.name} ${line}`)
  }
}

export function messageOf({ topic, payload, qos, retain, dup, messageId }: IPublishPacket): Message {
  const bytes = Buffer.from(payload)
  return { topic, bytes, text: bytes.toString(), qos, retain, dup, messageId }
}

/** A JSON object, or undefined. */
export function objectOf(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined
  } catch {
    return undefined
  }
}

function describe(packet: Packet): string {
  const name = packet.cmd.toUpperCase()
  if (packet.cmd === 'connect') {
    const will = packet.will ? ` will ${packet.will.topic}` : ''
    return `${name} ${JSON.stringify(packet.clientId)}${packet.clean === false ? ' clean=0' : ''}${will}`
  }
  if (packet.cmd === 'connack') return `${name} ${packet.returnCode ?? 0}${packet.sessionPresent ? ' session present' : ''}`
  if (packet.cmd === 'publish') {
    const flags = [`qos ${packet.qos}`, packet.retain ? 'retain' : '', packet.dup ? 'dup' : ''].filter((flag) => flag !== '')
    const payload = packet.topic === 'auth/renew' ? '(a token)' : short(withoutTokens(Buffer.from(packet.payload).toString()), 100)
    return `${name} ${short(packet.topic, 80)} ${flags.join(' ')} ${payload}`
  }
  if (packet.cmd === 'subscribe') return `${name} ${packet.subscriptions.map(({ topic }) => topic).join(', ')}`
  if (packet.cmd === 'suback') return `${name} ${packet.granted.map(String).join(' ')}`
  if (packet.cmd === 'unsubscribe') return `${name} ${packet.unsubscriptions.join(', ')}`
  return name
}
