/**
 * The Terraform module against CloudFormation's template: the same things, by the same names, with the same rights. Terraform's
 * provider for AWS cannot be had without its registry, so that `terraform validate` is not among these tests.
 */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { ingestDoors } from '../../aws/account/names.ts'
import { accountTemplate } from '../../aws/account/template.ts'
import type { Json, JsonObject } from '../../aws/account/cloudformation.ts'
import { account, region } from '../support/aws/sts.ts'
import { root } from '../support/source-files.ts'
import { needs, programOf, pythonHcl2 } from '../support/venv.ts'
import { everything, propertiesOf, resolvedWith } from './support.ts'

const values: Readonly<Record<string, string>> = { ...everything, Root: 'a-b', BrokerIssuer: 'https://x', BrokerJwks: '{}', AlarmTopic: '' }
const resolved = resolvedWith(values)

describe('the Terraform module', function () {
  this.timeout(300_000)
  let module: Module

  before(async function () {
    await needs(this, pythonHcl2)
    module = new Module(await parsed())
  })

  it('has the roles, with whom they trust and what they may do', () => {
    for (const [id, name, inline] of [
      ['ClientRole', 'client', 'fence'],
      ['BridgeRole', 'bridge', 'bridge_fence'],
      ['AuthorizerRole', 'authorizer', 'log'],
      ['RuleRole', 'rule', 'queues'],
    ] as const) {
      const wanted = propertiesOf(resolved, id)
      const role = module.resource('aws_iam_role', name)
      expect([role['name'], role['description']]).to.deep.equal([wanted['RoleName'], wanted['Description']])
      expect(role['max_session_duration']).to.equal(wanted['MaxSessionDuration'])
      expect(module.document(role['assume_role_policy']), `${name}: trust`).to.deep.equal(comparable(wanted['AssumeRolePolicyDocument']))
      const [policy] = wanted['Policies'] as readonly [{ readonly PolicyName: string; readonly PolicyDocument: Json }]
      const own = module.resource('aws_iam_role_policy', inline)
      expect(own['name']).to.equal(policy.PolicyName)
      expect(own['role']).to.equal(id)
      expect(module.document(own['policy']), `${name}: rights`).to.deep.equal(comparable(policy.PolicyDocument))
    }
    const server = module.resource('aws_iam_policy', 'server')
    expect(server['name']).to.equal(propertiesOf(resolved, 'ServerPolicy')['ManagedPolicyName'])
    expect(module.document(server['policy'])).to.deep.equal(comparable(propertiesOf(resolved, 'ServerPolicy')['PolicyDocument']))
    expect(module.names('aws_iam_role')).to.have.length(4)
    expect([...module.names('aws_iam_role_policy'), ...module.names('aws_iam_policy')]).to.have.length(5)
  })

  it('has the queues', () => {
    for (const [id, name] of [
      ['IngestQueue', 'ingest'],
      ['DeadLetterQueue', 'dead_letter'],
      ['RuleErrorQueue', 'rule_error'],
    ] as const) {
      const [wanted, queue] = [propertiesOf(resolved, id), module.resource('aws_sqs_queue', name)]
      expect({
        QueueName: queue['name'],
        MessageRetentionPeriod: queue['message_retention_seconds'],
        SqsManagedSseEnabled: queue['sqs_managed_sse_enabled'],
        VisibilityTimeout: queue['visibility_timeout_seconds'],
        ReceiveMessageWaitTimeSeconds: queue['receive_wait_time_seconds'],
        RedrivePolicy: queue['redrive_policy'],
      }).to.deep.equal({ VisibilityTimeout: undefined, ReceiveMessageWaitTimeSeconds: undefined, RedrivePolicy: undefined, ...wanted })
    }
    expect(module.names('aws_sqs_queue')).to.have.length(3)
  })

  it('has the rules, with their SQL and where they write', () => {
    const rule = module.resource('aws_iot_topic_rule', 'ingest')
    expect(rule['for_each']).to.deep.equal(ingestDoors)
    for (const door of ingestDoors) {
      const wanted = propertiesOf(resolved, `Rule${door.charAt(0).toUpperCase()}${door.slice(1)}`)
      const { Description, Sql, AwsIotSqlVersion } = wanted['TopicRulePayload'] as JsonObject
      const own = ['name', 'description', 'sql', 'sql_version'].map((name) => String(rule[name]).replaceAll('${each.value}', door))
      expect(own).to.deep.equal([wanted['RuleName'], Description, Sql, AwsIotSqlVersion])
    }
    const to = (block: unknown): object => {
      const [sqs] = block as readonly [Block]
      return { QueueUrl: sqs['queue_url'], RoleArn: sqs['role_arn'], UseBase64: sqs['use_base64'] }
    }
    const { Actions, ErrorAction } = propertiesOf(resolved, 'RulePut')['TopicRulePayload'] as JsonObject
    expect([{ Sqs: to(rule['sqs']) }]).to.deep.equal(Actions)
    expect({ Sqs: to((rule['error_action'] as readonly [{ readonly sqs: unknown }])[0].sqs) }).to.deep.equal(ErrorAction)
    expect(rule['enabled']).to.equal(true)
  })

  it('has the authorizer, its function with its environment, its log, and who may call it', () => {
    const [lambda, wanted] = [module.resource('aws_lambda_function', 'authorizer'), propertiesOf(resolved, 'AuthorizerFunction')]
    expect({
      FunctionName: lambda['function_name'],
      Description: lambda['description'],
      Runtime: lambda['runtime'],
      Architectures: lambda['architectures'],
      MemorySize: lambda['memory_size'],
      Timeout: lambda['timeout'],
      Role: lambda['role'],
    }).to.deep.equal((({ Handler: _handler, Environment: _environment, Code: _code, ...rest }) => rest)(wanted))
    expect((lambda['environment'] as readonly [{ readonly variables: unknown }])[0].variables).to.deep.equal(
      (wanted['Environment'] as JsonObject)['Variables'],
    )
    const authorizer = module.resource('aws_iot_authorizer', 'authorizer')
    expect({
      AuthorizerName: authorizer['name'],
      AuthorizerFunctionArn: authorizer['authorizer_function_arn'],
      Status: authorizer['status'],
      SigningDisabled: authorizer['signing_disabled'],
      TokenKeyName: authorizer['token_key_name'],
    }).to.deep.equal((({ TokenSigningPublicKeys: _keys, ...rest }) => rest)(propertiesOf(resolved, 'Authorizer')))
    expect(authorizer['token_signing_public_keys']).to.deep.equal({ first: 'one', second: 'two' })
    const permission = module.resource('aws_lambda_permission', 'authorizer')
    expect({
      FunctionName: permission['function_name'],
      Action: permission['action'],
      Principal: permission['principal'],
      SourceArn: permission['source_arn'],
    }).to.deep.equal(propertiesOf(resolved, 'AuthorizerPermission'))
    const log = module.resource('aws_cloudwatch_log_group', 'authorizer')
    expect({ LogGroupName: log['name'], RetentionInDays: String(log['retention_in_days']) }).to.deep.equal(
      propertiesOf(resolved, 'AuthorizerLogs'),
    )
  })

  it('has the alarms', () => {
    const alarm = module.resource('aws_cloudwatch_metric_alarm', 'alarm')
    const all = module.alarms()
    const wanted = [...resolved.resources.values()].filter(({ type }) => type === 'AWS::CloudWatch::Alarm')
    expect(all.size).to.equal(wanted.length)
    for (const { name, properties } of wanted) {
      const {
        AlarmName: _name,
        AlarmDescription,
        Namespace,
        MetricName,
        Dimensions,
        Statistic,
        EvaluationPeriods,
        Threshold,
        ...rest
      } = properties
      const [{ Name, Value }] = Dimensions as readonly [{ readonly Name: string; readonly Value: string }]
      expect(all.get(name.slice('a-b-'.length)), name).to.deep.equal({
        description: AlarmDescription,
        namespace: Namespace,
        metric: MetricName,
        dimensions: { [Name]: Value },
        statistic: Statistic,
        threshold: Threshold,
        minutes: EvaluationPeriods,
      })
      expect({
        Period: alarm['period'],
        ComparisonOperator: alarm['comparison_operator'],
        TreatMissingData: alarm['treat_missing_data'],
      }).to.deep.equal(rest)
    }
  })

  it('makes each thing under the same condition', () => {
    const { Resources } = accountTemplate('')
    const conditions = new Map(module.resources().map(({ name, condition }) => [name, condition]))
    for (const [id, name] of Object.entries(counterparts))
      expect(conditions.get(name), name).to.equal(
        { HasQueue: 'has_queue', HasAuthorizer: 'has_authorizer' }[Resources[id]?.Condition ?? ''],
      )
    const others = [
      'aws_iam_role_policy.fence',
      'aws_iam_role_policy.bridge_fence',
      'aws_iam_role_policy.log',
      'aws_iam_role_policy.queues',
      'aws_cloudwatch_metric_alarm.alarm',
    ]
    expect([...conditions.keys()]).to.have.members([...Object.values(counterparts), ...others])
  })

  it('has a variable for each parameter, with the same default, and an output for each output', () => {
    const { Parameters, Outputs } = accountTemplate('')
    const snake = (name: string): string => name.replaceAll(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
    const presets = Object.fromEntries(Object.entries(Parameters).map(([name, { Default }]) => [snake(name), Default]))
    expect(module.variables()).to.deep.equal(presets)
    expect(module.outputs()).to.have.members(Object.keys(Outputs).map(snake))
  })
})

/** What is what, beside alarms. */
const counterparts: Readonly<Record<string, string>> = {
  ClientRole: 'aws_iam_role.client',
  BridgeRole: 'aws_iam_role.bridge',
  ServerPolicy: 'aws_iam_policy.server',
  AuthorizerLogs: 'aws_cloudwatch_log_group.authorizer',
  AuthorizerRole: 'aws_iam_role.authorizer',
  AuthorizerFunction: 'aws_lambda_function.authorizer',
  Authorizer: 'aws_iot_authorizer.authorizer',
  AuthorizerPermission: 'aws_lambda_permission.authorizer',
  IngestQueue: 'aws_sqs_queue.ingest',
  DeadLetterQueue: 'aws_sqs_queue.dead_letter',
  RuleErrorQueue: 'aws_sqs_queue.rule_error',
  RuleRole: 'aws_iam_role.rule',
  RulePut: 'aws_iot_topic_rule.ingest',
}

type Block = Readonly<Record<string, unknown>>

/** The module as it is with these values: literals everywhere. */
class Module {
  readonly #files: readonly Block[]

  constructor(files: readonly Block[]) {
    this.#files = files
  }

  resource(type: string, name: string): Block {
    return this.#find('resource', type, name)
  }

  names(type: string): string[] {
    return this.#blocks('resource').flatMap((block) => Object.keys((block[type] ?? {}) as Block))
  }

  /** As they are written: on what each depends. */
  resources(): { readonly name: string; readonly condition: string | undefined }[] {
    const head = /^resource "(\w+)" "(\w+)" \{\n(?: {2}(?:count|for_each) += local\.(has_\w+) \?)?/gm
    return sources().flatMap((text) =>
      [...text.matchAll(head)].map(([, type, name, condition]) => ({ name: `${type}.${name}`, condition })),
    )
  }

  variables(): Block {
    return Object.fromEntries(
      this.#blocks('variable').flatMap((block) => Object.entries(block).map(([name, each]) => [name, (each as Block)['default']])),
    )
  }

  outputs(): string[] {
    return this.#blocks('output').flatMap((block) => Object.keys(block))
  }

  alarms(): ReadonlyMap<string, Block> {
    const locals = this.#blocks('locals').flatMap((block) => Object.entries(block))
    return new Map(
      locals
        .filter(([name]) => name.endsWith('_alarms'))
        .flatMap(([, alarms]) => Object.entries(alarms as Readonly<Record<string, Block>>)),
    )
  }

  /** The policy document of a name, as CloudFormation writes it. */
  document(name: unknown): object {
    const { statement = [], dynamic = [] } = this.#find('data', 'aws_iam_policy_document', String(name)) as {
      readonly statement?: readonly Block[]
      readonly dynamic?: readonly [{ readonly statement: { readonly content: readonly [Block] } }]
    }
    return comparable({
      Version: '2012-10-17',
      Statement: [...statement, ...dynamic.map((each) => each.statement.content[0])].map(statementOf),
    })
  }

  #find(kind: string, type: string, name: string): Block {
    const found = this.#blocks(kind)
      .map((block) => (block[type] as Block | undefined)?.[name])
      .find((block) => block !== undefined)
    if (!found) throw new Error(`there is no ${kind} ${type}.${name}`)
    return found as Block
  }

  #blocks(kind: string): Block[] {
    return this.#files.flatMap((file) => (file[kind] ?? []) as Block[])
  }
}

