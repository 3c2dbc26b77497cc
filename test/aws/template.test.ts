/** CloudFormation's template: as its own checker judges it, as AWS takes it, and its policies as IAM would judge them. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { SignJWT } from 'jose'
import { buildInlineAuthorizer } from '../../aws/build.ts'
import { accountTemplate } from '../../aws/account/template.ts'
import { ingestDoors, publishedDoors, receivedDoors } from '../../aws/account/names.ts'
import { bridgePolicy } from '../../auth/aws-iot/bridge.ts'
import { minified, sessionPolicy } from '../../auth/aws-iot/policy.ts'
import { account, region } from '../support/aws/sts.ts'
import type { IamDocument } from '../support/aws/iam.ts'
import { tempFolder } from '../support/temp.ts'
import { cfnLint, needs, programOf } from '../support/venv.ts'
import { arn, defaults, place as iotPlace, subjectOf, verdictOf, type Verdict } from '../auth/aws-iot/support.ts'
import { everything, jwksOf, newKey, propertiesOf, resolvedWith, place } from './support.ts'

const run = promisify(execFile)

describe('the CloudFormation template', function () {
  this.timeout(300_000)

  it('is what cfn-lint takes, in each region that it may be used in', async function () {
    await needs(this, cfnLint)
    const file = join(await tempFolder(), 'template.json')
    const lint = (text: string): Promise<string> =>
      writeFile(file, text)
        .then(() => run(programOf(cfnLint, 'cfn-lint'), ['--template', file, '--regions', 'eu-west-1', 'us-east-1', 'us-gov-west-1']))
        .then(({ stdout }) => stdout)
    const text = JSON.stringify(accountTemplate(await buildInlineAuthorizer()))
    expect(await lint(text)).to.equal('')
    const broken = await lint(text.replace('"MaxSessionDuration":3600', '"MaxSessionDuration":60')).catch((error: unknown) => error)
    expect((broken as { stdout: string }).stdout).to.include('60 is less than the minimum of 3600')
  })

  it('fits into one request, with a tenth to spare, and its parameters into what AWS takes', async () => {
    const bytes = Buffer.byteLength(JSON.stringify(accountTemplate(await buildInlineAuthorizer())))
    expect(bytes).to.be.within(10_000, 51_200 * 0.9)
    expect(jwksOf(newKey('a'.repeat(43)), newKey('b'.repeat(43))).length).to.be.lessThan(4_096)
  })

  it('holds the authorizer as an index.js that runs in a bare node', async () => {
    const folder = await tempFolder()
    await writeFile(join(folder, 'index.js'), await buildInlineAuthorizer())
    const key = newKey('one')
    const token = await new SignJWT({ scope: 'publish:users/alice/#', oiat: 1, client_id: 'acme=2Ealice=2Ephone' })
      .setProtectedHeader({ alg: 'RS256', typ: 'tidemark+jwt', kid: 'one' })
      .setIssuer('https://sync.example')
      .setAudience('tidemark')
      .setSubject('alice')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(key.privateKey)
    const variables = propertiesOf(
      resolvedWith({ ...everything, BrokerIssuer: 'https://sync.example', BrokerJwks: jwksOf(key) }),
      'AuthorizerFunction',
    )['Environment'] as { readonly Variables: Readonly<Record<string, string>> }
    const event = { protocolData: { mqtt: { clientId: 'acme.alice.phone', password: Buffer.from(token).toString('base64') } } }
    const program = `require('./index').handler(${JSON.stringify(event)}).then((answer) => console.log(JSON.stringify(answer)))`
    const env = { ...variables.Variables, AWS_REGION: region }
    const { stdout } = await run(process.execPath, ['-e', program], { cwd: folder, env })
    expect(JSON.parse(stdout)).to.include({ isAuthenticated: true })
  })

  it('makes what is asked for only', () => {
    const typesOf = (values: Readonly<Record<string, string>>): string[] => [
      ...new Set([...resolvedWith({ Root: 'acme', ...values }).resources.values()].map(({ type }) => type)),
    ]
    expect(typesOf({})).to.have.members(['AWS::IAM::Role', 'AWS::IAM::ManagedPolicy', 'AWS::CloudWatch::Alarm'])
    expect(typesOf({ TokenSigningKey: 'x' })).to.include.members(['AWS::IoT::Authorizer', 'AWS::Lambda::Permission', 'AWS::Logs::LogGroup'])
    expect(typesOf({ Ingest: 'sqs' })).to.include.members(['AWS::SQS::Queue', 'AWS::IoT::TopicRule'])
    expect(typesOf({ Ingest: 'sqs' })).to.not.include('AWS::IoT::Authorizer')
  })

  it('names rules as AWS can, and puts every door of clients into the queue, but nothing that the server says', () => {
    const resolved = resolvedWith({ ...everything, Root: 'a-b' })
    const rules = [...resolved.resources.values()].filter(({ type }) => type === 'AWS::IoT::TopicRule')
    expect(rules.map(({ name }) => name)).to.deep.equal(ingestDoors.map((door) => `tidemark_a_b_${door}`))
    const sql = rules.map(({ properties }) => (properties['TopicRulePayload'] as { readonly Sql: string }).Sql)
    expect(sql.map((text) => /FROM '([^']+)'/.exec(text)?.[1])).to.deep.equal(ingestDoors.map((door) => `a-b/${door}/#`))
    for (const text of sql) expect(text).to.match(/WHERE NOT startswith\(clientid\(\), 'svc\.'\)$/)
    for (const { properties } of rules) {
      const { Actions, ErrorAction } = properties['TopicRulePayload'] as { readonly Actions: object[]; readonly ErrorAction: object }
      const RoleArn = `arn:aws:iam::${account}:role/a-b-ingest-${region}`
      const to = (queue: string): object => ({
        Sqs: { QueueUrl: `https://sqs.${region}.amazonaws.com/${account}/${queue}`, RoleArn, UseBase64: false },
      })
      expect(Actions).to.deep.equal([to('a-b-ingest')])
      expect(ErrorAction).to.deep.equal(to('a-b-ingest-rule-errors'))
    }
    expect(propertiesOf(resolved, 'IngestQueue')['RedrivePolicy']).to.deep.equal({
      deadLetterTargetArn: `arn:aws:sqs:${region}:${account}:a-b-ingest-dead`,
      maxReceiveCount: 5,
    })
  })

  it('has an alarm for each thing that somebody must hear of, and tells the topic', () => {
    const alarms = [...resolvedWith(everything).resources.values()].filter(({ type }) => type === 'AWS::CloudWatch::Alarm')
    expect(alarms.map(({ properties }) => properties['MetricName'])).to.include.members([
      'ApproximateAgeOfOldestMessage',
      'ApproximateNumberOfMessagesVisible',
      'RuleMessageThrottled',
      'PublishIn.Throttle',
      'Errors',
    ])
    for (const { properties } of alarms) expect(properties['AlarmActions']).to.deep.equal([everything['AlarmTopic']])
    for (const { properties } of resolvedWith({ Root: 'acme' }).resources.values()) expect(properties).to.not.have.property('AlarmActions')
  })

  describe('and IAM', () => {
    const policiesOf = (id: string): IamDocument[] => {
      const { Policies, PolicyDocument } = propertiesOf(resolvedWith(everything), id) as unknown as {
        readonly Policies?: readonly { readonly PolicyDocument: IamDocument }[]
        readonly PolicyDocument?: IamDocument
      }
      return PolicyDocument ? [PolicyDocument] : (Policies ?? []).map((each) => each.PolicyDocument)
    }
    const role = (): Verdict => verdictOf([policiesOf('ClientRole')])
    const withSession = (grants: readonly string[]): { both: Verdict; session: Verdict } => {
      const session = [JSON.parse(sessionPolicy(iotPlace, subjectOf(grants))) as IamDocument]
      return { both: verdictOf([policiesOf('ClientRole'), session]), session: verdictOf([session]) }
    }
    const topics = ['put', 'users', 'spaces', 'outbox', 'inbox', 'sync', 'reply', 'tap', '$aws', ''].flatMap((door) =>
      ['alice/x', 'bob/x', 'b/x', 'users/alice/x', 'spaces/b/x', 'acme=2Ealice=2Ephone/1', '#', '+/x', '*'].map(
        (rest) => `${door}/${rest}`,
      ),
    )
    const clients = ['alice.phone', 'bob.phone', 'alice.laptop', '*']
    // Each action of what it is asked about.
    const requests = ['acme', 'acme2', 'other'].flatMap((root) => [
      ...['iot:Publish', 'iot:RetainPublish', 'iot:Receive', 'iot:GetRetainedMessage'].flatMap((action) =>
        topics.map((topic) => ({ action, resource: arn('topic', `${root}/${topic}`) })),
      ),
      ...topics.map((topic) => ({ action: 'iot:Subscribe', resource: arn('topicfilter', `${root}/${topic}`) })),
      ...topics.map((topic) => ({ action: 'iot:Subscribe', resource: arn('topicfilter', `$share/g/${root}/${topic}`) })),
      ...['iot:Connect', 'iot:DeleteConnection'].flatMap((action) =>
        clients.map((name) => ({ action, resource: arn('client', `${root}.${name}`) })),
      ),
    ])

    it('[P-10.32] the fence and a session policy let a client do exactly what the session policy says, and it can subscribe to', () => {
      const { both, session } = withSession([...defaults, 'publish:spaces/b/#', 'subscribe:spaces/b/#'])
      const differ = requests.filter(({ action, resource }) => both(action, resource) !== session(action, resource))
      // A session may hear puts, for shortness; nobody can subscribe to them, so that the fence does without.
      const expected = requests.filter(
        ({ action, resource }) => action === 'iot:Receive' && session(action, resource) && /:topic\/acme\/put\//.test(resource),
      )
      expect(expected.length).to.be.greaterThan(0)
      expect(differ).to.deep.equal(expected)
      expect(requests.filter(({ action, resource }) => both(action, resource)).length).to.be.within(15, requests.length / 10)
    })

    it('[P-10.32] the fence alone reaches this root and its doors, retains nothing, and keeps clients out of what only the server says', () => {
      const may = role()
      for (const { action, resource } of requests.filter(
        ({ resource: one }) => !/:(?:topic|topicfilter)\/acme\/|:client\/acme\./.test(one),
      ))
        expect(may(action, resource), `${action} ${resource}`).to.equal(false)
      for (const door of publishedDoors) expect(may('iot:Publish', arn('topic', `acme/${door}/alice/x`)), door).to.equal(true)
      for (const door of ['sync', 'reply', 'inbox', 'tap'])
        expect(may('iot:Publish', arn('topic', `acme/${door}/alice/x`)), door).to.equal(false)
      for (const door of receivedDoors) expect(may('iot:Receive', arn('topic', `acme/${door}/alice/x`)), door).to.equal(true)
      expect(may('iot:RetainPublish', arn('topic', 'acme/users/alice/x'))).to.equal(false)
      expect(may('iot:Connect', arn('client', 'svc.acme.bridge-1'))).to.equal(false)
    })

    it('a session whose policy would allow everything is held by the fence', () => {
      const all: IamDocument = { Version: '2012-10-17', Statement: { Effect: 'Allow', Action: '*', Resource: '*' } }
      const may = verdictOf([policiesOf('ClientRole'), [all]])
      expect(requests.filter(({ action, resource }) => may(action, resource) !== role()(action, resource))).to.deep.equal([])
    })

    it('the server may assume the roles of clients and bridge, close connections of this root and read its queue, and nothing else', () => {
      const may = verdictOf([policiesOf('ServerPolicy')])
      const allowed = [
        ['sts:AssumeRole', `arn:aws:iam::${account}:role/acme-client-${region}`],
        ['sts:AssumeRole', `arn:aws:iam::${account}:role/acme-bridge-${region}`],
        ['iot:DeleteConnection', arn('client', 'acme.alice.phone')],
        ['sqs:ReceiveMessage', `arn:aws:sqs:${region}:${account}:acme-ingest`],
        ['sqs:DeleteMessage', `arn:aws:sqs:${region}:${account}:acme-ingest`],
        ['sqs:ChangeMessageVisibility', `arn:aws:sqs:${region}:${account}:acme-ingest`],
        ['sqs:SendMessage', `arn:aws:sqs:${region}:${account}:acme-ingest-dead`],
      ] as const
      for (const [action, resource] of allowed) expect(may(action, resource), action).to.equal(true)
      const denied = [
        ['sts:AssumeRole', `arn:aws:iam::${account}:role/acme-client-us-east-1`],
        ['sts:AssumeRole', `arn:aws:iam::${account}:role/admin`],
        ['iot:DeleteConnection', arn('client', 'other.alice.phone')],
        ['sqs:SendMessage', `arn:aws:sqs:${region}:${account}:acme-ingest`],
        ['sqs:ReceiveMessage', `arn:aws:sqs:${region}:${account}:acme-ingest-dead`],
        ['iot:Publish', arn('topic', 'acme/users/alice/x')],
      ] as const
      for (const [action, resource] of denied) expect(may(action, resource), action).to.equal(false)
      const without = propertiesOf(resolvedWith({ Root: 'acme' }), 'ServerPolicy')['PolicyDocument'] as unknown as IamDocument
      expect(verdictOf([[without]])('sqs:ReceiveMessage', `arn:aws:sqs:${region}:${account}:acme-ingest`)).to.equal(false)
    })

    it('the bridge may be what services are called, share subscriptions of this root, hear of connections, and say what the log has', () => {
      const may = verdictOf([policiesOf('BridgeRole')])
      const allowed = [
        ['iot:Connect', arn('client', 'svc.acme.bridge-in-1')],
        ['iot:Subscribe', arn('topicfilter', '$share/tidemark/acme/put/#')],
        ['iot:Subscribe', arn('topicfilter', '$aws/events/presence/disconnected/#')],
        ['iot:Receive', arn('topic', 'acme/put/users/alice/x')],
        ['iot:Receive', arn('topic', '$aws/events/subscriptions/subscribed/acme.alice.phone')],
        ['iot:Publish', arn('topic', 'acme/sync/users/alice/x')],
        ['iot:Publish', arn('topic', 'acme/reply/acme=2Ealice=2Ephone/1')],
      ] as const
      for (const [action, resource] of allowed) expect(may(action, resource), `${action} ${resource}`).to.equal(true)
      const denied = [
        ['iot:Connect', arn('client', 'acme.alice.phone')],
        ['iot:Connect', arn('client', 'svc.other.bridge-in-1')],
        ['iot:Subscribe', arn('topicfilter', 'acme/#')],
        ['iot:Subscribe', arn('topicfilter', '$share/tidemark/other/#')],
        ['iot:Subscribe', arn('topicfilter', '$aws/rules/x')],
        ['iot:Receive', arn('topic', 'other/put/x')],
        // What it publishes there it would take in again.
        ['iot:Publish', arn('topic', 'acme/put/users/alice/x')],
        ['iot:Publish', arn('topic', '$aws/events/x')],
        ['iot:RetainPublish', arn('topic', 'acme/users/alice/x')],
      ] as const
      for (const [action, resource] of denied) expect(may(action, resource), `${action} ${resource}`).to.equal(false)
    })

    it('what the bridge asks for lies within its role', () => {
      const wanted = JSON.parse(bridgePolicy({ ...iotPlace, root: 'acme' })) as {
        readonly Statement: readonly { readonly Action: string; readonly Resource: readonly string[] }[]
      }
      const may = verdictOf([policiesOf('BridgeRole')])
      const asked = wanted.Statement.flatMap(({ Action, Resource }) =>
        [Resource].flat().map((pattern) => ({ action: Action, resource: pattern.replaceAll('${$}', '$').replaceAll('*', 'x/y') })),
      )
      expect(asked.length).to.be.greaterThan(8)
      for (const { action, resource } of asked) expect(may(action, resource), `${action} ${resource}`).to.equal(true)
    })

    it('rules may write to their two queues, the function to its log', () => {
      const rule = verdictOf([policiesOf('RuleRole')])
      const writes = (queue: string): boolean => rule('sqs:SendMessage', `arn:aws:sqs:${region}:${account}:${queue}`)
      expect(['acme-ingest', 'acme-ingest-rule-errors', 'acme-ingest-dead', 'other'].map(writes)).to.deep.equal([true, true, false, false])
      const log = verdictOf([policiesOf('AuthorizerRole')])
      const stream = (group: string): string => `arn:aws:logs:${region}:${account}:log-group:${group}:log-stream:1`
      expect(log('logs:PutLogEvents', stream('/aws/lambda/acme-authorizer'))).to.equal(true)
      expect(log('logs:PutLogEvents', stream('/aws/lambda/other'))).to.equal(false)
      expect(log('logs:DeleteLogGroup', stream('/aws/lambda/acme-authorizer'))).to.equal(false)
    })

    it('only whom it should trusts each role', () => {
      const trusts = (id: string, values = everything): object => {
        const { Statement } = propertiesOf(resolvedWith(values), id)['AssumeRolePolicyDocument'] as {
          readonly Statement: readonly object[]
        }
        expect(Statement).to.have.length(1)
        return Statement[0] as object
      }
      const server = `arn:aws:iam::${account}:role/sync`
      const assume = { Effect: 'Allow', Action: 'sts:AssumeRole' }
      expect(trusts('ClientRole')).to.deep.equal({ ...assume, Principal: { AWS: `arn:aws:iam::${account}:root` } })
      expect(trusts('ClientRole', { ...everything, ServerPrincipal: server })).to.deep.equal({ ...assume, Principal: { AWS: server } })
      expect(trusts('BridgeRole', { ...everything, ServerPrincipal: server })).to.deep.equal({ ...assume, Principal: { AWS: server } })
      expect(trusts('AuthorizerRole')).to.deep.equal({ ...assume, Principal: { Service: 'lambda.amazonaws.com' } })
      expect(trusts('RuleRole')).to.deep.equal({
        ...assume,
        Principal: { Service: 'iot.amazonaws.com' },
        Condition: { StringEquals: { 'aws:SourceAccount': account } },
      })
    })

    it('knows other partitions', () => {
      const china = resolvedWith(everything, { ...place, region: 'cn-north-1', partition: 'aws-cn' })
      const text = JSON.stringify([...china.resources.values()].map(({ properties }) => properties))
      expect(text).to.include('arn:aws-cn:iot:cn-north-1')
      expect(text).to.not.match(/arn:aws:(?!sns)/)
      expect(minified(propertiesOf(china, 'ServerPolicy')['PolicyDocument'] as never)).to.include('arn:aws-cn:sqs:cn-north-1')
    })
  })
})
