/** `tidemark aws doctor`: whether the account is as the server needs it, and in words what is not. */
import { randomBytes } from 'node:crypto'
import { WebSocket } from 'ws'
import { Sts } from '../../auth/aws-iot/sts.ts'
import { bridgePolicy } from '../../auth/aws-iot/bridge.ts'
import { sessionPolicy, type SessionPolicy } from '../../auth/aws-iot/policy.ts'
import { presignedUrl, type AwsCredentials } from '../../auth/aws-iot/presign.ts'
import { Grants } from '../../auth/grants.ts'
import { encodeName } from '../../protocol/names.ts'
import { awsClockSkewMs } from '../../seams/limits.ts'
import { Report, Trouble, type Found } from '../doctor/report.ts'
import { stepTimeoutMs, unreachable } from '../doctor/unreachable.ts'
import { hasAuthorizer } from './account.ts'
import { authorizerNameOf, deploymentOf, type Deployment, type PlaceOptions } from './deployment.ts'
import { identityOf, mustBeAccount, type Identity } from './identity.ts'
import { Iot } from './iot.ts'
import { keyParameters, kidsOf } from './keys.ts'
import { isBusy, isEmpty, Stack, type StackState } from './stack.ts'
import type { Write } from './plan.ts'
import { checkQueues } from './queues.ts'

export interface AwsDoctorOptions extends PlaceOptions {
  readonly jwks?: string
  readonly token?: string
  readonly endpoint?: string
}

/** Throws where a check failed. */
export async function awsDoctor(options: AwsDoctorOptions, write: Write): Promise<void> {
  const deployment = deploymentOf(options)
  const report = new Report(write)
  const identity = await report.check('credentials', () => checkIdentity(deployment))
  if (!identity) return report.end()
  await report.check('clock', () => checkClock(identity))
  const stack = await Stack.open(deployment)
  const iot = await Iot.open(deployment)
  try {
    const state = await report.check('stack', () => checkStack(stack, deployment))
    const endpoint = await report.check('endpoint', () => checkEndpoint(iot, options.endpoint))
    if (!state) return
    await checkRole(report, { deployment, identity, state, endpoint })
    await checkAuthorizer(report, iot, { deployment, state, options })
    if (state.parameters['Ingest'] === 'sqs') await report.check('queues', () => checkQueues(deployment, state))
  } finally {
    stack.close()
    iot.close()
    report.end()
  }
}

async function checkIdentity(deployment: Deployment): Promise<Found<Identity>> {
  const value = await identityOf(deployment)
  mustBeAccount(value, deployment)
  return { said: value.arn, value }
}

function checkClock({ aheadMs }: Identity): Found<undefined> {
  const seconds = Math.round(Math.abs(aheadMs) / 1000)
  if (Math.abs(aheadMs) >= awsClockSkewMs) {
    throw new Trouble(`the clock of this machine differs by ${seconds} s from that of AWS`, 'set it: AWS refuses what a wrong clock signs')
  }
  return { said: `differs by ${seconds} s from that of AWS`, value: undefined }
}

async function checkStack(stack: Stack, { stackName }: Deployment): Promise<Found<StackState>> {
  const state = await stack.look()
  const applying = 'run `tidemark aws apply`'
  if (!state || isEmpty(state)) throw new Trouble(`there is no stack ${stackName}`, applying)
  if (!state.isOurs) throw new Trouble(`the stack ${stackName} is none of ours`, 'look whose it is, or choose another root')
  if (isBusy(state)) throw new Trouble(`${stackName} is being changed (${state.status})`, 'wait, and look again')
  if (/FAILED/.test(state.status))
    throw new Trouble(`${stackName} is ${state.status}: ${state.reason ?? 'no reason given'}`, `${applying} again`)
  return { said: `${stackName} is ${state.status}`, value: state }
}

async function checkEndpoint(iot: Iot, configured: string | undefined): Promise<Found<string>> {
  const value = await iot.endpoint()
  if (value === undefined) throw new Trouble('AWS names no endpoint', 'is AWS IoT Core offered in this region?')
  if (configured !== undefined && configured.toLowerCase() !== value.toLowerCase()) {
    throw new Trouble(
      `the endpoint of this account is ${value}, not ${configured}`,
      'correct awsIot.endpoint in the configuration of the server',
    )
  }
  return { said: value, value }
}

interface Looked {
  readonly deployment: Deployment
  readonly identity: Identity
  readonly state: StackState
  readonly endpoint: string | undefined
}

/** What the exchange does for a client, for one that may do nothing but connect. */
async function checkRole(report: Report, { deployment, identity, state, endpoint }: Looked): Promise<void> {
  const server = state.parameters['ServerPrincipal'] ?? ''
  if (server !== '' && !isSame(identity.arn, server)) {
    return report.skip('role', `not tried: only ${server} may assume it, and these credentials are ${identity.arn}`)
  }
  const credentials = await report.check('role', () => checkAssume(deployment, state, 'ClientRoleArn', nobody(deployment)))
  await report.check('bridge', () => checkAssume(deployment, state, 'BridgeRoleArn', bridgePolicy(deployment)))
  if (credentials && endpoint !== undefined) await report.check('connection', () => checkUpgrade(deployment, endpoint, credentials))
}

/** A client that may do nothing but connect. */
function nobody(deployment: Deployment): SessionPolicy {
  const clientId = `${deployment.root}.doctor.${randomBytes(6).toString('hex')}`
  return sessionPolicy(deployment, { grants: Grants.parse([]), clientId, client: encodeName(clientId) })
}

