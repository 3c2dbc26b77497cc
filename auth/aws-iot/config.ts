/** What an operator says about AWS IoT Core, checked before anything starts. */
import { SyncError } from '../../protocol/errors.ts'

export interface AwsIotConfig {
  /** First level of every topic and first part of every client id: one deployment in an account and region. */
  readonly root: string
  readonly region: string
  /** Twelve digits. */
  readonly account: string
  /**
   * Host of the data endpoint, as `DescribeEndpoint` with `iot:Data-ATS` names it. `ws://` and a loopback address: a stand-in on
   * this machine, without TLS.
   */
  readonly endpoint: string
  /** The role that clients assume, each with a session policy of its own. Exactly one of this and `authorizer`. */
  readonly roleArn?: string
  /** The name of the custom authorizer that admits clients. */
  readonly authorizer?: string
  /** The authorizer's `tokenKeyName`. Default `token`. */
  readonly authorizerTokenKey?: string
  /** Whether the answer holds the credentials themselves beside the signed URL. Default false. */
  readonly giveCredentials?: boolean
  /** Whether session policies end with the token; otherwise a connection made before lasts up to a day. Default true. */
  readonly deadline?: boolean
  /** Where STS is reached, such as a VPC endpoint. Default the region's. */
  readonly stsUrl?: string
  /** The role that the bridge assumes; without it messages are not carried between AWS and the log. */
  readonly bridgeRoleArn?: string
  /** Of each server that shares a store another one: client ids are `svc.{root}.{bridgeName}-…`. Default `bridge`. */
  readonly bridgeName?: string
  /** How what clients publish reaches the server: as a subscriber, or by rules and a queue. Default `mqtt`. */
  readonly ingest?: 'mqtt' | 'sqs'
  /** Of the queue that the rules write to, and of the one for what no log can hold; both go with `sqs`. */
  readonly queueUrl?: string
  readonly deadLetterQueueUrl?: string
  /**
   * Connections that take messages in, each one message at a time, 100 a second at most; with `sqs` requests at a time, each for up to
   * ten messages. Default 2.
   */
  readonly ingestConnections?: number
  /** Connections that send envelopes and answers, each 80 a second at most. Default 2. */
  readonly deliveryConnections?: number
}

/** What names of things in AWS begin with. */
export type AwsPlace = Pick<AwsIotConfig, 'root' | 'region' | 'account'>

export const authorizerTokenKeyDefault = 'token'

export const bridgeNameDefault = 'bridge'
export const bridgeConnectionsDefault = 2

const rootForm = /^[a-z0-9-]{1,16}$/
const regionForm = /^[a-z]{2,4}(?:-[a-z]+)+-\d$/
const hostForm = /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?$/
const roleForm = /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/
const loopback = /^ws:\/\/(?:127\.0\.0\.1|localhost)(?::\d{1,5})?$/
/** Of the region, or a stand-in on this machine. */
const queueForm =
  /^(?:https:\/\/sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?|http:\/\/(?:127\.0\.0\.1|localhost)(?::\d{1,5})?)\/\d{12}\/[\w-]{1,80}$/
const bridgeNameForm = /^[A-Za-z0-9_-]{1,32}$/
/** AWS: 1 to 128 of these, and the same for the name of the token. */
const nameForm = /^[\w=,@-]{1,128}$/
const tokenKeyForm = /^[A-Za-z0-9_-]{1,128}$/

/** Throws `bad-request` with a sentence that names the member that cannot work. */
export function checkAwsIotConfig(config: AwsIotConfig): void {
  checkAwsPlace(config)
  const { endpoint, roleArn, authorizer, authorizerTokenKey, stsUrl, bridgeRoleArn, bridgeName } = config
  if (!hostForm.test(endpoint) && !loopback.test(endpoint)) throw bad('endpoint', 'is no host name')
  const endpointRegion = /\.iot\.([a-z0-9-]+)\.amazonaws\.com/.exec(endpoint)?.[1]
  if (endpointRegion !== undefined && endpointRegion !== config.region)
    throw bad('endpoint', `is in ${endpointRegion}, not in ${config.region}`)
  if ((roleArn === undefined) === (authorizer === undefined)) throw badConfig('needs exactly one of roleArn and authorizer')
  if (roleArn !== undefined && !roleForm.test(roleArn)) throw bad('roleArn', 'is no ARN of a role')
  if (authorizer !== undefined && !nameForm.test(authorizer)) throw bad('authorizer', 'is no name of an authorizer')
  if (authorizerTokenKey !== undefined && !tokenKeyForm.test(authorizerTokenKey)) throw bad('authorizerTokenKey', 'is no name of a token')
  if (authorizer === undefined && authorizerTokenKey !== undefined) throw bad('authorizerTokenKey', 'goes with authorizer')
  if (roleArn === undefined && (config.giveCredentials || config.deadline !== undefined)) {
    throw badConfig('has giveCredentials or deadline, which go with roleArn')
  }
  if (roleArn === undefined && bridgeRoleArn === undefined && stsUrl !== undefined) throw bad('stsUrl', 'goes with a role')
  if (bridgeRoleArn !== undefined && !roleForm.test(bridgeRoleArn)) throw bad('bridgeRoleArn', 'is no ARN of a role')
  if (bridgeName !== undefined && !bridgeNameForm.test(bridgeName)) throw bad('bridgeName', 'must be 1 to 32 of A–Z, a–z, 0–9, _ and -')
  checkQueues(config)
  if (stsUrl !== undefined && !/^https?:$/.test(URL.canParse(stsUrl) ? new URL(stsUrl).protocol : '')) {
    throw bad('stsUrl', 'is no http or https URL')
  }
}

function checkQueues(config: AwsIotConfig): void {
  for (const member of ['queueUrl', 'deadLetterQueueUrl'] as const) {
    const url = config[member]
    if ((url !== undefined) !== (config.ingest === 'sqs')) throw bad(member, 'goes with "ingest": "sqs", and that with it')
    if (url === undefined) continue
    const found = queueForm.exec(url)
    if (!found) throw bad(member, 'is no URL of a queue')
    if (found[1] !== undefined && found[1] !== config.region) throw bad(member, `is in ${found[1]}, not in ${config.region}`)
  }
  const { queueUrl, deadLetterQueueUrl } = config
  if (queueUrl === undefined || deadLetterQueueUrl === undefined) return
  if (queueUrl === deadLetterQueueUrl) throw bad('deadLetterQueueUrl', 'is the queue itself')
  if (new URL(queueUrl).origin !== new URL(deadLetterQueueUrl).origin) throw bad('deadLetterQueueUrl', 'is on another host than queueUrl')
}

/** The part that the custom authorizer needs as well. */
export function checkAwsPlace({ root, region, account }: AwsPlace): void {
  if (!rootForm.test(root)) throw bad('root', 'must be 1 to 16 of a–z, 0–9 and -')
  if (root === 'svc') throw bad('root', 'must not be svc, with which the client ids of services begin')
  if (!regionForm.test(region)) throw bad('region', 'is no name of a region')
  if (!/^\d{12}$/.test(account)) throw bad('account', 'must be twelve digits')
}

function bad(member: string, reason: string): SyncError {
  return new SyncError('bad-request', `configuration of tokens: awsIot.${member} ${reason}`)
}

function badConfig(reason: string): SyncError {
  return new SyncError('bad-request', `configuration of tokens: awsIot ${reason}`)
}
