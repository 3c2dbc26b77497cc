/** A watcher's bare socket: MQTT over WebSocket, as a page opens it, and as many packets as anybody asks for. */
import { generate } from 'mqtt-packet'
import { WebSocket } from 'ws'
import { login } from './login.ts'

const suback = 9
const publish = 3

export interface Packet {
  readonly type: number
  /** What stands behind the fixed header. */
  readonly body: Buffer
}

/** Resolves when the server has taken the subscriptions. Every packet from then on is told. */
export async function openSocket(
  origin: string,
  { name, clientId, topics }: { readonly name: string; readonly clientId: string; readonly topics: readonly string[] },
  told: (packet: Packet) => void,
): Promise<WebSocket> {
  const { token, url } = await login(origin, name)
  const socket = new WebSocket(`${url.replace('http', 'ws')}/mqtt`, 'mqtt', { perMessageDeflate: false })
  return await new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.once('close', () => reject(new Error(`the server closes ${clientId}`)))
    socket.once('open', () => {
      socket.send(generate({ cmd: 'connect', clientId, clean: true, username: name, password: Buffer.from(token), keepalive: 0 }))
      socket.send(generate({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 0 })) }))
    })
    let rest: Buffer = Buffer.alloc(0)
    socket.on('message', (data: Buffer) => {
      const { packets, left } = packetsIn(rest.length > 0 ? Buffer.concat([rest, data]) : data)
      rest = left
      for (const packet of packets) {
        if (packet.type === suback) resolve(socket)
        told(packet)
      }
    })
  })
}

/** The payload of a PUBLISH with QoS 0 as JSON; undefined for all else. */
export function payloadOf({ type, body }: Packet): unknown {
  if (type !== publish) return undefined
  return JSON.parse(body.toString('utf8', 2 + body.readUInt16BE(0)))
}

/** A frame may hold several packets, or a part of one [P-7.21]. */
function packetsIn(bytes: Buffer): { readonly packets: readonly Packet[]; readonly left: Buffer } {
  const packets: Packet[] = []
  let at = 0
  for (;;) {
    const header = lengthAt(bytes, at + 1)
    if (!header || header.begin + header.length > bytes.length) return { packets, left: bytes.subarray(at) }
    const end = header.begin + header.length
    packets.push({ type: (bytes[at] as number) >> 4, body: bytes.subarray(header.begin, end) })
    at = end
  }
}

/** The remaining length of MQTT: seven bits a byte, the lowest first. */
function lengthAt(bytes: Buffer, from: number): { readonly begin: number; readonly length: number } | undefined {
  let length = 0
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at] as number
    length += (byte & 0x7f) * 2 ** (7 * (at - from))
    if (byte < 0x80) return { begin: at + 1, length }
  }
  return undefined
}
