/** A publisher that never waits and hears every byte that reaches it, until the server ends the connection. */
import { connect } from 'node:net'
import mqttPacket from 'mqtt-packet'

export interface RawPublisherOptions {
  readonly port: number
  readonly token: string
  readonly topic: string
  /** Called after each PUBACK with how many there were. */
  readonly onAcknowledged: (count: number) => void
}

/** Publishes `n1`, `n2`, … at QoS 1; resolves with those acknowledged, once the connection is gone. */
export function rawPublisher({ port, token, topic, onAcknowledged }: RawPublisherOptions): Promise<string[]> {
  const socket = connect(port, '127.0.0.1')
  const parser = mqttPacket.parser({ protocolVersion: 4 })
  const texts: string[] = []
  let messageId = 0
  const publishBurst = (): void => {
    for (let left = 50; left > 0 && socket.writable && messageId < 65_535; left--) {
      messageId++
      socket.write(mqttPacket.generate({ cmd: 'publish', topic, payload: `n${messageId}`, qos: 1, dup: false, retain: false, messageId }))
    }
    if (socket.writable) setImmediate(publishBurst)
  }
  parser.on('packet', (packet) => {
    if (packet.cmd === 'connack') publishBurst()
    if (packet.cmd !== 'puback') return
    texts.push(`n${packet.messageId}`)
    onAcknowledged(texts.length)
  })
  socket.on('data', (chunk: Buffer) => void parser.parse(chunk))
  socket.on('error', () => {}) // What came before it counts.
  const password = Buffer.from(token)
  socket.write(
    mqttPacket.generate({
      cmd: 'connect',
      clientId: 'raw',
      clean: true,
      keepalive: 0,
      protocolId: 'MQTT',
      protocolVersion: 4,
      username: 'x',
      password,
    }),
  )
  return new Promise((resolve) => void socket.once('close', () => resolve(texts)))
}
