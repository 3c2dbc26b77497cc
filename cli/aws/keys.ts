/** The server's public keys, as the authorizer and its function want them. */
import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { SyncError } from '../../protocol/errors.ts'
import { unreachable } from '../doctor/unreachable.ts'

/** How many keys an authorizer has here: the one that signs, and the one before or after it. */
const keysMax = 2
/** AWS: characters of a parameter of a template. */
const parameterCharsMax = 4_096
const bitsMin = 2_048
const timeoutMs = 10_000

interface Key {
  readonly kid: string
  readonly kty: string
  readonly n: string
  readonly e: string
}

export interface KeyParameters extends Readonly<Record<string, string>> {
  readonly BrokerJwks: string
  readonly TokenSigningKey: string
  readonly SecondTokenSigningKey: string
}

/** Of a file or URL of a JWKS; empty without one. Throws `bad-request` for what cannot be used, and where it cannot be read. */
export async function keyParameters(place: string | undefined): Promise<KeyParameters> {
  if (place === undefined) return { BrokerJwks: '', TokenSigningKey: '', SecondTokenSigningKey: '' }
  const keys = keysIn(await textOf(place), place)
  const [first, second] = keys.map(pemOf)
  const text = JSON.stringify({ keys: keys.map(({ kid, kty, n, e }) => ({ kid, kty, n, e, alg: 'RS256', use: 'sig' })) })
  if (text.length > parameterCharsMax) throw new SyncError('bad-request', `${place}: the keys are longer than AWS takes`)
  return { BrokerJwks: text, TokenSigningKey: first as string, SecondTokenSigningKey: second ?? '' }
}

/** The kids of a JWKS, and of nothing where there is none. */
export function kidsOf(jwks: string): string[] {
  return jwks === '' ? [] : (JSON.parse(jwks) as { keys: readonly Key[] }).keys.map(({ kid }) => kid)
}

/** In the order of their names, so that nothing changes where none did. */
function keysIn(text: string, place: string): readonly Key[] {
  let keys: readonly Key[]
  try {
    keys = (JSON.parse(text) as { readonly keys: readonly Key[] }).keys.filter(({ kty, kid, n, e }) => kty === 'RSA' && kid && n && e)
  } catch (error) {
    throw new SyncError('bad-request', `${place} is no JWKS`, {}, error)
  }
  if (keys.length === 0) throw new SyncError('bad-request', `${place} has no RSA key with a kid`)
  if (keys.length > keysMax) {
    throw new SyncError(
      'bad-request',
      `${place} has ${keys.length} keys, at most ${keysMax}: wait until the tokens of the oldest have ended`,
    )
  }
  return [...keys].sort((a, b) => (a.kid < b.kid ? -1 : 1))
}

function pemOf({ kid, kty, n, e }: Key): string {
  const key: JsonWebKey = { kty, n, e }
  try {
    const publicKey = createPublicKey({ key, format: 'jwk' })
    if ((publicKey.asymmetricKeyDetails?.modulusLength ?? 0) >= bitsMin) return publicKey.export({ type: 'spki', format: 'pem' }).toString()
  } catch (error) {
    throw new SyncError('bad-request', `the key ${kid} is no public key`, {}, error)
  }
  throw new SyncError('bad-request', `the key ${kid} is too short: AWS takes RSA of 2,048 bits and more`)
}

async function textOf(place: string): Promise<string> {
  if (/^https?:\/\//.test(place)) {
    const answer = await fetch(place, { signal: AbortSignal.timeout(timeoutMs) }).catch((error: unknown) => {
      const { message, advice } = unreachable(place, error)
      throw new SyncError('bad-request', `${message}: ${advice}`, {}, error)
    })
    if (!answer.ok) throw new SyncError('bad-request', `${place} answers ${answer.status}`)
    return await answer.text()
  }
  return await readFile(place, 'utf8').catch((error: unknown) => {
    throw new SyncError('bad-request', `${place} cannot be read: ${(error as NodeJS.ErrnoException).code}`, {}, error)
  })
}
