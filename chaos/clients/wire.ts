/** An MQTT connection that does nothing by itself but ping: what is acknowledged and repeated is decided by its user. */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { generate, parser, type IConnackPacket, type IPublishPacket, type ISubackPacket, type Packet } from 'mqtt-packet'
import { createWebSocketStream, WebSocket } from 'ws'
import { root, type Admitted } from '../faults/aws.ts'

export interface WireOptions {
  readonly port: number
  /** To AWS IoT Core, in place of the port. */
  readonly admitted?: Admitted
  /** Over WebSocket, to a port for HTTP. */
  readonly webSocket?: boolean
  readonly clientId: string
  readonly token: string
  readonly clean: boolean
  readonly will?: { readonly topic: string; readonly payload: string }
  readonly received: (packet: Packet) => void
}

const connectMs = 35_000
const silentMs = 10_000

export class Wire {
  readonly present: boolean
  /** Resolves when the connection is over, whoever ended it. */
  readonly closed: Promise<void>
  readonly #socket: Duplex
  readonly #admitted: Admitted | undefined
  readonly #sent = new Map<number, (packet: ISubackPacket | undefined) => void>()
  #over = false
  #subscribeId = 60_000
  #heardMs = performance.now()

  /** Resolves at CONNACK; rejects where the server is away or refuses. */
  static async open(options: WireOptions): Promise<Wire> {
    const { admitted, webSocket, port } = options
    const url = admitted?.url ?? (webSocket === true ? `ws://127.0.0.1:${port}/mqtt` : undefined)
    const socket = url === undefined ? connect({ port, host: '127.0.0.1', noDelay: true }) : overWebSocket(url)
    const packets = parser()
    socket.on('error', () => {}) // The close that follows is what counts.
    socket.on('data', (bytes) => {
      try {
        packets.parse(bytes)
      } catch {
        socket.destroy()
      }
    })
    // Packets may follow the CONNACK in one chunk: they wait until somebody listens.
    const early: Packet[] = []
    let wire: Wire | undefined
    const connack = await new Promise<IConnackPacket>((resolve, reject) => {
      const late = setTimeout(() => socket.destroy(), connectMs)
      socket.once('close', () => {
        clearTimeout(late)
        reject(new Error('closed before CONNACK'))
      })
      packets.on('error', () => socket.destroy())
      packets.on('packet', (packet) => {
        if (packet.cmd === 'connack') {
          clearTimeout(late)
          resolve(packet)
        } else if (wire) wire.#take(packet, options)
        else early.push(packet)
      })
      socket.write(generate(connectPacket(options)))
    })
    if (connack.returnCode !== 0) {
      socket.destroy()
      throw new Refused(connack.returnCode ?? -1)
    }
    wire = new Wire(socket, connack.sessionPresent, admitted)
    // The owner has to know its wire before the first packet comes.
    setImmediate(() => {
      for (const packet of early.splice(0)) wire.#take(packet, options)
    })
    return wire
  }

  private constructor(socket: Duplex, present: boolean, admitted: Admitted | undefined) {
    this.#socket = socket
    this.#admitted = admitted
    this.present = present
    const pings = setInterval(() => this.#ping(), 2_000)
    this.closed = new Promise((resolve) => {
      const over = (): void => {
        clearInterval(pings)
        this.#over = true
        for (const answer of this.#sent.values()) answer(undefined)
        resolve()
      }
      if (socket.destroyed) over()
      else socket.once('close', over)
    })
  }

  get isOver(): boolean {
    return this.#over || this.#socket.destroyed
  }

  send(packet: Packet): void {
    if (!this.isOver) this.#socket.write(generate(packet))
  }

  /** The body of a put, with what shows whose it is where AWS does not say so [P-20.3]. */
  signed(body: string): string {
    return this.#admitted ? JSON.stringify({ ...(JSON.parse(body) as object), token: this.#admitted.token }) : body
  }

  publish(topic: string, payload: string, options: { qos: 0 | 1 | 2; messageId?: number; retain?: boolean; dup?: boolean }): void {
    this.send({ cmd: 'publish', topic: this.#wired(topic), payload, retain: false, dup: false, ...options })
  }

  /** The code granted, told before any packet that follows the SUBACK; undefined where the connection ended before. */
  async subscribe(filter: string, answered: (code: number) => void = () => {}): Promise<number | undefined> {
    if (this.isOver) return undefined
    const messageId = (this.#subscribeId = this.#subscribeId >= 65_000 ? 60_000 : this.#subscribeId + 1)
    const answer = new Promise<number | undefined>((resolve) => {
      this.#sent.set(messageId, (packet) => {
        if (packet) answered(Number(packet.granted[0]))
        resolve(packet && Number(packet.granted[0]))
      })
    })
    this.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: this.#wired(filter), qos: 1 }] })
    return await answer
  }

  /** Ends the connection in good order. */
  disconnect(): void {
    this.send({ cmd: 'disconnect' })
    this.#socket.end()
    setTimeout(() => this.#socket.destroy(), 2_000).unref()
  }

  /** Ends it without a DISCONNECT. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** At AWS everything stands below the root. */
  #wired(topic: string): string {
    return this.#admitted ? `${root}/${topic}` : topic
  }

  #ping(): void {
    if (performance.now() - this.#heardMs > silentMs) this.destroy()
    else this.send({ cmd: 'pingreq' })
  }

  #take(packet: Packet, { received }: WireOptions): void {
    this.#heardMs = performance.now()
    if (packet.cmd === 'suback') {
      const { messageId = 0 } = packet
      this.#sent.get(messageId)?.(packet)
      this.#sent.delete(messageId)
    } else if (packet.cmd === 'publish' && this.#admitted) received({ ...packet, topic: packet.topic.slice(root.length + 1) })
    else if (packet.cmd !== 'pingresp') received(packet)
  }
}

function overWebSocket(url: string): Duplex {
  const stream = createWebSocketStream(new WebSocket(url, 'mqtt', { handshakeTimeout: connectMs }))
  // It waits for the end of what is written, which nobody is there for.
  stream.once('end', () => stream.destroy())
  return stream
}

/** CONNACK said no. */
export class Refused extends Error {
  readonly code: number

  constructor(code: number) {
    super(`CONNACK with ${code}`)
    this.code = code
  }
}

/** Acknowledges a delivery at QoS 1. */
export function acknowledge(wire: Wire | undefined, { qos, messageId }: IPublishPacket): void {
  if (qos === 1 && messageId !== undefined) wire?.send({ cmd: 'puback', messageId })
}

function connectPacket({ clientId, token, clean, will, admitted }: WireOptions): Packet {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: admitted?.clientId ?? clientId,
    clean,
    keepalive: 8,
    username: 'any',
    password: Buffer.from(token),
    ...(will ? { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1 as const, retain: false } } : {}),
  }
}
