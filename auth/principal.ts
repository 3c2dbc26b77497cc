/** Who a connection or request is, as its token proved it. */
import type { Grants } from './grants.ts'

/** The uid of a client without credentials; `~` first, which no token can prove [P-1.14]. */
export const anonymousUid = '~anonymous'

export interface Principal {
  /** Encoded, with the issuer's prefix. */
  readonly uid: string
  /** Encoded client id that the token is bound to, if any [P-10.22]. */
  readonly client: string | undefined
  /** Encoded client id of the connection that showed the token, bound to it or not; absent over HTTP. */
  readonly connectedAs?: string
  readonly grants: Grants
  readonly expiresAtMs: number
  /** The `iat` of the token this one descends from, in ms: what revocations are judged by [P-10.25]. */
  readonly issuedAtMs: number
  /** The `jti` of that token, or the base64url SHA-256 of the token where it has none. */
  readonly jti: string
  readonly kind: 'app' | 'broker' | 'development' | 'anonymous'
}
