/** A TCP broker for one topic that acknowledges everything and delivers as it is told, to show what the load generator catches. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import mqttPacket, { type Packet } from 'mqtt-packet'

export interface FaultyBroker {
  readonly url: string
  stop(): Promise<void>
}

/** What is to be sent to the subscribers now, given a payload and how many came before it. */
export type Delivery = (payload: Buffer, index: number) => readonly Buffer[]

export async function faultyBroker(deliver: Delivery): Promise<FaultyBroker> {
  const subscribers = new Set<Socket>()
  const sockets = new Set<Socket>()
  let published = 0
  const handle = (socket: Socket, packet: Packet): void => {
    const answer = (reply: Packet): unknown => socket.write(mqttPacket.generate(reply))
    if (packet.cmd === 'connect') answer({ cmd: 'connack', returnCode: 0, sessionPresent: false })
    else if (packet.cmd === 'subscribe') {
      subscribers.add(socket)
      answer({ cmd: 'suback', messageId: packet.messageId as number, granted: [1] })
    } else if (packet.cmd === 'publish') {
      answer({ cmd: 'puback', messageId: packet.messageId as number })
      for (const payload of deliver(packet.payload as Buffer, published++)) {
        for (const subscriber of subscribers) {
          subscriber.write(mqttPacket.generate({ ...packet, payload, messageId: (published % 65_535) + 1 }))
        }
      }
    }
  }
  const server = createServer((socket) => {
    sockets.add(socket)
    const parser = mqttPacket.parser()
    parser.on('packet', (packet: Packet) => handle(socket, packet))
    socket.on('data', (bytes) => parser.parse(bytes))
    socket.on('error', () => {})
    socket.on('close', () => subscribers.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
