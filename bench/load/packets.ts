/** MQTT 3.1.1 packets as bytes. */

export const packetType = { connect: 1, connack: 2, publish: 3, puback: 4, suback: 9 } as const

export interface Credentials {
  readonly user: string
  readonly password: string
}

export interface ConnectFields {
  readonly clientId: string
  readonly clean: boolean
  readonly credentials?: Credentials | undefined
  /** Default 0, which is off. */
  readonly keepAliveSeconds?: number
}

export function connectPacket({ clientId, clean, credentials, keepAliveSeconds = 0 }: ConnectFields): Buffer {
  const flags = (clean ? 0x02 : 0) | (credentials ? 0xc0 : 0)
  const fixed = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, flags, keepAliveSeconds >> 8, keepAliveSeconds & 0xff])
  const texts = credentials ? [clientId, credentials.user, credentials.password] : [clientId]
  return packet(0x10, [fixed, ...texts.map(text)])
}

export function subscribePacket(packetId: number, filters: readonly string[], qos: 0 | 1): Buffer {
  return packet(0x82, [number16(packetId), ...filters.flatMap((filter) => [text(filter), Buffer.from([qos])])])
}

export const disconnectPacket: Buffer = Buffer.from([0xe0, 0])

/** A PUBLISH to copy from, and where in it to write. */
export interface PublishTemplate {
  readonly bytes: Buffer
  /** -1 at QoS 0. */
  readonly idOffset: number
  readonly payloadOffset: number
}

export function publishTemplate(topic: string, qos: 0 | 1, payload: Buffer): PublishTemplate {
  const bytes = packet(0x30 | (qos << 1), [text(topic), ...(qos === 0 ? [] : [number16(0)]), payload])
  const payloadOffset = bytes.length - payload.length
  return { bytes, idOffset: qos === 0 ? -1 : payloadOffset - 2, payloadOffset }
}

function packet(firstByte: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const header = [firstByte]
  let left = body.length
  do {
    header.push(left > 127 ? (left & 127) | 128 : left)
    left >>= 7
  } while (left > 0)
  return Buffer.concat([Buffer.from(header), body])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([number16(bytes.length), bytes])
}

function number16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}
