/** `AssumeRole` with a session policy, and what goes wrong with it in words of ours [P-10.34]. */
import type { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts'
import { SyncError, type ErrorCode } from '../../protocol/errors.ts'
import { awsClockSkewMs, awsSessionMs, stsAttemptsMax, stsConnectMsMax, stsTimeoutMs } from '../../seams/limits.ts'
import type { SessionPolicy } from './policy.ts'
import type { AwsCredentials } from './presign.ts'

export interface StsOptions {
  readonly region: string
  readonly roleArn: string
  /** Default the region's endpoint. */
  readonly url?: string | undefined
  /** Of the server itself. Default what the AWS SDK finds: environment, profile, container or instance role. */
  readonly credentials?: ServerCredentials | undefined
}

export interface ServerCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export interface AssumeRequest {
  readonly sessionName: string
  /** Not optional: without one the session could do whatever the role can. */
  readonly policy: SessionPolicy
}

export class Sts {
  readonly #client: STSClient
  readonly #Command: typeof AssumeRoleCommand
  readonly #roleArn: string

  /** Loads the AWS SDK, which nobody else does. */
  static async open(options: StsOptions): Promise<Sts> {
    const { STSClient: Client, AssumeRoleCommand: Command } = await import('@aws-sdk/client-sts')
    const { region, url, credentials } = options
    const client = new Client({
      region,
      maxAttempts: stsAttemptsMax,
      retryMode: 'standard',
      requestHandler: { connectionTimeout: stsConnectMsMax, requestTimeout: stsTimeoutMs, throwOnRequestTimeout: true },
      ...(url === undefined ? {} : { endpoint: url }),
      ...(credentials === undefined ? {} : { credentials }),
    })
    return new Sts(client, Command, options.roleArn)
  }

  private constructor(client: STSClient, Command: typeof AssumeRoleCommand, roleArn: string) {
    this.#client = client
    this.#Command = Command
    this.#roleArn = roleArn
  }

  /** Credentials that can do what both the role and the policy allow. Throws one of the `engine-…` codes, `clock-skew` or `bad-request`. */
  async assume({ sessionName, policy }: AssumeRequest): Promise<AwsCredentials> {
    // What is typed is not yet so: JavaScript calls this, too.
    if (typeof policy !== 'string' || policy === '') throw new Error('AssumeRole is never called without a session policy')
    const command = new this.#Command({
      RoleArn: this.#roleArn,
      RoleSessionName: sessionName,
      Policy: policy,
      DurationSeconds: awsSessionMs / 1000,
    })
    const { Credentials: given } = await this.#client.send(command).catch((error: unknown) => {
      throw translated(error)
    })
    // The SDK signs by the clock of STS once it has learned it; AWS IoT Core is shown what we sign by our own.
    const offsetMs = this.#client.config.systemClockOffset
    if (Math.abs(offsetMs) >= awsClockSkewMs) {
      throw new SyncError('clock-skew', `the clock of this server differs by ${Math.round(offsetMs / 1000)} s from that of STS`)
    }
    if (!given?.AccessKeyId || !given.SecretAccessKey || !given.SessionToken || !given.Expiration) {
      throw new SyncError('engine-unavailable', 'STS answered without credentials')
    }
    return {
      accessKeyId: given.AccessKeyId,
      secretAccessKey: given.SecretAccessKey,
      sessionToken: given.SessionToken,
      expiresAtMs: given.Expiration.getTime(),
    }
  }

  /** The server's own, as they are now. Throws `engine-credentials` where there are none. */
  async own(): Promise<ServerCredentials> {
    return await this.#client.config.credentials().catch((error: unknown) => {
      throw translated(error)
    })
  }

  close(): void {
    this.#client.destroy()
  }
}

interface Meaning {
  readonly code: ErrorCode
  readonly says: string
}

const credentials: Meaning = {
  code: 'engine-credentials',
  says: "the server's own AWS credentials are missing, expired or not known: renew them",
}
const clock: Meaning = { code: 'clock-skew', says: 'the clock of this server differs too much from that of STS' }
const region: Meaning = {
  code: 'engine-region',
  says: 'the region in the configuration is not one where STS can be used with these credentials',
}
const refused: Meaning = {
  code: 'engine-refused',
  says: "the role does not trust the server's credentials, or they may not call sts:AssumeRole on it",
}

const meanings: Readonly<Record<string, Meaning>> = {
  ExpiredToken: credentials,
  ExpiredTokenException: credentials,
  InvalidClientTokenId: credentials,
  UnrecognizedClientException: credentials,
  MissingAuthenticationToken: credentials,
  CredentialsProviderError: credentials,
  AccessDenied: refused,
  AccessDeniedException: refused,
  RegionDisabledException: region,
  RequestExpired: clock,
  RequestTimeTooSkewed: clock,
}

function translated(error: unknown): SyncError {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  if (name === 'PackedPolicyTooLargeException' || name === 'PackedPolicyTooLarge') {
    return new SyncError(
      'bad-request',
      `STS cannot pack the session policy (${message}): ask for less scope`,
      { oauth: 'invalid_scope' },
      error,
    )
  }
  // Whatever was granted, a policy and a name that STS cannot read are a fault of ours.
  if (/^(?:MalformedPolicyDocument|ValidationError)/.test(name))
    return new SyncError('internal', `STS does not understand us: ${message}`, {}, error)
  const meaning = meanings[name] ?? (name === 'SignatureDoesNotMatch' ? unmatched(message) : undefined)
  if (meaning) return new SyncError(meaning.code, `${meaning.says} (STS: ${name})`, {}, error)
  return new SyncError('engine-unavailable', `STS gives no credentials at the moment (${name}: ${message})`, {}, error)
}

/** One name for three causes: the message tells which. */
function unmatched(message: string): Meaning {
  if (/Signature (?:expired|not yet current)/i.test(message)) return clock
  return /scoped to (?:a valid|correct) (?:region|service)/i.test(message) ? region : credentials
}
