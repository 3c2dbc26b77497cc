/** Broker tokens: what the exchange gives out and every node of the same store accepts [P-10.20]. */
import type { KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import { SyncError } from '../protocol/errors.ts'
import { isCanonicalName, isCanonicalUid } from '../protocol/names.ts'
import type { Clock } from '../seams/clock.ts'
import { tokenLifetimeMs } from '../seams/limits.ts'
import { Grants } from './grants.ts'
import { refused, verifyJwt, type Outside } from './jwt.ts'
import type { Principal } from './principal.ts'
import type { SigningKeys } from './signing-keys.ts'

export const brokerTokenType = 'tidemark+jwt'

export class BrokerTokens {
  readonly #keys: SigningKeys
  readonly #clock: Clock
  readonly #issuer: string
  readonly #audience: string

  constructor(keys: SigningKeys, clock: Clock, names: { issuer: string; audience: string }) {
    this.#keys = keys
    this.#clock = clock
    this.#issuer = names.issuer
    this.#audience = names.audience
  }

  /** Signs a token that carries the subject's uid, `jti` and original `iat`, for at most an hour and never beyond the subject. */
  async sign(subject: Principal, grants: Grants, client: string | undefined): Promise<{ token: string; exp: number; expiresInS: number }> {
    const iat = Math.floor(this.#clock.now() / 1000)
    const exp = Math.min(iat + tokenLifetimeMs / 1000, Math.floor(subject.expiresAtMs / 1000))
    if (exp <= iat) throw new SyncError('token-expired', 'the subject token is about to expire')
    const { kid, privateKey } = await this.#keys.current()
    const claims = {
      scope: grants.texts.join(' '),
      oiat: subject.issuedAtMs / 1000,
      ...(client === undefined ? {} : { client_id: client }),
    }
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', typ: brokerTokenType, kid })
      .setIssuer(this.#issuer)
      .setAudience(this.#audience)
      .setSubject(subject.uid)
      .setIssuedAt(iat)
      .setExpirationTime(exp)
      .setJti(subject.jti)
      .sign(privateKey)
    return { token, exp, expiresInS: exp - iat }
  }

  async verify(outside: Outside): Promise<Principal> {
    const key = outside.kid === undefined ? undefined : await this.#keys.find(outside.kid)
    if (!key) throw refused('the broker token was signed with a key that this server does not have, or no longer (kid)')
    return verifyBrokerToken(outside, key, { issuer: this.#issuer, audience: this.#audience, nowMs: this.#clock.now() })
  }
}

/** Who shows a broker token that this public key has signed. Throws as `verifyJwt`, and for claims that are not ours. */
export async function verifyBrokerToken(
  outside: Outside,
  key: KeyObject,
  { issuer, audience, nowMs }: { issuer: string; audience: string; nowMs: number },
): Promise<Principal> {
  const { claims, sub, expiresAtMs, jti } = await verifyJwt(outside, key, {
    issuer,
    audience,
    algorithms: ['RS256'],
    typ: brokerTokenType,
    nowMs,
  })
  const { scope, oiat, client_id: client } = claims
  const bound = client === undefined || (typeof client === 'string' && isCanonicalName(client))
  if (typeof scope !== 'string' || typeof oiat !== 'number' || !bound || !isCanonicalUid(sub)) {
    throw refused('the broker token has the claims of another release')
  }
  const grants = Grants.parse(scope === '' ? [] : scope.split(' '))
  return { uid: sub, client, grants, expiresAtMs, issuedAtMs: oiat * 1000, jti, kind: 'broker' }
}
