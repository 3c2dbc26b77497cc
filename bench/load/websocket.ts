/** The client's side of WebSocket framing (RFC 6455), as little of it as MQTT needs. */
import { inbox, Leftover } from './inbox.ts'

const opcode = { binary: 2, close: 8 } as const

export function upgradeRequest(url: URL): string {
  return [
    `GET ${url.pathname} HTTP/1.1`,
    `Host: ${url.host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Protocol: mqtt',
    '\r\n',
  ].join('\r\n')
}

/** The header of a binary frame. Its masking key is zero, so that the payload stands as it is. */
export function frameHeader(payloadBytes: number): Buffer {
  const mask = [0, 0, 0, 0]
  if (payloadBytes < 126) return Buffer.from([0x82, 0x80 | payloadBytes, ...mask])
  if (payloadBytes < 65_536) return Buffer.from([0x82, 0xfe, payloadBytes >> 8, payloadBytes & 0xff, ...mask])
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(BigInt(payloadBytes))
  return Buffer.concat([Buffer.from([0x82, 0xff]), length, Buffer.from(mask)])
}

/** Takes the frame headers out of what arrives, in place. */
export class Deframer {
  /** A header that came in part. */
  readonly #header = new Leftover()
  #frameBytesLeft = 0
  #skips = false

  /** Moves the payloads in `[start, end)` of the inbox together, to `start`; returns where they end. Throws at a close frame. */
  unwrap(start: number, end: number): number {
    let from = this.#header.restore(start)
    // The leftover stands in front of `start` only while it is read: payloads gather at `start`, behind the reader.
    let to = start
    for (;;) {
      const length = Math.min(this.#frameBytesLeft, end - from)
      if (length > 0) {
        if (!this.#skips) {
          if (to !== from) inbox.copyWithin(to, from, from + length)
          to += length
        }
        from += length
        this.#frameBytesLeft -= length
      }
      const headerBytes = from < end ? this.#readHeader(from, end) : 0
      if (headerBytes === 0) break
      from += headerBytes
    }
    this.#header.keep(from, end)
    return to
  }

  /** Returns the header's length, or 0 while it has not come in full. */
  #readHeader(at: number, end: number): number {
    if (end - at < 2) return 0
    const short = (inbox[at + 1] as number) & 127
    const headerBytes = short === 126 ? 4 : short === 127 ? 10 : 2
    if (end - at < headerBytes) return 0
    const code = (inbox[at] as number) & 15
    if (code === opcode.close) throw new Error('the server closed the WebSocket')
    this.#skips = code > opcode.binary
    this.#frameBytesLeft = short === 126 ? inbox.readUInt16BE(at + 2) : short === 127 ? Number(inbox.readBigUInt64BE(at + 2)) : short
    return headerBytes
  }
}
