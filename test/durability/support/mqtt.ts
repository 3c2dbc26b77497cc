/** A plain MQTT client that does nothing by itself: the tests decide what is acknowledged and what is sent again. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { generate, parser, type IConnackPacket, type IPublishPacket, type ISubackPacket, type Packet } from 'mqtt-packet'
import { within } from './waiting.ts'

export interface ConnectOptions {
  readonly port: number
  readonly clientId: string
  readonly token: string
  readonly clean: boolean
  /** Called for every packet but CONNACK and SUBACK. */
  readonly received: (packet: Packet, client: MqttClient) => void
}

const replyTimeoutMs = 15_000

export class MqttClient {
  readonly sessionPresent: boolean
  /** Resolves when the connection is over, whoever ended it. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  #isClosed = false
  #suback: ((packet: ISubackPacket) => void) | undefined

  static async open(options: ConnectOptions): Promise<MqttClient> {
    const socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true })
    await within(replyTimeoutMs, 'a TCP connection', once(socket, 'connect'))
    const packets = parser()
    const connack = new Promise<IConnackPacket>((resolve, reject) => {
      packets.once('packet', (packet) => resolve(packet as IConnackPacket))
      packets.once('error', reject)
      socket.once('close', () => reject(new Error(`${options.clientId}: closed before CONNACK`)))
    })
    // Packets may follow the CONNACK in one chunk: they wait until somebody listens.
    const early: Packet[] = []
    let client: MqttClient | undefined
    packets.on('packet', (packet) => {
      if (packet.cmd === 'connack') return
      if (client) client.#take(packet, options)
      else early.push(packet)
    })
    socket.on('data', (bytes) => packets.parse(bytes))
    socket.on('error', () => {}) // The close that follows is what counts.
    const { clientId, token, clean } = options
    socket.write(
      generate({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clientId,
        clean,
        keepalive: 0,
        username: 'any',
        password: Buffer.from(token),
      }),
    )
    const { returnCode, sessionPresent } = await within(replyTimeoutMs, `CONNACK for ${clientId}`, connack)
    if (returnCode !== 0) throw new Error(`${clientId}: CONNACK with ${returnCode}`)
    client = new MqttClient(socket, sessionPresent)
    for (const packet of early) client.#take(packet, options)
    return client
  }

  private constructor(socket: Socket, sessionPresent: boolean) {
    this.#socket = socket
    this.sessionPresent = sessionPresent
    this.closed = new Promise((resolve) => {
      const over = (): void => {
        this.#isClosed = true
        resolve()
      }
      if (socket.destroyed) over()
      else socket.once('close', over)
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  send(packet: Packet): void {
    if (!this.#isClosed) this.#socket.write(generate(packet))
  }

  /** Subscribes at QoS 1; the filters must all be granted it. */
  async subscribe(...filters: string[]): Promise<void> {
    const suback = new Promise<ISubackPacket>((resolve) => (this.#suback = resolve))
    this.send({ cmd: 'subscribe', messageId: 65_535, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) })
    const { granted } = await within(replyTimeoutMs, `SUBACK for ${filters.join(' ')}`, suback)
    if (granted.some((code) => code !== 1 && code !== 0)) throw new Error(`${filters.join(' ')}: granted ${JSON.stringify(granted)}`)
  }

  /** Cuts the connection without a DISCONNECT. */
  async destroy(): Promise<void> {
    this.#socket.destroy()
    await this.closed
  }

  #take(packet: Packet, { received }: ConnectOptions): void {
    if (packet.cmd === 'suback') this.#suback?.(packet)
    else received(packet, this)
  }
}

/** Acknowledges a delivery at QoS 1. */
export function acknowledge({ qos, messageId }: IPublishPacket, client: MqttClient): void {
  if (qos === 1 && messageId !== undefined) client.send({ cmd: 'puback', messageId })
}
