/** What AWS makes of a signature: the other side of every signer, written from AWS's documents and from nothing of ours. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

export interface SignedRequest {
  readonly method: string
  /** As in the request line, still encoded. */
  readonly path: string
  /** Decoded, in the order of the request. */
  readonly query: readonly (readonly [string, string])[]
  readonly headers: Readonly<Record<string, string>>
  readonly signedHeaders: string
  readonly payload: Uint8Array | string
  /** `yyyymmddThhmmssZ`. */
  readonly time: string
  /** `{day}/{region}/{service}/aws4_request`. */
  readonly scope: string
}

export function signatureOf(secret: string, request: SignedRequest): string {
  const { method, path, query, headers, signedHeaders, payload, time, scope } = request
  const parameters = query
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
  const canonical = [
    method,
    path,
    parameters.map((pair) => pair.join('=')).join('&'),
    ...signedHeaders.split(';').map((name) => `${name}:${(headers[name] ?? '').trim().replaceAll(/ +/g, ' ')}`),
    '',
    signedHeaders,
    createHash('sha256').update(payload).digest('hex'),
  ].join('\n')
  let key: Buffer = Buffer.from(`AWS4${secret}`)
  for (const part of scope.split('/')) key = createHmac('sha256', key).update(part).digest()
  const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${createHash('sha256').update(canonical).digest('hex')}`
  return createHmac('sha256', key).update(text).digest('hex')
}

export function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Milliseconds, or NaN. */
export function timeOf(time: string): number {
  const parts = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(time)
  if (!parts) return Number.NaN
  const [, year, month, day, hour, minute, second] = parts
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

/** A `+` stays one: it is no space in a URL that is signed. */
export function queryOf(text: string): [string, string][] {
  if (text === '') return []
  return text.split('&').map((part) => {
    const at = part.indexOf('=')
    return at < 0 ? [decodeURIComponent(part), ''] : [decodeURIComponent(part.slice(0, at)), decodeURIComponent(part.slice(at + 1))]
  })
}

function encode(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => {
      const character = String.fromCharCode(byte)
      return /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')
}
