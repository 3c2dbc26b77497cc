/** App tokens: from the JWT of a configured issuer to a principal [P-10.1]. */
import { encodeUid } from '../protocol/names.ts'
import { quote } from '../protocol/topics.ts'
import type { Clock } from '../seams/clock.ts'
import type { Logger } from '../seams/logger.ts'
import { tokenAgeMaxMs } from '../seams/limits.ts'
import { grantsOf } from './claims.ts'
import type { AuthConfig, IssuerConfig } from './config.ts'
import { refused, SignatureMismatch, verifyJwt, type Outside, type Verified } from './jwt.ts'
import { openKeySource, type KeySource } from './key-source.ts'
import type { Principal } from './principal.ts'

export class AppTokens {
  readonly #config: AuthConfig
  readonly #clock: Clock
  readonly #issuers: ReadonlyMap<string, Issuer>

  /** Reads key files. Throws `bad-request` for one that cannot serve. */
  static async open(config: AuthConfig, parts: { clock: Clock; logger: Logger }): Promise<AppTokens> {
    const issuers = new Map<string, Issuer>()
    for (const issuer of config.issuers) issuers.set(issuer.issuer, { config: issuer, keys: await openKeySource(issuer, parts) })
    return new AppTokens(config, parts.clock, issuers)
  }

  private constructor(config: AuthConfig, clock: Clock, issuers: ReadonlyMap<string, Issuer>) {
    this.#config = config
    this.#clock = clock
    this.#issuers = issuers
  }

  /** Throws `unauthorized`, `token-expired` or `forbidden`, saying what was wrong. */
  async verify(outside: Outside): Promise<Principal> {
    const issuer = this.#issuers.get(outside.iss ?? '')
    if (!issuer)
      throw refused(outside.iss === undefined ? 'the token has no iss' : `the issuer ${quote(outside.iss)} is not configured (iss)`)
    const verified = await this.#verifySignature(outside, issuer)
    checkAge(verified, this.#config.maxTokenAgeMs ?? tokenAgeMaxMs)
    const uid = encodeUid(verified.sub, issuer.config.prefix ?? '')
    const { claimsToGrants, openEnabled } = this.#config
    const mayGrant = issuer.config.mayGrant ?? false
    const grants = grantsOf(uid, verified.claims, { claimsToGrants, openEnabled, mayGrant })
    const { expiresAtMs, issuedAtMs, jti } = verified
    return { uid, client: undefined, grants, expiresAtMs, issuedAtMs, jti, kind: 'app' }
  }

  async #verifySignature(outside: Outside, { config, keys }: Issuer): Promise<Verified> {
    const attempt = () => {
      const expected = { issuer: config.issuer, audience: this.#config.audience, algorithms: keys.algorithms, nowMs: this.#clock.now() }
      return verifyJwt(outside, keys.key, expected)
    }
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof SignatureMismatch) || !(await keys.renewed())) throw error
      return attempt()
    }
  }
}

interface Issuer {
  readonly config: IssuerConfig
  readonly keys: KeySource
}

/** A token that outlives the revocations kept could come back after being revoked. */
export function checkAge(verified: Verified, ageMaxMs: number): void {
  if (verified.expiresAtMs - verified.issuedAtMs > ageMaxMs) {
    throw refused(`the token lives longer than ${Math.floor(ageMaxMs / 60_000)} minutes from iat to exp (maxTokenAgeMs)`)
  }
}
