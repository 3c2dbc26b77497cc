/** Who is who: every door asks here, with a token, and gets a principal or a refusal that is counted and logged. */
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { isCanonicalName } from '../protocol/names.ts'
import { systemClock, type Clock } from '../seams/clock.ts'
import type { Documents } from '../seams/documents.ts'
import type { Hints } from '../seams/hints.ts'
import { silentLogger, type Logger } from '../seams/logger.ts'
import { noTelemetry, type Telemetry } from '../seams/telemetry.ts'
import { defaultLimits, tokenAgeMaxMs, type Limits } from '../seams/limits.ts'
import { AwsIotEngine } from './aws-iot/engine.ts'
import type { ServerCredentials } from './aws-iot/sts.ts'
import { anonymousGrants } from './claims.ts'
import { checkAuthConfig, type AuthConfig } from './config.ts'
import { DevelopmentTokens, developmentTokenType, loadDevelopmentKey, type ConsoleTokenRequest } from './development.ts'
import { exchangeFor, subjectTokenOf, type ExchangeRequest, type ExchangeResponse, type IsMember } from './exchange.ts'
import { readOutside, refused } from './jwt.ts'
import { anonymousUid, type Principal } from './principal.ts'
import type { Revocable, RevocationRequest } from './revocation.ts'
import { Revocations } from './revocations.ts'
import { SigningKeys } from './signing-keys.ts'
import { BrokerTokens, brokerTokenType } from './tokens.ts'
import { AppTokens } from './verify.ts'

export interface AuthorityParts {
  /** Where revocations and signing keys are kept. */
  readonly documents: Documents
  /** Default: the system's. */
  readonly clock?: Clock
  /** Default: none. */
  readonly logger?: Logger
  readonly limits?: Limits
  readonly hints?: Hints
  readonly telemetry?: Telemetry
  /**
   * Whether the user was not withdrawn from the space after the token was issued. Asked where another engine carries the connections, which
   * would not ask. Default yes.
   */
  readonly isMember?: IsMember
  /** Of this server in AWS. Default what the AWS SDK finds: environment, profile, container or instance role. */
  readonly awsCredentials?: ServerCredentials
}

type Parts = AuthorityParts & Required<Pick<AuthorityParts, 'clock' | 'logger' | 'limits'>>

export class Authority {
  readonly developmentMode: boolean
  readonly #config: AuthConfig
  readonly #parts: Parts
  readonly #app: AppTokens
  readonly #development: DevelopmentTokens | undefined
  readonly #broker: BrokerTokens
  readonly #keys: SigningKeys
  readonly #revocations: Revocations
  readonly #engine: AwsIotEngine | undefined
  readonly #exchangeListeners = new Set<(principal: Principal) => void>()

  /** Checks the configuration, reads keys and revocations. Throws `bad-request` for a configuration that cannot work. */
  static async open(config: AuthConfig, given: AuthorityParts): Promise<Authority> {
    checkAuthConfig(config)
    const parts = { clock: systemClock, logger: silentLogger, limits: defaultLimits, ...given }
    const { documents, clock, logger, limits, hints } = parts
    const app = await AppTokens.open(config, parts)
    const developmentKey = config.issuers.length === 0 ? await loadDevelopmentKey(config.dataFolder as string) : undefined
    const development = developmentKey && new DevelopmentTokens(developmentKey, config, clock)
    const keys = await SigningKeys.open(documents, clock, logger)
    const ageMaxMs = config.maxTokenAgeMs ?? tokenAgeMaxMs
    const revocations = await Revocations.open({ documents, clock, logger, limits, hints, tokenAgeMaxMs: ageMaxMs })
    const engine = config.awsIot && (await AwsIotEngine.open(config.awsIot, { clock, limits, credentials: parts.awsCredentials }))
    return new Authority(config, parts, { app, development, keys, revocations, engine })
  }

