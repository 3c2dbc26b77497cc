/** What clients publish, by rules into a queue: nothing is lost where the server is away. */
import { arnOf, policy, ref, sub, trust, type Json, type Resource } from './cloudformation.ts'
import { deadLetterQueueName, ingestDoors, ingestQueueName, ruleErrorQueueName, ruleRoleName, type IngestDoor } from './names.ts'

/** As long as SQS keeps anything. */
const retentionS = 1_209_600
/** What was received and not deleted within so long comes again. */
const visibilityS = 60
/** A message that came so often and was never deleted is put aside. */
const receivesMax = 5

const Condition = 'HasQueue'

/**
 * The message as the bridge wants it. `clientid()` is what a policy bound to one client; what the server itself publishes,
 * whose client ids begin with `svc.`, it has already.
 */
export function ruleSql(door: IngestDoor): string {
  const fields = [
    "encode(*, 'base64') AS payload",
    'topic() AS topic',
    'clientid() AS client',
    'principal() AS principal',
    'timestamp() AS time',
    'traceid() AS trace',
  ]
  return `SELECT ${fields.join(', ')} FROM '\${Root}/${door}/#' WHERE NOT startswith(clientid(), 'svc.')`
}

/** Names of rules have no dash, which a root may have; a root has no underscore. */
export function ruleName(door: IngestDoor): Json {
  return { 'Fn::Join': ['_', ['tidemark', { 'Fn::Join': ['_', { 'Fn::Split': ['-', ref('Root')] }] }, door]] }
}

export function ruleId(door: IngestDoor): string {
  return `Rule${door.charAt(0).toUpperCase()}${door.slice(1)}`
}

function queue(name: string, purpose: string, properties: Readonly<Record<string, Json>> = {}): Resource {
  return {
    Type: 'AWS::SQS::Queue',
    Condition,
    Metadata: { Purpose: purpose },
    Properties: { QueueName: sub(name), MessageRetentionPeriod: retentionS, SqsManagedSseEnabled: true, ...properties },
  }
}

function toQueue(queueId: string): Json {
  return { Sqs: { QueueUrl: ref(queueId), RoleArn: arnOf('RuleRole'), UseBase64: false } }
}

function rule(door: IngestDoor): Resource {
  return {
    Type: 'AWS::IoT::TopicRule',
    Condition,
    Metadata: { Purpose: `what clients publish below ${door}/ goes to the queue` },
    Properties: {
      RuleName: ruleName(door),
      TopicRulePayload: {
        Description: sub(`What clients publish below \${Root}/${door}/, for the Tidemark server`),
        AwsIotSqlVersion: '2016-03-23',
        RuleDisabled: false,
        Sql: sub(ruleSql(door)),
        Actions: [toQueue('IngestQueue')],
        ErrorAction: toQueue('RuleErrorQueue'),
      },
    },
  }
}

export const ingest: Readonly<Record<string, Resource>> = {
  IngestQueue: queue(ingestQueueName, 'what clients published and the server has not stored yet', {
    VisibilityTimeout: visibilityS,
    ReceiveMessageWaitTimeSeconds: 20,
    RedrivePolicy: { deadLetterTargetArn: arnOf('DeadLetterQueue'), maxReceiveCount: receivesMax },
  }),
  DeadLetterQueue: queue(deadLetterQueueName, `what no log can hold, and what the server received ${receivesMax} times and never stored`),
  RuleErrorQueue: queue(ruleErrorQueueName, 'what a rule could not put into the queue'),
  RuleRole: {
    Type: 'AWS::IAM::Role',
    Condition,
    Metadata: { Purpose: 'lets these rules write to these queues' },
    Properties: {
      RoleName: sub(ruleRoleName),
      Description: sub('The rules of Tidemark below ${Root}/: writing to their queues only'),
      AssumeRolePolicyDocument: trust({ Service: 'iot.amazonaws.com' }, { StringEquals: { 'aws:SourceAccount': ref('AWS::AccountId') } }),
      Policies: [
        {
          PolicyName: 'queues',
          PolicyDocument: policy({
            Effect: 'Allow',
            Action: 'sqs:SendMessage',
            Resource: [arnOf('IngestQueue'), arnOf('RuleErrorQueue')],
          }),
        },
      ],
    },
  },
  ...Object.fromEntries(ingestDoors.map((door) => [ruleId(door), rule(door)])),
}
