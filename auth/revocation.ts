/** One revocation: its three forms, and which tokens it matches [P-10.25]. */
import { SyncError } from '../protocol/errors.ts'
import { encodeName, isCanonicalName, isCanonicalUid } from '../protocol/names.ts'
import { tokenAheadMs } from '../seams/limits.ts'
import { anonymousUid, type Principal } from './principal.ts'

/** One of `{uid, before?}`, `{uid, client}` and `{jti}`; `uid` and `client` encoded, `before` in seconds since 1970. */
export interface RevocationRequest {
  readonly uid?: string
  readonly before?: number
  readonly client?: string
  readonly jti?: string
}

/** Times: `before` in s, `untilMs` when no token that the entry matches can be alive. */
export type Revocation =
  | { readonly uid: string; readonly client?: string; readonly before: number; readonly untilMs: number }
  | { readonly jti: string; readonly untilMs: number }

/** What of a principal revocations are judged by. */
export type Revocable = Pick<Principal, 'uid' | 'client' | 'connectedAs' | 'jti' | 'issuedAtMs'>

/** Revocations by what they match: one question per live connection after every change. */
export class Revoked {
  readonly #jtis = new Set<string>()
  readonly #before = new Map<string, number>()

  constructor(entries: Iterable<Revocation>) {
    for (const entry of entries) {
      if ('jti' in entry) this.#jtis.add(entry.jti)
      else this.#before.set(whoOf(entry), Math.max(entry.before, this.#before.get(whoOf(entry)) ?? 0))
    }
  }

  matches({ uid, client, connectedAs, jti, issuedAtMs }: Revocable): boolean {
    const iat = Math.floor(issuedAtMs / 1000)
    const whos = [uid, ...[client, connectedAs].flatMap((name) => (name === undefined ? [] : [`${uid}/${name}`]))]
    return this.#jtis.has(jti) || whos.some((who) => iat <= (this.#before.get(who) ?? -Infinity))
  }
}

function whoOf(entry: { readonly uid: string; readonly client?: string }): string {
  return entry.client === undefined ? entry.uid : `${entry.uid}/${entry.client}`
}

/** Unique to what the entry says, so that two nodes never overwrite each other. */
export function revocationKey(entry: Revocation): string {
  return 'jti' in entry ? `jti/${encodeName(entry.jti)}` : `uid/${whoOf(entry)}/${entry.before}`
}

/** Throws `bad-request` for what is none of the three forms. */
export function parseRevocation(request: RevocationRequest, nowMs: number, tokenAgeMaxMs: number): Revocation {
  const { uid, before, client, jti } = request
  // Tokens may be stamped ahead of our clock, and live from there.
  const lastMs = tokenAgeMaxMs + tokenAheadMs
  const nowS = Math.floor(nowMs / 1000)
  if (typeof jti === 'string' && jti !== '' && uid === undefined && before === undefined && client === undefined) {
    return { jti, untilMs: nowMs + lastMs }
  }
  if (typeof uid !== 'string' || jti !== undefined) throw badRequest('a revocation is one of {uid, before?}, {uid, client} and {jti}')
  if (!isCanonicalUid(uid) && uid !== anonymousUid) throw badRequest('uid is no canonical uid [P-1.11]')
  if (client !== undefined) {
    if (typeof client !== 'string' || !isCanonicalName(client)) throw badRequest('client is no encoded client id [P-1.13]')
    if (before !== undefined) throw badRequest('before does not go with client')
    return { uid, client, before: nowS, untilMs: nowMs + lastMs }
  }
  if (before !== undefined && !(Number.isSafeInteger(before) && before >= 0)) throw badRequest('before is whole seconds since 1970')
  const at = before ?? nowS
  if (at * 1000 > nowMs + tokenAheadMs) throw badRequest('before lies in the future')
  return { uid, before: at, untilMs: at * 1000 + 1000 + lastMs }
}

function badRequest(message: string): SyncError {
  return new SyncError('bad-request', message)
}
