/**
 * The whole way through moto, which makes roles, policies, queues, functions and logs as CloudFormation's template says: that
 * the template's references hold, and that the commands speak to a control plane that nobody here wrote. What moto does not do it cannot
 * prove: it checks no permissions and no signatures, knows no authorizer, rule or alarm in a stack, and fails nowhere in the middle.
 */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { inProcess } from '../cli/run.ts'
import { ControlPlane } from '../support/aws/control-plane.ts'
import { startMoto, type Moto } from '../support/aws/moto.ts'
import { account, region } from '../support/aws/sts.ts'
import { tempFolder } from '../support/temp.ts'
import { moto, needs, programOf } from '../support/venv.ts'
import { jwksOf, newKey, placeFlags, propertiesOf, resolvedWith, withEnv } from './support.ts'

describe('an account as moto knows it', function () {
  this.timeout(300_000)
  let server: Moto
  let restore = (): void => {}
  let all: string[] = []

  before(async function () {
    await needs(this, moto)
    server = await startMoto()
    restore = withEnv(server.env)
    const jwks = join(await tempFolder(), 'jwks.json')
    await writeFile(jwks, jwksOf(newKey('one')))
    all = [...placeFlags, '--jwks', jwks, '--issuer', 'https://sync.example', '--ingest', 'sqs']
  })
  after(async () => {
    restore()
    await server?.close()
  })

  it('gets what the template says, by apply; and nothing of it is left after destroy, and all that was there before', async () => {
    await python(server, foreign)
    const before = await contents(server)
    expect([before.roles, before.queues]).to.deep.equal([['acme-client'], ['acme-other']])
    // moto has no authorizers, not even calls about them.
    const plane = await ControlPlane.start()
    // Nobody listens there.
    plane.endpoint = '127.0.0.1:1'
    const back = withEnv({ AWS_ENDPOINT_URL_IOT: plane.env['AWS_ENDPOINT_URL'] as string })
    try {
      await everythingMade(before)
    } finally {
      back()
      await plane.close()
    }
  })

  async function everythingMade(before: Contents): Promise<void> {
    const applied = await inProcess(['aws', 'apply', ...all, '--yes'])
    expect(applied.code, applied.stdout + applied.stderr).to.equal(0)
    const after = await contents(server)
    expect(after.roles).to.have.members([
      ...before.roles,
      ...['client', 'bridge', 'authorizer', 'ingest'].map((name) => `acme-${name}-${region}`),
    ])
    expect(after.queues).to.have.members(['acme-other', 'acme-ingest', 'acme-ingest-dead', 'acme-ingest-rule-errors'])
    expect(after.functions).to.deep.equal(['acme-authorizer'])
    expect(after.logGroups).to.include('/aws/lambda/acme-authorizer')
    expect(after.policies).to.deep.equal([`acme-server-${region}`])

    const resolved = resolvedWith({ Root: 'acme', Ingest: 'sqs', TokenSigningKey: 'x' })
    expect(after.clientRole.Policies, 'references as moto resolves them').to.deep.equal(propertiesOf(resolved, 'ClientRole')['Policies'])
    expect(after.clientRole.Trust).to.deep.equal(propertiesOf(resolved, 'ClientRole')['AssumeRolePolicyDocument'])
    expect(after.serverPolicy).to.deep.equal(propertiesOf(resolved, 'ServerPolicy')['PolicyDocument'])
    expect(after.redrive).to.deep.equal(propertiesOf(resolved, 'IngestQueue')['RedrivePolicy'])

    const again = await inProcess(['aws', 'apply', ...all, '--yes'])
    expect(again.code, again.stderr).to.equal(0)
    expect(again.stdout).to.include('Nothing to change.')
    const doctor = async (): Promise<string> => (await inProcess(['aws', 'doctor', ...placeFlags])).stdout
    const looked = await doctor()
    expect(looked).to.match(/^ {2}ok {4}bridge {6}\S+:role\/acme-bridge-eu-west-1 can be assumed$/m)
    expect(looked).to.match(/^ {2}ok {4}queues {6}0 messages wait or are in hand, and there are no dead letters$/m)
    await python(server, `\nsqs.send_message(QueueUrl=sqs.get_queue_url(QueueName='acme-ingest-dead')['QueueUrl'], MessageBody='x')`)
    expect(await doctor()).to.match(/^ {2}FAIL {2}queues {6}1 dead letters are in \S+\/acme-ingest-dead\n +→ look at their attribute/m)
    const destroyed = await inProcess(['aws', 'destroy', ...all.slice(0, 6), '--yes'])
    expect(destroyed.code, destroyed.stdout + destroyed.stderr).to.equal(0)
    // A policy that a stack made is the one thing that moto does not delete with it.
    const { policies: _policies, serverPolicy: _serverPolicy, ...left } = await contents(server)
    const { policies: _none, serverPolicy: _nothing, ...wanted } = before
    expect(left).to.deep.equal(wanted)
  }

  it('tells its endpoint to doctor, which misses the stack', async () => {
    const { code, stdout } = await inProcess(['aws', 'doctor', ...placeFlags])
    expect(code).to.equal(1)
    expect(stdout).to.match(new RegExp(`^ {2}ok {4}credentials arn:aws:sts::${account}:`, 'm'))
    expect(stdout).to.match(/^ {2}ok {4}endpoint {4}\S+-ats\.iot\.eu-west-1\.amazonaws\.com$/m)
    expect(stdout).to.match(/^ {2}FAIL {2}stack {7}there is no stack tidemark-acme\n +→ run `tidemark aws apply`$/m)
  })
})

