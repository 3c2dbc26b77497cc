/** How the bridge gets into AWS IoT Core: a role of its own, narrowed to what it does, and a signed URL for each connection. */
import { SyncError } from '../../protocol/errors.ts'
import type { Clock } from '../../seams/clock.ts'
import { awsPolicyCharsMax, awsSessionMs } from '../../seams/limits.ts'
import { bridgeNameDefault, type AwsIotConfig, type AwsPlace } from './config.ts'
import { closeConnection } from './close-connection.ts'
import { iamLiteral, minified, partitionOf, type SessionPolicy } from './policy.ts'
import { presignedUrl } from './presign.ts'
import { Sts, type ServerCredentials } from './sts.ts'

/** The group of the shared subscriptions. */
export const shareGroup = 'tidemark'

/** First levels below the root by which clients send something that is kept. */
export const ingestDoors = ['put', 'users', 'spaces', 'outbox'] as const

/** First levels below the root on which the server itself says something. */
export const bridgedDoors = ['sync', 'reply', 'users', 'spaces', 'outbox', 'inbox'] as const

/** What the topics begin with on which AWS tells who has come; the client id follows. */
export const connectedPrefix = '$aws/events/presence/connected/'

/** What AWS tells of subscriptions and connections: who reads what. */
export const lifecycleFilters = [
  '$aws/events/subscriptions/subscribed/#',
  '$aws/events/subscriptions/unsubscribed/#',
  `${connectedPrefix}#`,
  '$aws/events/presence/disconnected/#',
] as const

/** `svc` is no root, so that no client of anybody is called so. */
export function bridgeClientId({ root, bridgeName = bridgeNameDefault }: Pick<AwsIotConfig, 'root' | 'bridgeName'>, what: string): string {
  return `svc.${root}.${bridgeName}-${what}`
}

/** Whether it is that of a service, as the rules of `aws/account/ingest.ts` ask it, too. */
export function isServiceClientId(clientId: string): boolean {
  return clientId.startsWith('svc.')
}

/** What STS calls the bridge's sessions, and AWS's rules the end of its `principal()`. */
export function bridgeSessionName({ bridgeName = bridgeNameDefault }: Pick<AwsIotConfig, 'bridgeName'>): string {
  return `svc.${bridgeName}`
}

/** What the bridge may do: take in what clients publish, send on every door but `put`, hear who comes and goes. */
export function bridgePolicy(place: AwsPlace & { readonly bridgeName?: string }): SessionPolicy {
  const { root, region, account } = place
  const arn = (type: string, name: string): string => `arn:${partitionOf(region)}:iot:${region}:${account}:${type}/${iamLiteral(name)}`
  const within = (type: string, prefix: string): string => `${arn(type, prefix)}*`
  const allow = (Action: string, Resource: readonly string[]): { Effect: 'Allow'; Action: string; Resource: readonly string[] } => ({
    Effect: 'Allow',
    Action,
    Resource,
  })
  const text = minified({
    Version: '2012-10-17',
    Statement: [
      allow('iot:Connect', [within('client', bridgeClientId(place, ''))]),
      allow('iot:Subscribe', [within('topicfilter', `$share/${shareGroup}/${root}/`), within('topicfilter', '$aws/events/')]),
      allow('iot:Receive', [within('topic', `${root}/`), within('topic', '$aws/events/')]),
      allow(
        'iot:Publish',
        bridgedDoors.map((door) => within('topic', `${root}/${door}/`)),
      ),
    ],
  })
  if (text.length > awsPolicyCharsMax) throw new SyncError('internal', `the policy of the bridge has ${text.length} characters`)
  return text as SessionPolicy
}

export class BridgeAdmission {
  readonly #config: AwsIotConfig
  readonly #clock: Clock
  readonly #sts: Sts

  /** Throws `bad-request` without a role for the bridge. */
  static async open(
    config: AwsIotConfig,
    parts: { readonly clock: Clock; readonly credentials?: ServerCredentials | undefined },
  ): Promise<BridgeAdmission> {
    const { region, bridgeRoleArn: roleArn, stsUrl: url } = config
    if (roleArn === undefined) throw new SyncError('bad-request', 'awsIot.bridgeRoleArn is missing: the bridge needs a role to assume')
    return new BridgeAdmission(config, parts.clock, await Sts.open({ region, roleArn, url, credentials: parts.credentials }))
  }

  private constructor(config: AwsIotConfig, clock: Clock, sts: Sts) {
    this.#config = config
    this.#clock = clock
    this.#sts = sts
  }

  /** A URL for one connection, with credentials made for it. Throws what `Sts.assume` throws. */
  async url(): Promise<string> {
    const { endpoint, region } = this.#config
    const credentials = await this.#sts.assume({ sessionName: bridgeSessionName(this.#config), policy: bridgePolicy(this.#config) })
    return presignedUrl({ endpoint, region, credentials, nowMs: this.#clock.now(), expiresInS: awsSessionMs / 1000 })
  }

  /** Ends the connection of a client, with the server's own rights. Throws what `closeConnection` throws. */
  async closeConnection(clientId: string, signal: AbortSignal): Promise<boolean> {
    const { endpoint, region } = this.#config
    const credentials = await this.#sts.own()
    return await closeConnection({ endpoint, region, credentials, clientId, nowMs: this.#clock.now() }, signal)
  }

  close(): void {
    this.#sts.close()
  }
}
