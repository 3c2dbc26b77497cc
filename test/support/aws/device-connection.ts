/**
 * One connection to the stand-in of AWS IoT Core's broker, as AWS speaks it, every packet judged by the session's policies: MQTT 3.1.1, and of
 * MQTT 5 what a client needs that asks for nothing more than 3.1.1 has.
 */
import mqttPacket from 'mqtt-packet'
import type { IConnectPacket, IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet'
import type { RawData, WebSocket } from 'ws'
import type { DeviceGateway } from './device-gateway.ts'
import { account, mayDo, region, type Session } from './sts.ts'

export interface DeviceMessage {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1
  /** Published so, or kept from such a publish. */
  readonly retain?: boolean
}

const payloadBytesMax = 128 * 1024
const topicBytesMax = 256
const slashesMax = 7
const filtersMax = 8
const subscriptionsMax = 50
const clientIdBytesMax = 128
/** Of MQTT 5. */
const notAuthorized = 0x87

/** Why AWS closed it: for the test, clients never hear it. */
export type Closed = (clientId: string, reason: string) => void

export class DeviceConnection {
  clientId = ''
  clean = true
  readonly #gateway: DeviceGateway
  readonly #socket: WebSocket
  readonly #session: Session
  /** It learns the version at CONNECT. */
  readonly #parser = mqttPacket.parser({ protocolVersion: 4 })
  #will: DeviceMessage | undefined
  #version: 4 | 5 = 4
  #isConnected = false
  #isOver = false
  #nextId = 1
  #second = 0
  #inSecond = 0
  readonly #unacked = new Map<number, () => void>()

  constructor(gateway: DeviceGateway, socket: WebSocket, session: Session) {
    this.#gateway = gateway
    this.#socket = socket
    this.#session = session
    this.#parser.on('packet', (packet) => {
      if (!this.#isOver) this.#packet(packet)
    })
    this.#parser.on('error', (error) => this.close(`malformed: ${error.message}`))
    socket.on('message', (data: RawData) => void this.#parser.parse(data as Buffer))
    socket.on('error', () => {}) // `close` comes behind it.
    socket.on('close', () => this.#over('the client is gone'))
  }

  /** Whether the policies allow it now: asked for every packet, as AWS does. */
  may(action: string, type: 'client' | 'topic' | 'topicfilter', name: string): boolean {
    if (this.#gateway.switches.unjudged) return true
    const context = { 'aws:currenttime': new Date(this.#gateway.now()).toISOString() }
    return mayDo(this.#session, action, `arn:aws:iot:${region}:${account}:${type}/${name}`, context)
  }

  /** Sends a message; `acknowledged` is called at its PUBACK, at once at QoS 0. */
  deliver({ topic, payload, qos, retain = false }: DeviceMessage, acknowledged: () => void = () => {}): void {
    if (this.#isOver || this.#isTooMuch()) return
    const messageId = qos === 0 ? undefined : this.#nextId++ % 65_535 || 1
    if (messageId !== undefined) this.#unacked.set(messageId, acknowledged)
    this.#gateway.metered(this.clientId, 'deliveries', unitsOf(payload))
    // DUP is not supported: what is sent again has another packet id.
    this.#send({ cmd: 'publish', topic, payload, qos, retain, dup: false, ...(messageId === undefined ? {} : { messageId }) })
    if (qos === 0) acknowledged()
  }

  /** Without a word, as AWS does whatever the reason. */
  close(reason: string): void {
    if (this.#isOver) return
    this.#gateway.closings.push(`${this.clientId}: ${reason}`)
    this.#socket.terminate()
    this.#over(reason)
  }

  /** Whether this message is one too many for its second. */
  #isTooMuch(): boolean {
    const second = Math.floor(performance.now() / 1000)
    if (second !== this.#second) this.#inSecond = 0
    this.#second = second
    if (++this.#inSecond <= this.#gateway.switches.perSecondMax) return false
    this.#gateway.discarded++
    return true
  }

  #over(reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    if (!this.#isConnected) return
    this.#gateway.left(this, reason)
    if (this.#will) this.#gateway.publish(this.#will)
  }

  #send(packet: Packet): void {
    this.#socket.send(mqttPacket.generate(packet, { protocolVersion: this.#version }))
  }

  #packet(packet: Packet): void {
    if (this.#isConnected === (packet.cmd === 'connect')) return this.close(`${packet.cmd} at the wrong time`)
    if (packet.cmd === 'connect') return this.#connect(packet)
    if (packet.cmd === 'publish') return this.#publish(packet)
    if (packet.cmd === 'subscribe') return this.#subscribe(packet)
    if (packet.cmd === 'pingreq') return this.#send({ cmd: 'pingresp' })
    if (packet.cmd === 'disconnect') {
      this.#will = undefined
      return this.#socket.close()
    }
    if (packet.cmd === 'unsubscribe') {
      this.#gateway.unsubscribe(this, packet.unsubscriptions)
      return this.#send({ cmd: 'unsuback', messageId: packet.messageId as number, granted: packet.unsubscriptions.map(() => 0) })
    }
    if (packet.cmd !== 'puback') return this.close(`${packet.cmd} is not supported`)
    this.#gateway.metered(this.clientId, 'acknowledgements', 1)
    const acknowledged = this.#unacked.get(packet.messageId as number)
    this.#unacked.delete(packet.messageId as number)
    acknowledged?.()
  }

  #connect({ clientId, clean, protocolVersion, keepalive = 0, properties, will }: IConnectPacket): void {
    this.clientId = clientId
    // In MQTT 5 it says how long a session is kept, and whether an old one goes on is asked apart from that.
    this.clean = protocolVersion === 5 ? (properties?.sessionExpiryInterval ?? 0) === 0 : clean === true
    this.#gateway.keepalives.set(clientId, keepalive)
    if (protocolVersion !== 4 && protocolVersion !== 5) return this.close(`MQTT of version ${protocolVersion}`)
    this.#version = protocolVersion
    if (clientId === '' || clientId.startsWith('$') || Buffer.byteLength(clientId) > clientIdBytesMax) return this.close('client id')
    if (!this.may('iot:Connect', 'client', clientId)) return this.close('Connect is denied')
    if (will && !this.may('iot:Publish', 'topic', will.topic)) return this.close(`the will is denied: ${will.topic}`)
    if (will?.retain && !this.may('iot:RetainPublish', 'topic', will.topic))
      return this.close(`the will may not be retained: ${will.topic}`)
    if (will)
      this.#will = {
        topic: will.topic,
        payload: Buffer.from(will.payload),
        qos: Math.min(will.qos ?? 0, 1) as 0 | 1,
        retain: will.retain === true,
      }
    if (this.#gateway.connectsTooSoon(clientId)) return this.close('a CONNECT too soon after the last')
    this.#isConnected = true
    this.#gateway.metered(clientId, 'connects', 1)
    const sessionPresent = this.#gateway.joined(this)
    const able = { maximumQoS: 1, subscriptionIdentifiersAvailable: false, maximumPacketSize: 149_504, topicAliasMaximum: 8 }
    this.#send(
      this.#version === 5
        ? { cmd: 'connack', reasonCode: 0, sessionPresent, properties: able }
        : { cmd: 'connack', returnCode: 0, sessionPresent },
    )
    this.#gateway.resume(this)
  }

  #publish({ topic, payload, qos, retain, messageId }: IPublishPacket): void {
    const bytes = Buffer.from(payload)
    if (qos === 2) return this.close('QoS 2')
    if (unfit(topic)) return this.close(`the topic is too long: ${topic}`)
    if (bytes.length > payloadBytesMax) return this.close(`a payload of ${bytes.length} bytes`)
    if (!this.may('iot:Publish', 'topic', topic)) {
      // The one thing that MQTT 5 hears in place of the end of its connection.
      if (this.#version === 5 && qos === 1) return this.#send({ cmd: 'puback', messageId: messageId as number, reasonCode: notAuthorized })
      return this.close(`Publish is denied: ${topic}`)
    }
    if (retain && !this.may('iot:RetainPublish', 'topic', topic)) return this.close(`RetainPublish is denied: ${topic}`)
    if (this.#isTooMuch()) return // Discarded without a word.
    this.#gateway.metered(this.clientId, 'publishes', unitsOf(bytes))
    this.#gateway.ruled({ topic, payload: bytes, qos }, this.clientId, this.#session.name)
    this.#gateway.publish({ topic, payload: bytes, qos, retain })
    if (qos === 1) this.#send({ cmd: 'puback', messageId: messageId as number })
  }

  #subscribe({ subscriptions, messageId }: ISubscribePacket): void {
    if (subscriptions.length === 0 || subscriptions.length > filtersMax)
      return this.close(`${subscriptions.length} filters in one SUBSCRIBE`)
    const denial = this.#version === 5 ? notAuthorized : 128
    const granted = subscriptions.map(({ topic, qos }) => {
      const isDenied = unfit(unshared(topic)) || !this.may('iot:Subscribe', 'topicfilter', topic)
      return isDenied ? denial : Math.min(qos, 1)
    })
    const denied = subscriptions.filter((_, at) => granted[at] === denial).map(({ topic }) => topic)
    this.#gateway.denied.push(...denied)
    const isClosed = this.#version === 4 && this.#gateway.switches.denySubscribe === 'close'
    if (denied.length > 0 && isClosed) return this.close(`Subscribe is denied: ${denied.join(' ')}`)
    const good = subscriptions.filter((_, at) => granted[at] !== denial)
    if (!this.#gateway.subscribe(this, good, subscriptionsMax)) return this.close('too many subscriptions')
    this.#send({ cmd: 'suback', messageId: messageId as number, granted })
    this.#gateway.tellRetained(this, good)
  }
}

/** AWS counts messages of up to 5 KB. */
function unitsOf(payload: Buffer): number {
  return Math.max(1, Math.ceil(payload.length / 5_120))
}

function unfit(topic: string): boolean {
  return Buffer.byteLength(topic) > topicBytesMax || topic.split('/').length - 1 > slashesMax
}

/** `$share/{name}/` does not count. */
function unshared(filter: string): string {
  return filter.replace(/^\$share\/[^/]+\//, '')
}