interface Contents {
  readonly roles: string[]
  readonly queues: string[]
  readonly functions: string[]
  readonly logGroups: string[]
  readonly policies: string[]
  readonly clientRole: { readonly Policies: unknown; readonly Trust: unknown }
  readonly serverPolicy: unknown
  readonly redrive: unknown
}

/** What somebody else has in the account, under names that begin like ours. */
const foreign = `
iam.create_role(RoleName='acme-client', AssumeRolePolicyDocument='{}')
sqs.create_queue(QueueName='acme-other')`

async function contents(server: Moto): Promise<Contents> {
  return JSON.parse(await python(server, listing)) as Contents
}

/** With AWS's own library for Python, which comes with moto. */
async function python({ url, env }: Moto, program: string): Promise<string> {
  const clients = `
import ast, boto3, json
def client(name): return boto3.client(name, region_name='${region}', endpoint_url='${url}')
iam, sqs, functions, logs = client('iam'), client('sqs'), client('lambda'), client('logs')`
  const words = ['-c', `${clients}${program}`]
  return (await promisify(execFile)(programOf(moto, 'python'), words, { env: { ...process.env, ...env } })).stdout
}

const listing = `
roles = [role['RoleName'] for role in iam.list_roles()['Roles']]
name = 'acme-client-${region}'
found = name in roles
policies = iam.list_policies(Scope='Local')['Policies']
urls = sqs.list_queues().get('QueueUrls', [])
ingest = [url for url in urls if url.endswith('/acme-ingest')]
# moto keeps what a stack says in Python's words.
def document(value): return ast.literal_eval(value) if isinstance(value, str) else value
def inline(policy): return {'PolicyName': policy, 'PolicyDocument': document(iam.get_role_policy(RoleName=name, PolicyName=policy)['PolicyDocument'])}
print(json.dumps({
  'roles': roles,
  'queues': [url.split('/')[-1] for url in urls],
  'functions': [each['FunctionName'] for each in functions.list_functions()['Functions']],
  'logGroups': [each['logGroupName'] for each in logs.describe_log_groups()['logGroups']],
  'policies': [policy['PolicyName'] for policy in policies],
  'clientRole': {
    'Policies': [inline(policy) for policy in iam.list_role_policies(RoleName=name)['PolicyNames']] if found else None,
    'Trust': document(iam.get_role(RoleName=name)['Role']['AssumeRolePolicyDocument']) if found else None,
  },
  'serverPolicy': document(iam.get_policy_version(PolicyArn=policies[0]['Arn'], VersionId='v1')['PolicyVersion']['Document']) if policies else None,
  'redrive': json.loads(sqs.get_queue_attributes(QueueUrl=ingest[0], AttributeNames=['RedrivePolicy'])['Attributes']['RedrivePolicy']) if ingest else None,
}))`
