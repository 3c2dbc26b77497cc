/** What an operator says about identity, checked before anything starts. */
import { SyncError } from '../protocol/errors.ts'
import { encodeUid } from '../protocol/names.ts'
import { timerMsMax } from '../seams/limits.ts'
import { checkAwsIotConfig, type AwsIotConfig } from './aws-iot/config.ts'
import type { ClaimsToGrants } from './claims.ts'

export type Algorithm = 'HS256' | 'RS256' | 'ES256' | 'EdDSA'
export const algorithms: readonly Algorithm[] = ['HS256', 'RS256', 'ES256', 'EdDSA']

/** One issuer of app tokens. Exactly one of the four key sources is given. */
export interface IssuerConfig {
  /** The value of `iss`. */
  readonly issuer: string
  /** Stands before the uids of this issuer; at most one issuer has none [P-10.8]. */
  readonly prefix?: string
  /** The allow-list; HS256 goes with `secret`, the others with the other key sources. */
  readonly algorithms: readonly Algorithm[]
  /** Symmetric secret, UTF-8, at least 32 bytes. */
  readonly secret?: string
  /** Public key or certificate, PEM. */
  readonly publicKeyFile?: string
  readonly jwksFile?: string
  readonly jwksUrl?: string
  /** Whether the claim `grants` of its tokens counts; otherwise tokens with that claim are refused. Default false. */
  readonly mayGrant?: boolean
}

export interface AuthConfig {
  /** Where the development key lies; needed without issuers. */
  readonly dataFolder?: string
  /** None means development mode [P-10.27]. */
  readonly issuers: readonly IssuerConfig[]
  /** The `aud` that every token must name. */
  readonly audience: string
  readonly mqttUrl: string
  /** Also the `iss` of broker tokens. */
  readonly httpUrl: string
  /** Clients without credentials may use the `open` stream; development mode only. */
  readonly anonymous: boolean
  readonly openEnabled: boolean
  readonly claimsToGrants?: ClaimsToGrants
  /** App tokens may live this long, `exp` − `iat`, in ms. Default 24 h; revocations are kept as long. */
  readonly maxTokenAgeMs?: number
  /** Given where AWS IoT Core carries the connections: the exchange then admits clients there. */
  readonly awsIot?: AwsIotConfig
}

/** Throws `bad-request` with a sentence that names the first setting that cannot work. */
export function checkAuthConfig(config: AuthConfig): void {
  if (config.audience === '') throw badConfig('the audience is empty')
  const age = config.maxTokenAgeMs
  if (age !== undefined && !(age > 0 && age <= timerMsMax)) throw badConfig(`maxTokenAgeMs must lie between 1 and ${timerMsMax}`)
  if (config.issuers.length === 0 && config.dataFolder === undefined) throw badConfig('without an issuer a data folder is needed')
  if (config.issuers.length > 0 && config.anonymous)
    throw badConfig('anonymous clients are for development only: remove the issuers or anonymous')
  if (config.awsIot) checkAwsIotConfig(config.awsIot)
  if (config.awsIot && config.openEnabled)
    throw badConfig('awsIot and the open stream exclude each other: below a root every topic belongs to a stream')
  const prefixes = new Map<string, string>()
  const names = new Set<string>()
  for (const issuer of config.issuers) {
    checkIssuer(issuer)
    if (names.has(issuer.issuer)) throw badConfig(`two issuers are called ${issuer.issuer}`)
    names.add(issuer.issuer)
    const prefix = issuer.prefix ?? ''
    const other = prefixes.get(prefix)
    if (other !== undefined) {
      throw badConfig(`${other} and ${issuer.issuer} have ${prefix === '' ? 'no prefix' : `the prefix ${prefix}`}: their users would meet`)
    }
    prefixes.set(prefix, issuer.issuer)
  }
}

function checkIssuer(config: IssuerConfig): void {
  const name = config.issuer
  if (name === '') throw badConfig('an issuer has no name')
  const sources = [config.secret, config.publicKeyFile, config.jwksFile, config.jwksUrl].filter((source) => source !== undefined)
  if (sources.length !== 1) throw badConfig(`${name} needs exactly one of secret, publicKeyFile, jwksFile and jwksUrl`)
  if (config.algorithms.length === 0) throw badConfig(`${name} allows no algorithm`)
  for (const algorithm of config.algorithms) {
    if (!algorithms.includes(algorithm)) throw badConfig(`${name}: the algorithm ${algorithm} is not one of ${algorithms.join(', ')}`)
    // One kind of key per issuer: no public key can ever be taken for an HMAC secret.
    if ((algorithm === 'HS256') !== (config.secret !== undefined))
      throw badConfig(`${name}: HS256 goes with secret, and secret with nothing else`)
  }
  if (config.secret !== undefined && Buffer.byteLength(config.secret) < 32) throw badConfig(`${name}: the secret is shorter than 32 bytes`)
  if (config.jwksUrl !== undefined && !isHttpUrl(config.jwksUrl)) throw badConfig(`${name}: jwksUrl is no http or https URL`)
  try {
    encodeUid('x', config.prefix ?? '')
  } catch (error) {
    throw badConfig(`${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function isHttpUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url?.protocol === 'https:' || url?.protocol === 'http:'
}

export function badConfig(reason: string, cause?: unknown): SyncError {
  return new SyncError('bad-request', `configuration of tokens: ${reason}`, {}, cause)
}
