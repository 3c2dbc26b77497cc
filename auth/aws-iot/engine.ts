/** Token exchange where AWS IoT Core carries the connections: who gets in as what, and by which URL [P-10.30]. */
import { SyncError } from '../../protocol/errors.ts'
import { encodeName } from '../../protocol/names.ts'
import type { Clock } from '../../seams/clock.ts'
import { awsSessionMs, awsStreamTopicLevelsMax, type Limits } from '../../seams/limits.ts'
import type { Grants } from '../grants.ts'
import { authorizerTokenKeyDefault, type AwsIotConfig } from './config.ts'
import { awsClientId, instanceOf, roleSessionName } from './names.ts'
import { authorizerPolicies, sessionPolicy } from './policy.ts'
import { authorizerUrl, presignedUrl } from './presign.ts'
import { Sts, type ServerCredentials } from './sts.ts'

/** The member `mqtt` of the answer: how an MQTT connection to AWS differs from one to a server of ours. */
export interface AwsIotConnection {
  readonly engine: 'aws-iot'
  readonly auth: 'sigv4' | 'authorizer'
  /** As it must stand in CONNECT; `client_id` of the answer is the same, encoded. */
  readonly client_id: string
  /** Stands before every topic: `{root}/users/…`, `{root}/put/…`, `{root}/sync/…`, `{root}/reply/…`. */
  readonly root: string
  /** Seconds for which `mqtt_url` opens connections. How long they last is `expires_in`. */
  readonly url_expires_in: number
  /** Only where the deployment gives them away. */
  readonly credentials?: {
    readonly access_key_id: string
    readonly secret_access_key: string
    readonly session_token: string
    /** RFC 3339. */
    readonly expiration: string
    readonly region: string
  }
}

/** One client, as its URL, its policy and its token all name it. */
export interface AwsClient {
  readonly uid: string
  readonly instance: string
  readonly clientId: string
  /** `clientId` encoded: what tokens are bound to, and replies are sent to. */
  readonly client: string
}

export interface AwsAdmission {
  readonly url: string
  readonly mqtt: AwsIotConnection
  /** For the audit line. */
  readonly audit: Readonly<Record<string, string>>
}

export interface AwsEngineParts {
  readonly clock: Clock
  readonly limits: Limits
  /** Default what the AWS SDK finds. */
  readonly credentials?: ServerCredentials | undefined
}

export class AwsIotEngine {
  readonly #config: AwsIotConfig
  readonly #parts: AwsEngineParts
  /** Undefined where a custom authorizer admits. */
  readonly #sts: Sts | undefined

  static async open(config: AwsIotConfig, parts: AwsEngineParts): Promise<AwsIotEngine> {
    const { region, roleArn, stsUrl: url } = config
    const sts = roleArn === undefined ? undefined : await Sts.open({ region, roleArn, url, credentials: parts.credentials })
    return new AwsIotEngine(config, parts, sts)
  }

  private constructor(config: AwsIotConfig, parts: AwsEngineParts, sts: Sts | undefined) {
    this.#config = config
    this.#parts = parts
    this.#sts = sts
  }

  /** The limits with what the levels of root and door leave of a topic. */
  get limits(): Limits {
    const { limits } = this.#parts
    return { ...limits, streamTopicLevelsMax: Math.min(limits.streamTopicLevelsMax, awsStreamTopicLevelsMax) }
  }

  /** The client that a request asks for [P-10.31]. Throws `bad-request`, or `forbidden` for a subject that is bound to another one. */
  clientOf(uid: string, given: string | undefined, bound: string | undefined): AwsClient {
    const { root } = this.#config
    const instance = instanceOf(root, uid, given, bound)
    if (instance === undefined) {
      const message = 'the subject token is bound to a client whose name is not in it: send client_id again'
      throw new SyncError('bad-request', message, { oauth: 'invalid_request' })
    }
    const clientId = awsClientId(root, uid, instance, this.#parts.limits.clientIdBytesMax)
    const client = encodeName(clientId)
    if (bound !== undefined && bound !== client) {
      throw new SyncError('forbidden', 'the subject token is bound to another client', { oauth: 'invalid_grant' })
    }
    return { uid, instance, clientId, client }
  }

  /**
   * Lets one client in, with these grants and no more. `exp` of its broker token is where its connections end.
   * Throws `bad-request` for grants that no policy can hold, and what `Sts.assume` throws.
   */
  async admit(
    of: AwsClient,
    grants: Grants,
    { token, exp, expiresInS }: { token: string; exp: number; expiresInS: number },
  ): Promise<AwsAdmission> {
    const config = this.#config
    const { endpoint, root, region } = config
    const subject = { grants, clientId: of.clientId, client: of.client }
    const mqtt = { engine: 'aws-iot', client_id: of.clientId, root } as const
    if (!this.#sts) {
      // Refused here, where the client hears why, and not by the authorizer.
      authorizerPolicies(config, subject, { deadlineMs: exp * 1000 })
      const tokenKey = config.authorizerTokenKey ?? authorizerTokenKeyDefault
      const url = authorizerUrl({ endpoint, authorizer: config.authorizer as string, tokenKey, token })
      return { url, mqtt: { ...mqtt, auth: 'authorizer', url_expires_in: expiresInS }, audit: { engine: 'aws-iot', auth: 'authorizer' } }
    }
    const policy = sessionPolicy(config, subject, config.deadline === false ? {} : { deadlineMs: exp * 1000 })
    const sessionName = roleSessionName(of.uid, of.instance)
    const credentials = await this.#sts.assume({ sessionName, policy })
    const nowMs = this.#parts.clock.now()
    const lifeS = Math.min(awsSessionMs / 1000, expiresInS)
    const url = presignedUrl({ endpoint, region, credentials, nowMs, expiresInS: lifeS })
    const audit = { engine: 'aws-iot', auth: 'sigv4', session: sessionName, accessKey: credentials.accessKeyId }
    return {
      url,
      mqtt: {
        ...mqtt,
        auth: 'sigv4',
        url_expires_in: lifeS,
        ...(config.giveCredentials ? { credentials: told(credentials, region) } : {}),
      },
      audit,
    }
  }

  close(): void {
    this.#sts?.close()
  }
}

function told(credentials: Awaited<ReturnType<Sts['assume']>>, region: string): NonNullable<AwsIotConnection['credentials']> {
  return {
    access_key_id: credentials.accessKeyId,
    secret_access_key: credentials.secretAccessKey,
    session_token: credentials.sessionToken,
    expiration: new Date(credentials.expiresAtMs).toISOString(),
    region,
  }
}
