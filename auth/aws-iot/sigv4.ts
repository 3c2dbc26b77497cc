/** AWS's Signature Version 4, as far as requests to AWS IoT Core's data endpoint need it. */
import { createHash, createHmac } from 'node:crypto'

export interface Signing {
  readonly region: string
  readonly service: string
  /** `yyyymmddThhmmssZ`, as `signingTime` writes it. */
  readonly time: string
}

export function signingTime(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, '')
}

/** What a signature is good for. */
export function scopeOf({ region, service, time }: Signing): string {
  return `${time.slice(0, 8)}/${region}/${service}/aws4_request`
}

/** The signature of a request without a body: `canonical` are its lines down to the names of the signed headers. */
export function signatureOf(secretAccessKey: string, signing: Signing, canonical: readonly string[]): string {
  const scope = scopeOf(signing)
  const toSign = ['AWS4-HMAC-SHA256', signing.time, scope, sha256([...canonical, sha256('')].join('\n'))].join('\n')
  const key = scope.split('/').reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${secretAccessKey}`)
  return hmac(key, toSign).toString('hex')
}

/** RFC 3986, as SigV4 wants it: all but the unreserved characters. */
export function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
