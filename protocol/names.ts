/** Canonical names of users, clients and spaces as topic levels [P-1.8]. */
import { createHash } from 'node:crypto'

const encodedBytesMax = 64
const plain = /^[A-Za-z0-9_-]$/
const hashForm = /^=h[A-Za-z0-9_-]{43}$/
const prefixForm = /^[A-Za-z0-9_-]{1,32}$/
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The topic level of a user, client or space: `[A-Za-z0-9_-]` stay, every other UTF-8 byte becomes `=HH`.
 * What would be longer than 64 bytes becomes `=h` and the SHA-256 of the encoded form in base64url.
 */
export function encodeName(raw: string): string {
  const encoded = escapeBytes(raw)
  if (encoded.length <= encodedBytesMax) return encoded
  return '=h' + createHash('sha256').update(encoded).digest('base64url')
}

/** The uid of a user: an issuer that does not own the bare names has a prefix, set off by `~`, which no encoding yields. */
export function encodeUid(sub: string, prefix = ''): string {
  if (prefix === '') return encodeName(sub)
  if (!prefixForm.test(prefix)) throw new RangeError(`issuer prefix ${JSON.stringify(prefix)} must match ${prefixForm.source}`)
  return `${prefix}~${encodeName(sub)}`
}

/** Whether a topic level is a canonical name: its decoding, encoded, gives it back, or it is a hash form. */
export function isCanonicalName(level: string): boolean {
  if (level === '') return false
  if (hashForm.test(level)) return true
  if (level.length > encodedBytesMax) return false
  const raw = decodeName(level)
  return raw !== undefined && escapeBytes(raw) === level
}

/** Whether a topic level is a canonical uid, with or without an issuer's prefix. */
export function isCanonicalUid(level: string): boolean {
  const tilde = level.indexOf('~')
  if (tilde < 0) return isCanonicalName(level)
  return prefixForm.test(level.slice(0, tilde)) && isCanonicalName(level.slice(tilde + 1))
}

/** The name behind an encoded level, or undefined where it is not an encoding (a hash form has no decoding). */
export function decodeName(level: string): string | undefined {
  const bytes: number[] = []
  for (let at = 0; at < level.length; at++) {
    const character = level[at] as string
    if (plain.test(character)) {
      bytes.push(character.charCodeAt(0))
    } else if (character === '=' && /^[0-9A-F]{2}$/.test(level.slice(at + 1, at + 3))) {
      bytes.push(Number.parseInt(level.slice(at + 1, at + 3), 16))
      at += 2
    } else {
      return undefined
    }
  }
  try {
    return utf8.decode(Uint8Array.from(bytes))
  } catch {
    return undefined // Not UTF-8, so no name encodes to it.
  }
}

function escapeBytes(raw: string): string {
  let encoded = ''
  for (const byte of Buffer.from(raw, 'utf8')) {
    const character = String.fromCharCode(byte)
    encoded += plain.test(character) ? character : '=' + byte.toString(16).toUpperCase().padStart(2, '0')
  }
  return encoded
}
