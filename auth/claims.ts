/** From the claims of a verified token to its grants [P-10.16]. */
import { SyncError } from '../protocol/errors.ts'
import { isCanonicalName } from '../protocol/names.ts'
import { quote } from '../protocol/topics.ts'
import { Grants } from './grants.ts'

export type Claims = Readonly<Record<string, unknown>>

/** Pure: the same uid and claims give the same grant texts. What it throws refuses the token. */
export type ClaimsToGrants = (uid: string, claims: Claims) => readonly string[]

/** What everybody may do in the `open` stream, where it is on; its topics stand behind `open/-/` in grants [P-1.6]. */
export const openGrants: readonly string[] = ['publish:open/-/#', 'subscribe:open/-/#']

const spaceVerbs: Readonly<Record<string, readonly string[]>> = {
  read: ['subscribe'],
  write: ['subscribe', 'publish'],
  own: ['subscribe', 'publish', 'own'],
}

/** A user's own streams, and one entry per space of the claim `spaces: {"board-7": "read" | "write" | "own"}` [P-10.17]. */
export function defaultClaimsToGrants(uid: string, claims: Claims): readonly string[] {
  const own = [`publish:users/${uid}/#`, `subscribe:users/${uid}/#`, `publish:outbox/${uid}/#`, `subscribe:outbox/${uid}/#`]
  return [...own, `subscribe:inbox/${uid}/#`, ...spaceGrants(claims['spaces'])]
}

/** What the deployment's function gives, the open stream, and the claim `grants` of an issuer that may give it. */
export function grantsOf(
  uid: string,
  claims: Claims,
  rules: { claimsToGrants?: ClaimsToGrants | undefined; openEnabled: boolean; mayGrant: boolean },
): Grants {
  const claimed = claims['grants']
  if (claimed !== undefined && !rules.mayGrant) {
    throw new SyncError('forbidden', 'the token has a claim "grants", which its issuer may not give (mayGrant)')
  }
  try {
    const texts = (rules.claimsToGrants ?? defaultClaimsToGrants)(uid, claims)
    return Grants.parse([...texts, ...(rules.openEnabled ? openGrants : []), ...grantTexts(claimed)])
  } catch (error) {
    // A text that is no grant is the token's fault here, not the request's.
    if (error instanceof SyncError && error.code === 'bad-request') throw new SyncError('unauthorized', error.message, {}, error)
    throw error
  }
}

/** The grants of a client without credentials [P-1.29]. */
export function anonymousGrants(): Grants {
  return Grants.parse(openGrants)
}

function spaceGrants(spaces: unknown): string[] {
  if (spaces === undefined) return []
  if (typeof spaces !== 'object' || spaces === null || Array.isArray(spaces)) throw badClaim('spaces', 'is no object')
  return Object.entries(spaces).flatMap(([id, level]: [string, unknown]) => {
    if (!isCanonicalName(id)) throw badClaim('spaces', `names ${quote(id)}, which is no canonical name [P-1.12]`)
    const granted = typeof level === 'string' && Object.hasOwn(spaceVerbs, level) ? spaceVerbs[level] : undefined
    if (!granted) throw badClaim('spaces', `gives ${quote(id)} neither read nor write nor own`)
    return granted.map((verb) => `${verb}:spaces/${id}/#`)
  })
}

function grantTexts(claimed: unknown): string[] {
  if (claimed === undefined) return []
  if (!Array.isArray(claimed)) throw badClaim('grants', 'is no array of texts')
  return claimed.map((text: unknown) => {
    if (typeof text !== 'string') throw badClaim('grants', 'is no array of texts')
    return text
  })
}

function badClaim(claim: string, reason: string): SyncError {
  return new SyncError('unauthorized', `the token's claim "${claim}" ${reason}`)
}
