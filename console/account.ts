/** Who uses the console: where tokens come from, and what they allow. */

/** Kept for this tab, so that a reload stays signed in. */
export type Account =
  | { readonly kind: 'pasted'; readonly token: string }
  | { readonly kind: 'development'; readonly name: string; readonly spaces: Readonly<Record<string, string>> }

/** A stream that the token may read: as a whole, or below one filter. */
export interface Readable {
  readonly stream: string
  /** `#`, or the part that is granted. */
  readonly filter: string
  readonly writes: boolean
}

/** Says why nobody is signed in, in a sentence for the person in front of the page. */
export class SignInError extends Error {}

const accountKey = 'tidemark:console:account'
const secretKey = 'tidemark:console:secret'
const levels: ReadonlySet<string> = new Set(['read', 'write', 'own'])

/** Takes the secret of a printed link out of the address, where it would be copied and kept; true if there was one. */
export function takeSecret(): boolean {
  const secret = new URLSearchParams(location.hash.slice(1)).get('dev')
  if (!secret) return false
  sessionStorage.setItem(secretKey, secret)
  history.replaceState(null, '', location.pathname)
  return true
}

export function hasSecret(): boolean {
  return sessionStorage.getItem(secretKey) !== null
}

export function storedAccount(): Account | undefined {
  const text = sessionStorage.getItem(accountKey)
  return text === null ? undefined : (JSON.parse(text) as Account)
}

export function storeAccount(account: Account | undefined): void {
  if (account) sessionStorage.setItem(accountKey, JSON.stringify(account))
  else sessionStorage.removeItem(accountKey)
}

/** An app token; in development mode a fresh one each time. Throws a SignInError. */
export async function tokenOf(account: Account): Promise<string> {
  if (account.kind === 'pasted') return account.token
  const { name, spaces } = account
  const secret = sessionStorage.getItem(secretKey) ?? ''
  const { ok, status, body } = await post('/v1/dev/token', 'application/json', JSON.stringify({ secret, name, spaces }))
  if (ok) return body['token'] as string
  if (status === 403) throw new SignInError('This link is of an earlier start of the server. Open the one that it has printed now.')
  if (status === 404) throw new SignInError('This server makes no tokens. Paste one of your app.')
  throw new SignInError(textIn(body, 'detail') ?? `The server answered ${status}.`)
}

/** What the token may read, asked of the server. Throws a SignInError where the token is refused. */
export async function readablesOf(token: string): Promise<Readable[]> {
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  })
  const { ok, status, body } = await post('/v1/token', 'application/x-www-form-urlencoded', form.toString())
  if (!ok) throw new SignInError(`The server refuses this token: ${textIn(body, 'error_description') ?? textIn(body, 'error') ?? status}`)
  return readablesIn((textIn(body, 'scope') ?? '').split(' '))
}

function readablesIn(grants: readonly string[]): Readable[] {
  const places = (verb: string): string[] => grants.flatMap((text) => (text.startsWith(`${verb}:`) ? [text.slice(verb.length + 1)] : []))
  const writable = places('publish')
  return places('subscribe').flatMap((place) => {
    const [kind = '', id = '', ...below] = place.split('/')
    if (kind === 'reply' || below.length === 0) return []
    const stream = `${kind}/${id}`
    const writes = kind !== 'inbox' && writable.some((other) => other.startsWith(`${stream}/`))
    return [{ stream, filter: below.join('/'), writes }]
  })
}

/** When an app token ends, ms since 1970; undefined where it does not say so. */
export function expiryOf(token: string): number | undefined {
  try {
    const [, claims = ''] = token.split('.')
    const { exp } = JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/'))) as { exp?: unknown }
    return typeof exp === 'number' ? exp * 1000 : undefined
  } catch {
    return undefined // No JWT; the server says so in its own words.
  }
}

/** `board-7=write, club` → levels by space; a space alone is written to. Throws a SignInError. */
export function spacesIn(text: string): Record<string, string> {
  const pairs = text.split(/[\s,]+/).filter((word) => word !== '')
  return Object.fromEntries(
    pairs.map((pair) => {
      const [space = '', level = 'write'] = pair.split('=')
      if (!levels.has(level)) throw new SignInError(`${pair}: write a space as board-7=write, with read, write or own`)
      return [space, level]
    }),
  )
}

function textIn(body: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = body[name]
  return typeof value === 'string' ? value : undefined
}

async function post(path: string, type: string, text: string): Promise<{ ok: boolean; status: number; body: Record<string, unknown> }> {
  let response: Response
  try {
    response = await fetch(path, { method: 'POST', headers: { 'content-type': type }, body: text, credentials: 'omit' })
  } catch {
    throw new SignInError('The server cannot be reached. Is it running?')
  }
  const body: unknown = await response.json().catch(() => ({}))
  return { ok: response.ok, status: response.status, body: (body ?? {}) as Record<string, unknown> }
}
