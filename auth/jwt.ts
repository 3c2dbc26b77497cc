/** One JWT verified, with a refusal that says what was wrong and never shows the token [P-10.2]. */
import { createHash, type KeyObject } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTVerifyGetKey } from 'jose'
import { SyncError } from '../protocol/errors.ts'
import { quote } from '../protocol/topics.ts'
import { tokenAheadMs } from '../seams/limits.ts'
import type { Claims } from './claims.ts'

/** What a token says of itself before anything is proved: enough to choose the key, nothing more. */
export interface Outside {
  readonly token: string
  readonly alg: string
  readonly typ: string
  readonly kid: string | undefined
  readonly iss: string | undefined
}

/** Reads the outside. Throws `unauthorized` for what is too long (unread), no JWT, or `alg: none`. */
export function readOutside(token: string, tokenBytesMax: number): Outside {
  if (Buffer.byteLength(token) > tokenBytesMax) throw refused(`the token is longer than ${tokenBytesMax} bytes`)
  const { header, claims } = decode(token)
  const alg = typeof header.alg === 'string' ? header.alg : ''
  if (alg === '' || alg.toLowerCase() === 'none') throw refused('the token is not signed (alg: none)')
  return {
    token,
    alg,
    typ: typeof header.typ === 'string' ? header.typ.toLowerCase().replace(/^application\//, '') : '',
    kid: typeof header.kid === 'string' ? header.kid : undefined,
    iss: typeof claims.iss === 'string' ? claims.iss : undefined,
  }
}

function decode(token: string) {
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) }
  } catch {
    // What the parser says may quote the token.
    throw refused('this is not a JWT')
  }
}

export interface Expected {
  /** Named in refusals. */
  readonly issuer: string
  readonly audience: string
  readonly algorithms: readonly string[]
  readonly typ?: string
  readonly nowMs: number
}

/** The claims every token has, checked. Times in ms. */
export interface Verified {
  readonly claims: Claims
  readonly sub: string
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  readonly jti: string
}

/** Checks signature, `iss`, `aud`, `exp`, `iat`, `nbf` and `sub`. Throws `unauthorized` or `token-expired` [P-10.3]. */
export async function verifyJwt(outside: Outside, key: KeyObject | JWTVerifyGetKey, expected: Expected): Promise<Verified> {
  const { token, alg } = outside
  if (!expected.algorithms.includes(alg)) {
    throw refused(`the algorithm ${quote(alg)} is not allowed for ${expected.issuer} (allowed: ${expected.algorithms.join(', ')})`)
  }
  const options = {
    algorithms: [...expected.algorithms],
    issuer: expected.issuer,
    audience: expected.audience,
    requiredClaims: ['exp', 'iat', 'sub'],
    currentDate: new Date(expected.nowMs),
    ...(expected.typ === undefined ? {} : { typ: expected.typ }),
  }
  try {
    const { payload } = typeof key === 'function' ? await jwtVerify(token, key, options) : await jwtVerify(token, key, options)
    return checkClaims(payload, token, expected)
  } catch (error) {
    throw translate(error, expected)
  }
}

function checkClaims(claims: Claims, token: string, expected: Expected): Verified {
  const { sub, iat, exp, jti } = claims
  if (typeof sub !== 'string' || sub === '') throw refused('the token has an empty sub, or one that is no text')
  // Lone surrogates all encode alike, so two users could meet.
  if (/\p{Surrogate}/u.test(sub)) throw refused('the sub of the token is not Unicode')
  if (typeof iat !== 'number' || typeof exp !== 'number') throw refused('iat and exp of the token must be numbers')
  if (iat * 1000 > expected.nowMs + tokenAheadMs)
    throw refused(`the token was issued more than ${tokenAheadMs / 1000} s in the future (iat)`)
  // The library compares whole seconds; a token is refused from its exp on [P-10.4].
  if (exp * 1000 <= expected.nowMs) throw expired(exp)
  return {
    claims,
    sub,
    issuedAtMs: iat * 1000,
    expiresAtMs: exp * 1000,
    jti: typeof jti === 'string' && jti !== '' ? jti : hashOf(token),
  }
}

/** Stands for a token that has no `jti`. */
export function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

function translate(error: unknown, expected: Expected): SyncError {
  const { issuer } = expected
  if (error instanceof SyncError) return error
  if (error instanceof errors.JWTExpired) return expired(Number(error.payload.exp))
  if (error instanceof errors.JWTClaimValidationFailed) return refused(claimProblem(error, expected), error)
  if (error instanceof errors.JWSSignatureVerificationFailed) return new SignatureMismatch(issuer, error)
  if (error instanceof errors.JWKSNoMatchingKey) return refused(`${issuer} has no key for the kid and algorithm of the token`, error)
  if (error instanceof errors.JWKSMultipleMatchingKeys) return refused(`the token names no kid, and ${issuer} has several keys`, error)
  return refused(`the token cannot be verified with the key of ${issuer}`, error)
}

function claimProblem(error: errors.JWTClaimValidationFailed, expected: Expected): string {
  if (error.reason === 'missing') return `the token has no ${error.claim}`
  if (error.claim === 'aud') return `the token is for another audience (aud), not for ${expected.audience}`
  if (error.claim === 'iss') return `the token is of another issuer (iss), not of ${expected.issuer}`
  if (error.claim === 'nbf' && error.reason === 'check_failed') return 'the token is not valid yet (nbf)'
  if (error.claim === 'typ') return `the token is not of the type ${expected.typ ?? 'JWT'} (typ)`
  return `the ${error.claim} of the token is not well formed`
}

/** The one refusal after which a newer key is worth a look. */
export class SignatureMismatch extends SyncError {
  constructor(issuer: string, cause: unknown) {
    super('unauthorized', `the signature of the token does not match the key of ${issuer}`, {}, cause)
  }
}

export function refused(message: string, cause?: unknown): SyncError {
  return new SyncError('unauthorized', message, {}, cause)
}

function expired(exp: number): SyncError {
  const at = new Date(exp * 1000)
  return new SyncError('token-expired', `the token expired at ${Number.isNaN(at.getTime()) ? exp : at.toISOString()}`)
}