async function checkAssume(
  { region }: Deployment,
  { outputs }: StackState,
  output: 'ClientRoleArn' | 'BridgeRoleArn',
  policy: SessionPolicy,
): Promise<Found<AwsCredentials>> {
  const roleArn = outputs[output]
  if (roleArn === undefined) throw new Trouble(`the stack does not say what its ${output} is`, 'run `tidemark aws apply` again')
  const sts = await Sts.open({ region, roleArn })
  try {
    return { said: `${roleArn} can be assumed`, value: await sts.assume({ sessionName: 'tidemark-doctor', policy }) }
  } finally {
    sts.close()
  }
}

/** One upgrade and no more: a 403 comes again for as long as its reason stays. */
async function checkUpgrade({ region }: Deployment, endpoint: string, credentials: AwsCredentials): Promise<Found<undefined>> {
  const url = presignedUrl({ endpoint, region, credentials, nowMs: Date.now(), expiresInS: 60 })
  const socket = new WebSocket(url, 'mqtt', { handshakeTimeout: stepTimeoutMs })
  try {
    const status = await new Promise<number>((resolve, reject) => {
      socket.on('open', () => resolve(101))
      socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
      socket.on('error', (error) => reject(unreachable(`https://${endpoint}/`, error)))
    })
    if (status === 101) return { said: `${endpoint} opens a connection`, value: undefined }
    if (status === 403) {
      throw new Trouble(
        `${endpoint} answers 403 to a signed URL`,
        'STS gave these credentials a moment ago, so look at the clock, at whether the endpoint is of this region, and at policies of the organisation that deny iot:Connect',
      )
    }
    throw new Trouble(`${endpoint} answers ${status} to a WebSocket`, 'is this the endpoint of AWS, or is there a proxy in between?')
  } finally {
    socket.terminate()
  }
}

async function checkAuthorizer(
  report: Report,
  iot: Iot,
  { deployment, state, options }: Pick<Looked, 'deployment' | 'state'> & { readonly options: AwsDoctorOptions },
): Promise<void> {
  const { parameters } = state
  if (!hasAuthorizer(parameters)) return report.skip('authorizer', 'the stack has none: apply with --jwks and --issuer makes one')
  const name = authorizerNameOf(deployment)
  const pems = await report.check('authorizer', async () => {
    const found = await iot.authorizer(name)
    if (!found) throw new Trouble(`there is no authorizer ${name}`, 'somebody deleted it: run `tidemark aws destroy` and `apply`')
    if (found.status !== 'ACTIVE')
      throw new Trouble(`${name} is ${found.status ?? 'without a status'}: nobody gets in by it`, 'run `tidemark aws enable`')
    if (found.signingDisabled === true)
      throw new Trouble(`${name} does not check signatures`, 'destroy and apply it: AWS cannot switch that on')
    return {
      said: `${name} is ACTIVE, its token is called ${found.tokenKeyName}`,
      value: Object.values(found.tokenSigningPublicKeys ?? {}),
    }
  })
  if (!pems) return
  await report.check('keys', () => checkKeys(parameters, pems, options.jwks))
  const { token } = options
  if (token === undefined) return report.skip('test', 'the authorizer was shown no token: --token with the access_token of POST /v1/token')
  await report.check('test', async () => {
    const { isAuthenticated, policies, disconnectAfterS } = await iot.test(name, token)
    if (!isAuthenticated) throw new Trouble(`${name} refuses the token`, `its log says why: /aws/lambda/${name}`)
    return { said: `${name} admits the token, with ${policies} policies, for ${disconnectAfterS} s`, value: undefined }
  })
}

/** Authorizer, function and server must have the same keys. */
async function checkKeys(
  parameters: StackState['parameters'],
  pems: readonly string[],
  jwks: string | undefined,
): Promise<Found<undefined>> {
  const own = [parameters['TokenSigningKey'], parameters['SecondTokenSigningKey']].flatMap((pem) => (pem ? [bare(pem)] : []))
  const held = pems.map(bare)
  if (own.some((pem) => !held.includes(pem)) || held.some((pem) => !own.includes(pem)))
    throw new Trouble('the authorizer has other keys than its function', 'run `tidemark aws keys`')
  const kids = kidsOf(parameters['BrokerJwks'] ?? '')
  if (jwks === undefined) return { said: `${kids.length}, not compared with those of the server: --jwks`, value: undefined }
  const published = kidsOf((await keyParameters(jwks)).BrokerJwks)
  const missing = published.filter((kid) => !kids.includes(kid))
  if (missing.length > 0)
    throw new Trouble(
      `the authorizer does not know the key ${missing.join(', ')} of the server`,
      'run `tidemark aws keys`: tokens of that key are refused',
    )
  const old = kids.filter((kid) => !published.includes(kid))
  if (old.length > 0)
    throw new Trouble(
      `the authorizer still has the key ${old.join(', ')}, which the server does not publish any more`,
      'run `tidemark aws keys`',
    )
  return { said: `${kids.length}, those of the server`, value: undefined }
}

function bare(pem: string): string {
  return pem.replaceAll(/-----[^-]+-----|\s/g, '')
}

/** STS calls a role in use otherwise than IAM does. */
function isSame(caller: string, principal: string): boolean {
  const used = /^arn:([^:]+):sts::(\d+):assumed-role\/([^/]+)\//.exec(caller)
  if (!used) return caller === principal
  const [, partition, account, name] = used
  const role = /^arn:([^:]+):iam::(\d+):role\/(?:.*\/)?([^/]+)$/.exec(principal)
  return role !== null && role[1] === partition && role[2] === account && role[3] === name
}