  private constructor(
    config: AuthConfig,
    parts: Parts,
    own: {
      app: AppTokens
      development: DevelopmentTokens | undefined
      keys: SigningKeys
      revocations: Revocations
      engine: AwsIotEngine | undefined
    },
  ) {
    this.developmentMode = config.issuers.length === 0
    this.#config = config
    this.#parts = parts
    this.#app = own.app
    this.#development = own.development
    this.#keys = own.keys
    this.#revocations = own.revocations
    this.#engine = own.engine
    this.#broker = new BrokerTokens(own.keys, parts.clock, { issuer: config.httpUrl, audience: config.audience })
  }

  /**
   * Who shows this token. `client` is the encoded client id of the connection, undefined over HTTP; its reply topics are granted.
   * Throws `unauthorized`, `token-expired`, or `forbidden` for a token of another client or with claims its issuer may not give.
   */
  async authenticate(token: string | undefined, client: string | undefined): Promise<Principal> {
    return this.#audited('authenticate', client, (seen) => this.#authenticate(token, client, seen))
  }

  /** A fresh token for a live connection: of the same uid, and of the same client where it names one [P-10.24]. Throws as `authenticate`. */
  async renew(current: Principal, token: string, client: string): Promise<Principal> {
    return this.#audited('renew', client, async (seen) => {
      const fresh = await this.#authenticate(token, client, seen)
      if (fresh.uid !== current.uid) throw new SyncError('forbidden', 'the token is of another user')
      return fresh
    })
  }

  /** RFC 8693. Throws a SyncError that `oauthError` puts into the words of RFC 6749. */
  async exchange(request: ExchangeRequest): Promise<ExchangeResponse> {
    return this.#audited('exchange', undefined, async (seen) => {
      const subject = await this.#verify(subjectTokenOf(request), seen)
      const { mqttUrl, httpUrl } = this.#config
      const { limits, isMember } = this.#parts
      const parts = { tokens: this.#broker, limits, mqttUrl, httpUrl, engine: this.#engine, isMember }
      const { response, principal, audit } = await exchangeFor(subject, request, parts)
      const { uid, jti } = subject
      const exp = principal.expiresAtMs / 1000
      this.#parts.logger.info(
        { audit: 'exchange', uid, client: response.client_id, jti, scope: response.scope, exp, ...audit },
        'a token was exchanged',
      )
      for (const listener of this.#exchangeListeners) listener(principal)
      return response
    })
  }

  /** Calls the listener with everybody who gets a broker token here, as the token says. */
  onExchange(listener: (principal: Principal) => void): () => void {
    this.#exchangeListeners.add(listener)
    return () => void this.#exchangeListeners.delete(listener)
  }

  /** What the console of a server in development mode shows for tokens, new at each start; undefined with an issuer [P-19.4]. */
  get consoleSecret(): string | undefined {
    return this.#development?.secret
  }

  /** A development token of any user for the secret. Throws `forbidden`, or `bad-request` for a name or space that cannot be. */
  async mintForConsole(secret: string, request: ConsoleTokenRequest): Promise<string> {
    return this.#audited('development', undefined, async () => {
      if (!this.#development) throw new SyncError('forbidden', 'no tokens are made here: an issuer is configured')
      const token = await this.#development.mint(secret, request)
      this.#parts.logger.info({ audit: 'development', name: request.name, spaces: request.spaces }, 'a development token was made')
      return token
    })
  }

  /** Needs `ops:revoke`. In force on this node when it resolves [P-10.25]. Throws `forbidden`, `bad-request` or `too-many-requests`. */
  async revoke(by: Principal, request: RevocationRequest): Promise<void> {
    return this.#audited('revoke', by.client, async (seen) => {
      seen.uid = by.uid
      if (!by.grants.has('ops:revoke')) throw new SyncError('forbidden', 'revoking needs the grant ops:revoke')
      await this.#revocations.revoke(request)
      const { uid, client, jti, before } = request
      this.#parts.logger.info({ audit: 'revoked', by: by.uid, uid, client, jti, before }, 'tokens were revoked')
    })
  }

  isRevoked(principal: Revocable): boolean {
    return this.#revocations.isRevoked(principal)
  }

  /** Calls the listener whenever revocations changed, or `blind` did: every live connection asks `isRevoked` then. */
  onChange(listener: () => void): () => void {
    return this.#revocations.onChange(listener)
  }

  /** Revocations could not be read for `revocationBlindMs`: deliver nothing [P-10.26]. */
  get blind(): boolean {
    return this.#revocations.blind
  }

  /** The public keys of the broker tokens, RFC 7517. */
  jwks(): { keys: object[] } {
    return this.#keys.jwks()
  }

  /** A new key signs from now on; tokens of the old ones stay good until they end. */
  rotateKey(): Promise<void> {
    return this.#keys.rotate()
  }

  /** Stops polling. Documents may be closed when it resolves. */
  async close(): Promise<void> {
    this.#engine?.close()
    await this.#revocations.close()
  }

  async #authenticate(token: string | undefined, client: string | undefined, seen: Seen): Promise<Principal> {
    if (client !== undefined && !isCanonicalName(client)) throw new SyncError('bad-request', 'the client id must be given encoded [P-1.13]')
    const principal = token === undefined || token === '' ? this.#anonymous() : await this.#verify(token, seen)
    if (principal.client !== undefined && client !== undefined && principal.client !== client) {
      throw new SyncError('forbidden', 'the token is bound to another client id')
    }
    const own = client ?? principal.client
    const grants = own === undefined ? principal.grants : principal.grants.forClient(own)
    const connected = { ...principal, grants, ...(client === undefined ? {} : { connectedAs: client }) }
    // Once more, because it may be this client's tokens that were revoked.
    this.#checkRevoked(connected)
    return connected
  }

  async #verify(token: string, seen: Seen): Promise<Principal> {
    const outside = readOutside(token, this.#parts.limits.tokenBytesMax)
    const principal = await this.#tokensOf(outside.typ).verify(outside)
    seen.uid = principal.uid
    seen.jti = principal.jti
    this.#checkRevoked(principal)
    return principal
  }

  /** The type is what the token says of itself; each kind proves it again with the signature. */
  #tokensOf(typ: string): AppTokens | BrokerTokens | DevelopmentTokens {
    if (typ === brokerTokenType) return this.#broker
    if (typ === developmentTokenType) {
      if (!this.#development) throw refused('development tokens are refused because an issuer is configured; use a token of the issuer')
      return this.#development
    }
    if (this.developmentMode) throw refused('no issuer is configured: in development mode only tokens of `tidemark token` are accepted')
    return this.#app
  }

  #anonymous(): Principal {
    const { anonymous, openEnabled } = this.#config
    if (!this.developmentMode || !anonymous || !openEnabled) throw refused('a token is needed')
    const now = this.#parts.clock.now()
    const expiresAtMs = now + tokenAgeMaxMs
    return {
      uid: anonymousUid,
      client: undefined,
      grants: anonymousGrants(),
      expiresAtMs,
      issuedAtMs: now,
      jti: anonymousUid,
      kind: 'anonymous',
    }
  }

  #checkRevoked(principal: Principal): void {
    if (this.#revocations.isRevoked(principal)) throw refused('the token was revoked')
  }

  async #audited<T>(door: string, client: string | undefined, work: (seen: Seen) => Promise<T>): Promise<T> {
    const seen: Seen = {}
    try {
      return await work(seen)
    } catch (thrown) {
      const error = asSyncError(thrown)
      const { logger, telemetry = noTelemetry } = this.#parts
      logger.warn({ audit: 'refused', door, ...seen, client, code: error.code, reason: error.message }, `${door} refused: ${error.message}`)
      telemetry.refused('auth', error.code)
      throw error
    }
  }
}

/** What was proved before the refusal. */
interface Seen {
  uid?: string
  jti?: string
}
