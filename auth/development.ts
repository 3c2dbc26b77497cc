/** Development mode: tokens signed with a key that lies in the data folder [P-10.27]. */
import { createHash, createSecretKey, randomBytes, randomUUID, timingSafeEqual, type KeyObject } from 'node:crypto'
import { link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { SyncError } from '../protocol/errors.ts'
import { encodeUid } from '../protocol/names.ts'
import type { Clock } from '../seams/clock.ts'
import { tokenAgeMaxMs } from '../seams/limits.ts'
import { defaultClaimsToGrants, grantsOf } from './claims.ts'
import { badConfig, type AuthConfig } from './config.ts'
import { Grants } from './grants.ts'
import { verifyJwt, type Outside } from './jwt.ts'
import type { Principal } from './principal.ts'
import { checkAge } from './verify.ts'

export const developmentTokenType = 'tidemark-dev+jwt'
const issuer = 'tidemark-dev'
const keyBytes = 32

export interface DevelopmentTokenRequest {
  readonly key: KeyObject
  readonly audience: string
  /** Becomes the uid, encoded. */
  readonly name: string
  /** Default 1 h, at most 24 h. */
  readonly ttlMs?: number
  readonly spaces?: Readonly<Record<string, 'read' | 'write' | 'own'>>
  /** Grant texts beyond the user's own. */
  readonly grants?: readonly string[]
  readonly tap?: boolean
  /** In ms; default the system's clock. */
  readonly now?: number
}

/** Signs a development token. Throws `bad-request` for a name, space, grant or time that the server would refuse. */
export async function mintDevelopmentToken(request: DevelopmentTokenRequest): Promise<string> {
  const { key, audience, name, ttlMs = 3_600_000, spaces, tap = false, now = Date.now() } = request
  if (name === '' || /\p{Surrogate}/u.test(name))
    throw new SyncError('bad-request', 'the name of a development user is empty or not Unicode')
  if (!(ttlMs >= 1_000 && ttlMs <= tokenAgeMaxMs)) throw new SyncError('bad-request', 'a development token lives between 1 s and 24 h')
  const grants = [...(request.grants ?? []), ...(tap ? ['tap'] : [])]
  const claims = { ...(spaces ? { spaces } : {}), ...(grants.length > 0 ? { grants } : {}) }
  checkClaims(encodeUid(name), claims, grants)
  const iat = Math.floor(now / 1000)
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: developmentTokenType })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(name)
    .setIssuedAt(iat)
    .setExpirationTime(iat + Math.floor(ttlMs / 1000))
    .setJti(randomUUID())
    .sign(key)
}

function checkClaims(uid: string, claims: Readonly<Record<string, unknown>>, grants: readonly string[]): void {
  try {
    defaultClaimsToGrants(uid, claims)
    Grants.parse(grants)
  } catch (error) {
    throw new SyncError('bad-request', error instanceof Error ? error.message : String(error), {}, error)
  }
}

/** Which token the console asks for. */
export type ConsoleTokenRequest = Pick<DevelopmentTokenRequest, 'name' | 'spaces'>

export class DevelopmentTokens {
  /** What the console shows for a token; whoever reads the terminal has it, and it ends with the process [P-19.4]. */
  readonly secret = randomBytes(16).toString('base64url')
  readonly #key: KeyObject
  readonly #config: AuthConfig
  readonly #clock: Clock

  constructor(key: KeyObject, config: AuthConfig, clock: Clock) {
    this.#key = key
    this.#config = config
    this.#clock = clock
  }

  /** A token for one hour. Throws `forbidden` for another secret, `bad-request` as `mintDevelopmentToken`. */
  async mint(secret: string, request: ConsoleTokenRequest): Promise<string> {
    if (!isSame(secret, this.secret)) throw new SyncError('forbidden', 'the secret is not the one that the server printed at this start')
    return mintDevelopmentToken({ ...request, key: this.#key, audience: this.#config.audience, now: this.#clock.now() })
  }

  async verify(outside: Outside): Promise<Principal> {
    const { audience, claimsToGrants, openEnabled } = this.#config
    const expected = { issuer, audience, algorithms: ['HS256'], typ: developmentTokenType, nowMs: this.#clock.now() }
    const verified = await verifyJwt(outside, this.#key, expected)
    checkAge(verified, this.#config.maxTokenAgeMs ?? tokenAgeMaxMs)
    const uid = encodeUid(verified.sub)
    const grants = grantsOf(uid, verified.claims, { claimsToGrants, openEnabled, mayGrant: true })
    const { expiresAtMs, issuedAtMs, jti } = verified
    return { uid, client: undefined, grants, expiresAtMs, issuedAtMs, jti, kind: 'development' }
  }
}

/** In a time that tells nothing of where they differ. */
function isSame(one: string, another: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(one), digest(another))
}

/**
 * The key in `{dataFolder}/dev-key`, mode 0600, made by whoever comes first: several processes that start
 * at once end with the same key. Throws `bad-request` where the file is no key or others may read it.
 */
export async function loadDevelopmentKey(dataFolder: string): Promise<KeyObject> {
  const path = join(dataFolder, 'dev-key')
  await mkdir(dataFolder, { recursive: true })
  if (!(await exists(path))) await create(path)
  const { mode } = await stat(path)
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw badConfig(`${path} may be read by others: remove it (a new one is made) or set its mode to 0600`)
  }
  const text = (await readFile(path, 'utf8')).trim()
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.length !== keyBytes || bytes.toString('base64url') !== text)
    throw badConfig(`${path} holds no key: remove it, and a new one is made`)
  return createSecretKey(bytes)
}

/** Written whole under another name, then linked: the name either does not exist or holds a whole key. */
async function create(path: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}`
  const file = await open(temporary, 'wx', 0o600)
  try {
    await file.writeFile(randomBytes(keyBytes).toString('base64url') + '\n')
    await file.sync()
  } finally {
    await file.close()
  }
  try {
    await link(temporary, path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error // Somebody else came first, and theirs counts.
  } finally {
    await unlink(temporary)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
