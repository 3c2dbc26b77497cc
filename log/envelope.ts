/** Envelopes: entries as JSON, for the sync door, put replies and HTTP [P-3.3 – P-3.13]. */
import { isUtf8 } from 'node:buffer'
import type { Entry } from './entry.ts'

/** The latency receipt [P-3.17], ms since 1970. */
export interface EnvelopeHops {
  readonly received: number
  readonly authorised: number
  readonly committed: number
  readonly written: number
}

/** A message that was never logged [P-3.2]. */
export interface EphemeralFields {
  readonly ts: number
  readonly from: string
  readonly client: string
  readonly topic: string
  readonly payload: Buffer
}

/** The envelope of an entry that stands at `position`. */
export function encodeEnvelope(entry: Entry, position: string, options?: { readonly hops?: EnvelopeHops }): Buffer {
  const { payload, retain } = entry
  let head = `{"pos":"${position}","id":"${entry.id}",${provenance(entry)}`
  if (retain) head += ',"retain":true'
  const hops = options?.hops
  const tail = hops
    ? `,"hops":{"received":${hops.received},"authorised":${hops.authorised},"committed":${hops.committed},"written":${hops.written}}}`
    : '}'
  if (retain && payload.length === 0) return Buffer.from(`${head},"deleted":true${tail}`)
  return withPayload(head, payload, tail)
}

/** The envelope of an ephemeral message: it has neither `pos` nor `id` [P-3.13]. */
export function ephemeralEnvelope(fields: EphemeralFields): Buffer {
  return withPayload(`{${provenance(fields)}`, fields.payload, ',"ephemeral":true}')
}

function provenance({ ts, from, client, topic }: Omit<EphemeralFields, 'payload'>): string {
  // Encoded names need no escaping; a topic may.
  return `"ts":${ts},"from":"${from}","client":"${client}","topic":${JSON.stringify(topic)}`
}

function withPayload(head: string, payload: Buffer, tail: string): Buffer {
  if (!isUtf8(payload)) return withBase64(head, payload, tail)
  if (isJson(payload)) return around(`${head},"data":`, payload, tail) // Verbatim, neither parsed nor written again [P-3.14].
  if (standsAsItIs(payload)) return around(`${head},"text":"`, payload, `"${tail}`)
  const text = JSON.stringify(payload.toString())
  const base64Bytes = Math.ceil(payload.length / 3) * 4 + 2
  if (text.length > base64Bytes || Buffer.byteLength(text) > base64Bytes) return withBase64(head, payload, tail)
  return Buffer.from(`${head},"text":${text}${tail}`)
}

/** Whether no byte needs escaping within a JSON string. */
function standsAsItIs(payload: Buffer): boolean {
  for (let at = 0; at < payload.length; at++) if (plainInString[payload[at] as number] === 0) return false
  return true
}

function withBase64(head: string, payload: Buffer, tail: string): Buffer {
  return Buffer.from(`${head},"base64":"${payload.toString('base64')}"${tail}`)
}

function around(start: string, payload: Buffer, end: string): Buffer {
  const startBytes = Buffer.byteLength(start)
  const envelope = Buffer.allocUnsafe(startBytes + payload.length + end.length)
  envelope.write(start)
  envelope.set(payload, startBytes)
  envelope.write(end, startBytes + payload.length, 'latin1')
  return envelope
}

/**
 * Whether bytes that are valid UTF-8 are one JSON text (RFC 8259). Made by hand because JSON.parse builds
 * what nobody asks for and takes 5 µs to throw; the depth is bounded by the payload alone.
 */
export function isJson(bytes: Uint8Array): boolean {
  /** What closes each thing that encloses the place looked at; `close` is the innermost, 0 outside of all. */
  const enclosing: number[] = []
  let close = 0
  let at = skipWhite(bytes, 0)
  for (;;) {
    // A value begins here.
    const first = bytes[at]
    let ended = true
    if (first === openBrace || first === openBracket) {
      at = skipWhite(bytes, at + 1)
      if (bytes[at] === first + 2) {
        at++
      } else {
        enclosing.push(close)
        close = first + 2
        ended = false
      }
    } else {
      at = first === quote ? skipString(bytes, at) : skipScalar(bytes, at)
      if (at < 0) return false
    }
    // After a value: more of what encloses it, or its end.
    while (ended) {
      at = skipWhite(bytes, at)
      if (close === 0) return at === bytes.length
      const byte = bytes[at]
      if (byte !== comma && byte !== close) return false
      at++
      if (byte === comma) {
        at = skipWhite(bytes, at)
        ended = false
      } else {
        close = enclosing.pop() as number
      }
    }
    if (close === closeBrace) {
      at = skipName(bytes, at)
      if (at < 0) return false
    }
  }
}

const quote = 0x22
const comma = 0x2c
const minus = 0x2d
const dot = 0x2e
const zero = 0x30
const nine = 0x39
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const literals = new Map(['true', 'false', 'null'].map((text) => [text.charCodeAt(0), Buffer.from(text)]))
const escapes = Buffer.from('"\\/bfnrt')
/** 1 for every byte that stands for itself within a string. */
const plainInString = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 0x20 && byte !== quote && byte !== backslash ? 1 : 0))

// Each returns where what it skips ends, or a negative number if it is not there.

function skipWhite(bytes: Uint8Array, start: number): number {
  let at = start
  while (at < bytes.length && isWhite(bytes[at] as number)) at++
  return at
}

/** A member's name, its colon and the white space around. */
function skipName(bytes: Uint8Array, start: number): number {
  if (bytes[start] !== quote) return -1
  const end = skipString(bytes, start)
  if (end < 0) return -1
  const at = skipWhite(bytes, end)
  return bytes[at] === colon ? skipWhite(bytes, at + 1) : -1
}

function skipString(bytes: Uint8Array, start: number): number {
  const { length } = bytes
  let at = start + 1
  while (at < length) {
    const byte = bytes[at++] as number
    if (plainInString[byte] === 1) continue
    if (byte === quote) return at
    if (byte !== backslash || at === length) return -1
    const escaped = bytes[at++] as number
    if (escaped === 0x75) {
      for (const end = at + 4; at < end; at++) if (at >= length || !isHexDigit(bytes[at] as number)) return -1
    } else if (!escapes.includes(escaped)) {
      return -1
    }
  }
  return -1
}

function skipScalar(bytes: Uint8Array, start: number): number {
  if (start >= bytes.length) return -1
  const first = bytes[start] as number
  if (first === minus || isDigit(first)) return skipNumber(bytes, start)
  const literal = literals.get(first)
  if (!literal) return -1
  for (let at = 1; at < literal.length; at++) if (bytes[start + at] !== literal[at]) return -1
  return start + literal.length
}

function skipNumber(bytes: Uint8Array, start: number): number {
  let at = bytes[start] === minus ? start + 1 : start
  at = bytes[at] === zero ? at + 1 : skipDigits(bytes, at)
  if (at > 0 && bytes[at] === dot) at = skipDigits(bytes, at + 1)
  if (at > 0 && (bytes[at] === 0x65 || bytes[at] === 0x45)) {
    const sign = bytes[at + 1]
    at = skipDigits(bytes, sign === minus || sign === 0x2b ? at + 2 : at + 1)
  }
  return at
}

/** At least one. */
function skipDigits(bytes: Uint8Array, start: number): number {
  let at = start
  while (at < bytes.length && isDigit(bytes[at] as number)) at++
  return at > start ? at : -1
}

function isWhite(byte: number): boolean {
  return byte <= 0x20 && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)
}

function isDigit(byte: number): boolean {
  return byte >= zero && byte <= nine
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66)
}