function statementOf({ sid, effect, actions, resources, principals, condition }: Block): Json {
  const [principal] = (principals ?? []) as readonly { readonly type: string; readonly identifiers: Json }[]
  const [only] = (condition ?? []) as readonly { readonly test: string; readonly variable: string; readonly values: Json }[]
  return {
    ...(sid === undefined ? {} : { Sid: sid as string }),
    Effect: effect as string,
    Action: actions as Json,
    ...(resources === undefined ? {} : { Resource: resources as Json }),
    ...(principal === undefined ? {} : { Principal: { [principal.type]: principal.identifiers } }),
    ...(only === undefined ? {} : { Condition: { [only.test]: { [only.variable]: only.values } } }),
  }
}

/** A list of one and that one mean the same in a policy. */
function comparable(policy: Json | undefined): object {
  const flat = (json: Json): Json => {
    if (Array.isArray(json)) return json.length === 1 && typeof json[0] === 'string' ? json[0] : json.map(flat)
    if (json === null || typeof json !== 'object') return json
    return Object.fromEntries(Object.entries(json as JsonObject).map(([key, each]) => [key, flat(each)]))
  }
  return flat(policy ?? null) as object
}

/** What stands for what, the longer before what begins it. */
function substitutions(): [from: string | RegExp, to: string][] {
  const arn = (service: string, rest: string): string => `arn:aws:${service}:${service === 'iam' ? '' : region}:${account}:${rest}`
  const nameOf = (id: string): string => resolved.resources.get(id)?.name ?? id
  const queue = (name: string, id: string): [string, string][] => [
    [`aws_sqs_queue.${name}[0].arn`, `"${arn('sqs', nameOf(id))}"`],
    [`aws_sqs_queue.${name}[0].url`, `"https://sqs.${region}.amazonaws.com/${account}/${nameOf(id)}"`],
    [`aws_sqs_queue.${name}[0].name`, `"${nameOf(id)}"`],
  ]
  const role = (name: string, id: string): [string, string][] => [
    [`aws_iam_role.${name}.arn`, `"${arn('iam', `role/${nameOf(id)}`)}"`],
    [`aws_iam_role.${name}.id`, `"${id}"`],
  ]
  return [
    ['replace(var.root, "-", "_")', 'local.rule_root'],
    ['local.has_queue ? 1 : 0', '1'],
    ['local.has_authorizer ? 1 : 0', '1'],
    [/local\.has_\w+ \? /g, ''],
    [/ : (?:\{\}|toset\(\[\]\))$/gm, ''],
    [/toset\((\[[^\]]*\])\)/g, '$1'],
    ['var.server_principal != "" ? var.server_principal : ', ''],
    [/ var\.second_token_signing_key == "" \? \{\} :/g, ''],
    [/(for_each = aws_sqs_queue\.(\w+)[^}]+)statement\.value\.arn/g, '$1aws_sqs_queue.$2[0].arn'],
    [/data\.aws_iam_policy_document\.(\w+)(?:\[0\])?\.json/g, '"$1"'],
    [/jsonencode\((\{[^}]*\})\)/g, '$1'],
    [/merge\(\s*\{ (first = [^}]+) \},\s*\{ (second = [^}]+) \},\s*\)/g, '{ $1, $2 }'],
    [/(aws_iam_role\.\w+)\[0\]/g, '$1'],
    ...role('client', 'ClientRole'),
    ...role('bridge', 'BridgeRole'),
    ...role('authorizer', 'AuthorizerRole'),
    ...role('rule', 'RuleRole'),
    ...queue('ingest', 'IngestQueue'),
    ...queue('dead_letter', 'DeadLetterQueue'),
    ...queue('rule_error', 'RuleErrorQueue'),
    ['aws_lambda_function.authorizer[0].arn', `"${arn('lambda', `function:${nameOf('AuthorizerFunction')}`)}"`],
    ['aws_lambda_function.authorizer[0].function_name', `"${nameOf('AuthorizerFunction')}"`],
    ...Object.entries({
      'local.iot': `arn:aws:iot:${region}:${account}`,
      'local.rule_root': 'a_b',
      'local.partition': 'aws',
      'local.region': region,
      'local.account': account,
      'var.root': 'a-b',
      'var.token_key_name': 'token',
      'var.authorizer_status': 'ACTIVE',
      'var.broker_issuer': 'https://x',
      'var.broker_audience': 'tidemark',
      'var.broker_jwks': '{}',
      'var.log_retention_days': '30',
      'var.second_token_signing_key': 'two',
      'var.token_signing_key': 'one',
    }).flatMap(([name, value]): [string, string][] => [
      [`\${${name}}`, value],
      [` ${name}\n`, ` "${value}"\n`],
      [` ${name},`, ` "${value}",`],
      [` ${name} }`, ` "${value}" }`],
      [`[${name}]`, `["${value}"]`],
    ]),
  ]
}

