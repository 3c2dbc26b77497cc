/** MQTT 3.1.1 packets, as far as they pass by aedes: what we read and what we write ourselves. */

/** Control packet types [MQTT-2.2.1]. */
export const packetType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14,
} as const

export const pingresp = Buffer.from([0xd0, 0])
export const ackHeader = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70 } as const

/** CONNACK return codes [MQTT-3.2.2-3]. */
export const connackCode = {
  unacceptableProtocol: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badCredentials: 4,
  notAuthorised: 5,
} as const

export const dupFlag = 0x08
export const retainFlag = 0x01

export function encodeAck(header: number, packetId: number): Buffer {
  return Buffer.from([header, 2, packetId >> 8, packetId & 255])
}

/** The CONNACK of a refused CONNECT. */
export function encodeConnack(returnCode: number): Buffer {
  return Buffer.from([0x20, 2, 0, returnCode])
}

/** The protocol level of a CONNECT whose variable header begins at `body`; undefined where it is too short to have one. */
export function protocolLevel(packet: Buffer, body: number, end: number): number | undefined {
  if (body + 2 > end) return undefined
  const at = body + 2 + packet.readUInt16BE(body)
  return at < end ? packet[at] : undefined
}

/** SUBACK with one code per filter, in the order of the SUBSCRIBE. */
export function encodeSuback(packetId: number, codes: readonly number[]): Buffer {
  return Buffer.from([0x90, 2 + codes.length, packetId >> 8, packetId & 255, ...codes])
}

/** SUBSCRIBE at QoS 1. */
export function encodeSubscribe(packetId: number, filters: readonly string[]): Buffer {
  return encodeFilters(0x82, packetId, filters, [1])
}

export function encodeUnsubscribe(packetId: number, filters: readonly string[]): Buffer {
  return encodeFilters(0xa2, packetId, filters, [])
}

function encodeFilters(first: number, packetId: number, filters: readonly string[], behind: readonly number[]): Buffer {
  const bytes = filters.flatMap((filter) => [filter.length >> 8, filter.length & 255, ...Buffer.from(filter, 'latin1'), ...behind])
  const remaining = 2 + bytes.length
  const header = Buffer.alloc(1 + lengthBytes(remaining))
  header[0] = first
  writeLength(header, 1, remaining)
  return Buffer.concat([header, Buffer.from([packetId >> 8, packetId & 255, ...bytes])])
}

/** Bytes of the encoded remaining length [MQTT-2.2.3]. */
export function lengthBytes(remaining: number): number {
  return remaining < 128 ? 1 : remaining < 16_384 ? 2 : remaining < 2_097_152 ? 3 : 4
}

/** Writes the remaining length and returns the offset behind it. */
export function writeLength(buffer: Buffer, at: number, remaining: number): number {
  for (let rest = remaining; ;) {
    const more = rest > 127
    buffer[at++] = (rest & 127) | (more ? 128 : 0)
    if (!more) return at
    rest >>= 7
  }
}

/** A whole PUBLISH. `packetId` is given for QoS 1 only. */
export function encodePublish(
  topic: string,
  payload: Uint8Array,
  options: { packetId?: number; retain?: boolean; dup?: boolean } = {},
): Buffer {
  const { packetId, retain = false, dup = false } = options
  const topicBytes = Buffer.byteLength(topic)
  const remaining = 2 + topicBytes + (packetId === undefined ? 0 : 2) + payload.length
  const packet = Buffer.allocUnsafe(1 + lengthBytes(remaining) + remaining)
  packet[0] = 0x30 | (packetId === undefined ? 0 : 2) | (retain ? retainFlag : 0) | (dup ? dupFlag : 0)
  let at = writeLength(packet, 1, remaining)
  at = packet.writeUInt16BE(topicBytes, at)
  at += packet.write(topic, at)
  if (packetId !== undefined) at = packet.writeUInt16BE(packetId, at)
  packet.set(payload, at)
  return packet
}

/** What a SUBSCRIBE asks for. */
export interface FilterRequest {
  readonly filter: string
  readonly qos: number
}

/**
 * Reads the filters of a SUBSCRIBE whose variable header begins at `at`; each requested QoS is lowered to 1 [P-4.7].
 * Undefined where the packet is malformed.
 */
export function readSubscribe(packet: Buffer, at: number): { packetId: number; requests: FilterRequest[] } | undefined {
  if (packet.length < at + 2) return undefined
  const packetId = packet.readUInt16BE(at)
  const requests: FilterRequest[] = []
  for (at += 2; at < packet.length; at++) {
    const text = readText(packet, at)
    if (!text) return undefined
    at = text.end
    const qos = packet[at]
    if (qos === undefined || qos > 2) return undefined
    requests.push({ filter: text.text, qos: Math.min(qos, 1) })
  }
  return packetId === 0 || requests.length === 0 ? undefined : { packetId, requests }
}

/** Reads the filters of an UNSUBSCRIBE. Undefined where the packet is malformed. */
export function readUnsubscribe(packet: Buffer, at: number): string[] | undefined {
  if (packet.length < at + 2 || packet.readUInt16BE(at) === 0) return undefined
  const filters: string[] = []
  for (at += 2; at < packet.length;) {
    const text = readText(packet, at)
    if (!text) return undefined
    filters.push(text.text)
    at = text.end
  }
  return filters.length === 0 ? undefined : filters
}

function readText(packet: Buffer, at: number): { text: string; end: number } | undefined {
  if (at + 2 > packet.length) return undefined
  const end = at + 2 + packet.readUInt16BE(at)
  if (end > packet.length) return undefined
  return { text: packet.toString('utf8', at + 2, end), end }
}
