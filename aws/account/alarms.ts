/** What somebody should hear of. Each alarm is off where nothing is wrong, and where AWS counts nothing. */
import { either, ref, sub, type Json, type Resource } from './cloudformation.ts'
import { ruleId, ruleName } from './ingest.ts'
import { ingestDoors } from './names.ts'

interface Watch {
  readonly condition?: 'HasQueue' | 'HasAuthorizer'
  readonly purpose: string
  /** What the alarm's name ends with. */
  readonly name: string
  readonly namespace: 'AWS/SQS' | 'AWS/IoT' | 'AWS/Lambda'
  readonly metric: string
  readonly dimension: readonly [name: string, value: Json]
  readonly statistic: 'Maximum' | 'Sum'
  /** It rings above. */
  readonly threshold?: number
  /** Minutes in a row. Default 1. */
  readonly minutes?: number
}

function alarm(watch: Watch): Resource {
  const [dimension, value] = watch.dimension
  const action = either('HasAlarmTopic', [ref('AlarmTopic')])
  return {
    Type: 'AWS::CloudWatch::Alarm',
    ...(watch.condition === undefined ? {} : { Condition: watch.condition }),
    Metadata: { Purpose: watch.purpose },
    Properties: {
      AlarmName: sub(`\${Root}-${watch.name}`),
      AlarmDescription: watch.purpose,
      Namespace: watch.namespace,
      MetricName: watch.metric,
      Dimensions: [{ Name: dimension, Value: value }],
      Statistic: watch.statistic,
      Period: 60,
      EvaluationPeriods: watch.minutes ?? 1,
      Threshold: watch.threshold ?? 0,
      ComparisonOperator: 'GreaterThanThreshold',
      TreatMissingData: 'notBreaching',
      AlarmActions: action,
      OKActions: action,
    },
  }
}

function queueName(id: string): readonly [string, Json] {
  return ['QueueName', { 'Fn::GetAtt': [id, 'QueueName'] }]
}

/** Seconds that the oldest message may wait, for five minutes on end. */
const oldestS = 60

const throttled = ['Connect', 'PublishIn', 'PublishOut', 'Subscribe'] as const

export const alarms: Readonly<Record<string, Resource>> = {
  OldestMessageAlarm: alarm({
    condition: 'HasQueue',
    purpose: `what clients publish waits for more than ${oldestS} s: the server is away or too slow`,
    name: 'ingest-oldest',
    namespace: 'AWS/SQS',
    metric: 'ApproximateAgeOfOldestMessage',
    dimension: queueName('IngestQueue'),
    statistic: 'Maximum',
    threshold: oldestS,
    minutes: 5,
  }),
  DeadLetterAlarm: alarm({
    condition: 'HasQueue',
    purpose: 'the server could not store something and it was put aside',
    name: 'ingest-dead',
    namespace: 'AWS/SQS',
    metric: 'ApproximateNumberOfMessagesVisible',
    dimension: queueName('DeadLetterQueue'),
    statistic: 'Maximum',
  }),
  RuleErrorAlarm: alarm({
    condition: 'HasQueue',
    purpose: 'a rule could not put something into the queue and it was put aside',
    name: 'ingest-rule-errors',
    namespace: 'AWS/SQS',
    metric: 'ApproximateNumberOfMessagesVisible',
    dimension: queueName('RuleErrorQueue'),
    statistic: 'Maximum',
  }),
  ...Object.fromEntries(
    ingestDoors.map((door) => [
      `${ruleId(door)}ThrottledAlarm`,
      alarm({
        condition: 'HasQueue',
        purpose: `AWS throttles the rule for ${door}/: what it drops is in no stream`,
        name: `ingest-throttled-${door}`,
        namespace: 'AWS/IoT',
        metric: 'RuleMessageThrottled',
        dimension: ['RuleName', ruleName(door)],
        statistic: 'Sum',
      }),
    ]),
  ),
  ...Object.fromEntries(
    throttled.map((operation) => [
      `${operation}ThrottledAlarm`,
      alarm({
        purpose: `AWS throttles ${operation} of clients: a quota of the account is reached`,
        name: `throttled-${operation.toLowerCase()}`,
        namespace: 'AWS/IoT',
        metric: `${operation}.Throttle`,
        dimension: ['Protocol', 'MQTT'],
        statistic: 'Sum',
      }),
    ]),
  ),
  ...Object.fromEntries(
    (['Errors', 'Throttles'] as const).map((metric) => [
      `Authorizer${metric}Alarm`,
      alarm({
        condition: 'HasAuthorizer',
        purpose:
          metric === 'Errors' ? 'the authorizer fails, and lets nobody in' : 'Lambda throttles the authorizer: clients are turned away',
        name: `authorizer-${metric.toLowerCase()}`,
        namespace: 'AWS/Lambda',
        metric,
        dimension: ['FunctionName', ref('AuthorizerFunction')],
        statistic: 'Sum',
      }),
    ]),
  ),
}
