/** Who has put: the token that stands in every put over AWS IoT Core, verified once and remembered while it is good. */
import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Authority, Principal } from '../../auth/index.ts'
import { SyncError } from '../../protocol/errors.ts'
import type { Clock } from '../../seams/clock.ts'
import { awsPrincipalsMax } from '../../seams/limits.ts'

export type BoundPrincipal = Principal & { readonly client: string }

export class Principals {
  readonly #authority: Pick<Authority, 'authenticate' | 'isRevoked' | 'blind'>
  readonly #clock: Clock
  /** By the hash of the token: what is kept opens nothing. */
  readonly #known = new LRUCache<string, BoundPrincipal>({ max: awsPrincipalsMax })

  readonly #met: (principal: Principal) => void

  /** `met` hears of everybody who was verified. */
  constructor(authority: Pick<Authority, 'authenticate' | 'isRevoked' | 'blind'>, clock: Clock, met: (principal: Principal) => void) {
    this.#authority = authority
    this.#clock = clock
    this.#met = met
  }

  /** Throws `unauthorized`, `token-expired`, or `forbidden` for a token that is bound to no client: nobody could be answered. */
  async of(token: unknown): Promise<BoundPrincipal> {
    if (typeof token !== 'string') throw new SyncError('unauthorized', 'the put has no token [P-20.3]')
    // Nobody knows who was revoked meanwhile.
    if (this.#authority.blind) throw new SyncError('store-unavailable', 'revocations cannot be read')
    const hash = createHash('sha256').update(token).digest('base64')
    const known = this.#known.get(hash) ?? (await this.#verified(token, hash))
    if (known.expiresAtMs <= this.#clock.now()) throw new SyncError('token-expired', 'the token of the put has ended')
    if (this.#authority.isRevoked(known)) throw new SyncError('unauthorized', 'the token of the put was revoked')
    return known
  }

  async #verified(token: string, hash: string): Promise<BoundPrincipal> {
    const principal = await this.#authority.authenticate(token, undefined)
    const { client } = principal
    if (client === undefined) throw new SyncError('forbidden', 'the token of the put is bound to no client')
    const bound = { ...principal, client }
    this.#known.set(hash, bound)
    this.#met(bound)
    return bound
  }
}
