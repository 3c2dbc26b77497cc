/** Which deployment a command of `tidemark aws` is about, and with which parameters of the template. */
import { InvalidArgumentError, type Command } from 'commander'
import { checkAwsPlace } from '../../auth/aws-iot/config.ts'
import { partitionOf } from '../../auth/aws-iot/policy.ts'
import { authorizerName, stackName } from '../../aws/account/names.ts'
import type { ParameterValues, ResolvedPlace } from '../../aws/account/resolve.ts'
import { retentionDays } from '../../aws/account/template.ts'
import { SyncError } from '../../protocol/errors.ts'
import { UsageError } from '../usage-error.ts'
import { keyParameters } from './keys.ts'

export interface Deployment extends ResolvedPlace {
  readonly root: string
  readonly stackName: string
}

export interface PlaceOptions {
  readonly root: string
  readonly region: string
  readonly account: string
}

export interface TemplateOptions {
  readonly serverPrincipal?: string
  readonly jwks?: string
  readonly issuer?: string
  readonly audience: string
  readonly tokenKey: string
  readonly ingest: 'mqtt' | 'sqs'
  readonly alarmTopic?: string
  readonly logDays: number
}

/** Named each time, so that no command can be about another account than the one that was meant. */
export function addPlaceOptions(command: Command): Command {
  return command
    .requiredOption('--root <ROOT>', 'first level of every topic, awsIot.root of the server')
    .requiredOption('--region <REGION>', 'such as eu-west-1')
    .requiredOption('--account <ID>', 'twelve digits')
}

export function addTemplateOptions(command: Command): Command {
  return command
    .option('--server-principal <ARN>', 'the role or user that the server runs as, the only one to assume the role of clients')
    .option('--jwks <FILE or URL>', "the server's /.well-known/jwks.json; without it there is no custom authorizer")
    .option('--issuer <URL>', 'publicHttpUrl of the server; goes with --jwks')
    .option('--audience <NAME>', 'audience of the server', 'tidemark')
    .option('--token-key <NAME>', 'what the token is called in the query of a connection', 'token')
    .option('--ingest <HOW>', 'mqtt, or sqs: by rules and a queue', ingestOf, 'mqtt')
    .option('--alarm-topic <ARN>', 'an SNS topic that hears of alarms')
    .option('--log-days <N>', "how long the authorizer's log is kept", daysOf, 30)
}

export function deploymentOf({ root, region, account }: PlaceOptions): Deployment {
  try {
    checkAwsPlace({ root, region, account })
  } catch (error) {
    if (error instanceof SyncError) throw new UsageError(error.message.replace(/^.*awsIot\./, '--'))
    throw error
  }
  return { root, region, account, partition: partitionOf(region), stackName: stackName(root) }
}

/** The parameters of the template. What is not given has its default, also where the account has something else. */
export async function parametersOf(deployment: Deployment, options: TemplateOptions): Promise<ParameterValues> {
  const { jwks, issuer } = options
  if ((jwks === undefined) !== (issuer === undefined)) throw new UsageError('--jwks and --issuer go together')
  return {
    Root: deployment.root,
    ServerPrincipal: options.serverPrincipal ?? '',
    BrokerIssuer: issuer ?? '',
    BrokerAudience: options.audience,
    TokenKeyName: options.tokenKey,
    AuthorizerStatus: 'ACTIVE',
    Ingest: options.ingest,
    AlarmTopic: options.alarmTopic ?? '',
    LogRetentionDays: String(options.logDays),
    ...(await keyParameters(jwks)),
  }
}

function ingestOf(text: string): 'mqtt' | 'sqs' {
  if (text !== 'mqtt' && text !== 'sqs') throw new InvalidArgumentError('It is mqtt or sqs.')
  return text
}

function daysOf(text: string): number {
  if (!retentionDays.includes(Number(text))) throw new InvalidArgumentError(`It is one of ${retentionDays.join(', ')}.`)
  return Number(text)
}

/** What the authorizer is called. */
export function authorizerNameOf({ root }: Deployment): string {
  return authorizerName.replace('${Root}', root)
}