/** A loop over alarms, written out. */
function unrolled(text: string): string {
  const loop = /\{\s*for (\w+)(?:, rule)? in ([^:]+) : "([^"]*)" => (\{[\s\S]*?\n {4}\})\n {2}\}/g
  return text.replaceAll(loop, (_whole, variable: string, list: string, key: string, body: string) => {
    const each = list.includes('"') ? [...list.matchAll(/"(\w+)"/g)].map(([, one]) => one as string) : ingestDoors
    const one = (value: string): string =>
      `"${key}" = ${body}`
        .replaceAll(`\${lower(${variable})}`, value.toLowerCase())
        .replaceAll(`\${${variable}}`, value)
        .replaceAll('rule.name', `"tidemark_a_b_${value}"`)
    return `{\n${each.map(one).join('\n')}\n}`
  })
}

function sources(): string[] {
  const folder = join(root, 'aws/terraform')
  return readdirSync(folder)
    .filter((file) => file.endsWith('.tf'))
    .map((file) => readFileSync(join(folder, file), 'utf8'))
}

/** By a parser of Terraform's language that nobody here wrote. */
async function parsed(): Promise<Block[]> {
  const texts = sources().map((source) => substitutions().reduce((text, [from, to]) => text.replaceAll(from, to), unrolled(source)))
  const program = `
import hcl2, json, sys
from hcl2.utils import SerializationOptions
options = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
print(json.dumps([hcl2.loads(text, serialization_options=options) for text in json.loads(sys.argv[1])]))`
  const { stdout } = await promisify(execFile)(programOf(pythonHcl2, 'python'), ['-c', program, JSON.stringify(texts)])
  return JSON.parse(stdout) as Block[]
}
