/** What the tests of `auth/` share: a clock to set, a logger that remembers, signed tokens, an authority that is closed afterwards. */
import { createSecretKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { SignJWT } from 'jose'
import { Authority, mintDevelopmentToken, loadDevelopmentKey, type AuthConfig, type IssuerConfig } from '../../auth/index.ts'
import { SigningKeys } from '../../auth/signing-keys.ts'
import { MemoryDocuments } from '../../seams/memory-documents.ts'
import { SyncError, type ErrorCode } from '../../protocol/errors.ts'
import type { Clock } from '../../seams/clock.ts'
import type { Hints } from '../../seams/hints.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { silentLogger, type Logger } from '../../seams/logger.ts'
import { noTelemetry, type Telemetry } from '../../seams/telemetry.ts'

export const startMs = Date.parse('2030-01-01T00:00:00.500Z')
export const audience = 'tidemark-test'
export const httpUrl = 'http://127.0.0.1:8080'
export const secret = 'a secret of more than thirty-two bytes, for tests'

export const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
export const ed = generateKeyPairSync('ed25519')

export class ManualClock implements Clock {
  ms = startMs
  now(): number {
    return this.ms
  }
  get seconds(): number {
    return Math.floor(this.ms / 1000)
  }
}

export class RecordingLogger implements Logger {
  readonly lines: { level: string; fields: Record<string, unknown>; message: string }[] = []
  debug(fields: object, message: string): void {
    this.#add('debug', fields, message)
  }
  info(fields: object, message: string): void {
    this.#add('info', fields, message)
  }
  warn(fields: object, message: string): void {
    this.#add('warn', fields, message)
  }
  error(fields: object, message: string): void {
    this.#add('error', fields, message)
  }
  audits(kind: string): Record<string, unknown>[] {
    return this.lines.filter(({ fields }) => fields['audit'] === kind).map(({ fields }) => fields)
  }
  /** Resolves with the first audit line of the kind, past or to come. */
  async audit(kind: string): Promise<Record<string, unknown>> {
    while (this.audits(kind).length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.audits(kind)[0] as Record<string, unknown>
  }
  readonly #waiting: (() => void)[] = []
  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, fields: { ...fields }, message })
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

/** Hints among the authorities of one test; none gets its own. */
export class TestHints {
  readonly #listeners = new Map<object, Parameters<Hints['listen']>[0]>()
  sent = 0
  node(): Hints {
    const self = {}
    return {
      send: (hint) => {
        this.sent++
        for (const [node, listener] of this.#listeners) if (node !== self) listener(hint)
      },
      listen: (listener) => {
        this.#listeners.set(self, listener)
        return () => this.#listeners.delete(self)
      },
      close: () => Promise.resolve(),
    }
  }
}

export const hmacIssuer: IssuerConfig = { issuer: 'https://app.example', algorithms: ['HS256'], secret }

export interface Setting {
  config?: Partial<AuthConfig>
  documents?: MemoryDocuments
  hints?: Hints
  limits?: Partial<Limits>
  clock?: ManualClock
}

export interface Opened {
  authority: Authority
  clock: ManualClock
  logger: RecordingLogger
  documents: MemoryDocuments
  /** Codes counted by `refused('auth', …)`. */
  refusals: string[]
}

const cleanups: (() => Promise<void>)[] = []

/** An authority with one HS256 issuer unless told otherwise; no poll of its own unless told a short `revocationPollMs`. */
export async function open(setting: Setting = {}): Promise<Opened> {
  const clock = setting.clock ?? new ManualClock()
  const logger = new RecordingLogger()
  const refusals: string[] = []
  const telemetry: Telemetry = { ...noTelemetry, refused: (door, code) => refusals.push(`${door} ${code}`) }
  const documents = setting.documents ?? (await documentsWithKey())
  const issuers = setting.config?.issuers ?? [hmacIssuer]
  const config = { issuers, audience, mqttUrl: 'mqtt://127.0.0.1:1883', httpUrl, anonymous: false, openEnabled: false, ...setting.config }
  const limits = { ...defaultLimits, revocationPollMs: 3_600_000, ...setting.limits }
  const hints = setting.hints === undefined ? {} : { hints: setting.hints }
  const authority = await Authority.open(config, { documents, clock, logger, limits, telemetry, ...hints })
  cleanups.push(() => authority.close())
  return { authority, clock, logger, documents, refusals }
}

/** Call in an `afterEach`. */
export async function closeAll(): Promise<void> {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
}

export function later(cleanup: () => Promise<void>): void {
  cleanups.push(cleanup)
}

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-auth-'))
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  return folder
}

let signingKey: Promise<MemoryDocuments> | undefined

/** Documents with one signing key that all tests of a process share: making an RSA key takes a while. */
export async function documentsWithKey(): Promise<MemoryDocuments> {
  signingKey ??= (async () => {
    const made = new MemoryDocuments()
    await SigningKeys.open(made, new ManualClock(), silentLogger)
    return made
  })()
  const documents = new MemoryDocuments()
  for (const { key, value } of await (await signingKey).list('keys', { limit: 1 })) await documents.put('keys', key, value)
  return documents
}

export interface TokenRequest {
  alg?: string
  key?: KeyObject | Uint8Array
  header?: Record<string, unknown>
  /** `undefined` leaves the claim out. */
  claims?: Record<string, unknown>
}

/** A token that the default issuer would give `alice` for an hour, changed as asked. */
export async function sign(request: TokenRequest = {}): Promise<string> {
  const { alg = 'HS256', key = createSecretKey(secret, 'utf8'), header = {} } = request
  const iat = Math.floor(startMs / 1000)
  const all = { iss: hmacIssuer.issuer, aud: audience, sub: 'alice', iat, exp: iat + 3600, jti: 'jti-1', ...request.claims }
  const claims = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  return new SignJWT(claims).setProtectedHeader({ alg, typ: 'JWT', ...header }).sign(key)
}

export async function developmentSetting(config: Partial<AuthConfig> = {}): Promise<{ setting: Setting; key: KeyObject }> {
  const dataFolder = await temporaryFolder()
  return { setting: { config: { issuers: [], dataFolder, ...config } }, key: await loadDevelopmentKey(dataFolder) }
}

export function mint(key: KeyObject, name: string, more: Partial<Parameters<typeof mintDevelopmentToken>[0]> = {}): Promise<string> {
  return mintDevelopmentToken({ key, audience, name, now: startMs, ...more })
}

/** The SyncError that the work is refused with; its code and message are checked. */
export async function refusal(work: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<SyncError> {
  const outcome = await work.then(
    () => 'nothing was refused',
    (error: unknown) => error,
  )
  expect(outcome).to.be.instanceOf(SyncError)
  const error = outcome as SyncError
  expect(`${error.code}: ${error.message}`).to.match(new RegExp(`^${code}: `))
  expect(error.message).to.match(message)
  return error
}

export function randomText(): string {
  return randomBytes(6).toString('hex')
}
