/** An MQTT 3.1.1 client that does exactly what it is told, packet by packet. */
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
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
import { Inbox, waitMsMax, within } from './waiting.ts'

export interface ConnectOptions extends Omit<Partial<IConnectPacket>, 'password' | 'cmd'> {
  readonly password?: string
}

export interface PublishOptions {
  readonly qos?: QoS
  readonly retain?: boolean
  readonly dup?: boolean
  readonly messageId?: number
}

const living = new Set<RawClient>()

/** Ends all clients that are left; for `afterEach`. */
export function destroyRawClients(): void {
  for (const client of living) client.destroy()
}

export class RawClient {
  readonly socket: Duplex
  readonly inbox = new Inbox<Packet>()
  /** Resolves when the connection is over, whoever ended it. */
  readonly closed: Promise<void>
  isClosed = false
  /** Whether PUBLISH packets with QoS 1 are acknowledged at once. */
  acknowledges = true
  bytesRead = 0
  #nextId = 1

  static async open(port: number): Promise<RawClient> {
    const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true })
    await within(once(socket, 'connect'), `a connection to port ${port}`)
    return new RawClient(socket)
  }

  constructor(socket: Duplex) {
    this.socket = socket
    living.add(this)
    const packets = parser({ protocolVersion: 4 })
    packets.on('packet', (packet: Packet) => {
      this.inbox.add(packet)
      if (packet.cmd === 'publish' && packet.qos === 1 && this.acknowledges)
        this.send({ cmd: 'puback', messageId: packet.messageId as number })
    })
    packets.on('error', (error: Error) => this.inbox.end(`the server sent what is no MQTT: ${error.message}`))
    socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length
      packets.parse(chunk)
    })
    socket.on('error', () => {})
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        this.isClosed = true
        living.delete(this)
        this.inbox.end('the connection is closed')
        resolve()
      }),
    )
  }

  send(packet: Packet): void {
    this.bytes(generate(packet))
  }

  bytes(bytes: Uint8Array): void {
    if (!this.isClosed) this.socket.write(bytes)
  }

  /** Sends CONNECT and resolves with the CONNACK, whatever it says. */
  async connect(options: ConnectOptions): Promise<IConnackPacket> {
    const { password, ...rest } = options
    this.send(connectPacket({ ...rest, ...(password === undefined ? {} : { password }) }))
    return (await this.expect(({ cmd }) => cmd === 'connack', 'CONNACK')) as IConnackPacket
  }

  /** Sends SUBSCRIBE; resolves with the codes of the SUBACK. */
  async subscribe(filters: string | readonly string[], qos: QoS = 1): Promise<number[]> {
    const messageId = this.nextId()
    this.send({ cmd: 'subscribe', messageId, subscriptions: [filters].flat().map((topic) => ({ topic, qos })) })
    const suback = (await this.expect(
      (packet) => packet.cmd === 'suback' && packet.messageId === messageId,
      `SUBACK of ${String(filters)}`,
    )) as ISubackPacket
    return suback.granted as number[]
  }

  async unsubscribe(filters: string | readonly string[]): Promise<void> {
    const messageId = this.nextId()
    this.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filters].flat() })
    await this.expect((packet) => packet.cmd === 'unsuback' && packet.messageId === messageId, `UNSUBACK of ${String(filters)}`)
  }

  /** Sends PUBLISH; returns its packet id. */
  publishNow(
    topic: string,
    payload: string | Buffer,
    { qos = 1, retain = false, dup = false, messageId = this.nextId() }: PublishOptions = {},
  ): number {
    this.send({ cmd: 'publish', topic, payload, qos, retain, dup, ...(qos > 0 ? { messageId } : {}) })
    return messageId
  }

  /** Sends PUBLISH and resolves at its PUBACK or, with QoS 2, after the whole exchange. */
  async publish(topic: string, payload: string | Buffer, options: PublishOptions = {}): Promise<void> {
    const { qos = 1 } = options
    const messageId = this.publishNow(topic, payload, options)
    if (qos === 1) await this.expect((packet) => packet.cmd === 'puback' && packet.messageId === messageId, `PUBACK of ${topic}`)
    if (qos === 2) {
      await this.expect((packet) => packet.cmd === 'pubrec' && packet.messageId === messageId, `PUBREC of ${topic}`)
      this.send({ cmd: 'pubrel', messageId })
      await this.expect((packet) => packet.cmd === 'pubcomp' && packet.messageId === messageId, `PUBCOMP of ${topic}`)
    }
  }

  /** The first packet not yet taken that matches; those before it stay. */
  expect(matches: (packet: Packet) => boolean, what: string, timeoutMs = waitMsMax): Promise<Packet> {
    return this.inbox.take(matches, what, timeoutMs)
  }

  /** The next PUBLISH, whatever its topic, or the next on this topic. */
  async message(topic?: string): Promise<Message> {
    const packet = (await this.expect(
      (candidate) => candidate.cmd === 'publish' && (topic === undefined || candidate.topic === topic),
      `a PUBLISH${topic ? ` on ${topic}` : ''}`,
    )) as IPublishPacket
    return toMessage(packet)
  }

  /** The next so many PUBLISH packets. */
  async messages(count: number): Promise<Message[]> {
    await this.inbox.until(() => this.unread().length >= count, `${count} PUBLISH packets`)
    return await Promise.all(Array.from({ length: count }, () => this.message()))
  }

  /** PUBLISH packets that nobody has taken. */
  unread(): Message[] {
    return this.inbox.waiting.filter((packet): packet is IPublishPacket => packet.cmd === 'publish').map(toMessage)
  }

  /** Resolves when everything that the server wrote before it answers has arrived. */
  async ping(): Promise<void> {
    this.send({ cmd: 'pingreq' })
    await this.expect(({ cmd }) => cmd === 'pingresp', 'PINGRESP')
  }

  async disconnect(): Promise<void> {
    this.send({ cmd: 'disconnect' })
    await within(this.closed, 'the end of the connection after DISCONNECT')
  }

  /** Cuts the connection without DISCONNECT. */
  destroy(): void {
    this.socket.destroy()
  }

  async gone(what: string): Promise<void> {
    await within(this.closed, `the server to close the connection: ${what}`)
  }

  nextId(): number {
    return this.#nextId++
  }
}

export interface Message {
  readonly topic: string
  readonly text: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  readonly messageId: number | undefined
}

export function toMessage({ topic, payload, qos, retain, dup, messageId }: IPublishPacket): Message {
  const bytes = Buffer.from(payload)
  return { topic, text: bytes.toString(), payload: bytes, qos, retain, dup, messageId }
}

/** A CONNECT with defaults: clean, protocol level 4, no keep-alive. */
export function connectPacket({ password, ...options }: ConnectOptions): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: '',
    clean: true,
    keepalive: 0,
    ...(password === undefined ? {} : { username: 'user', password: Buffer.from(password) }),
    ...options,
  }
}
