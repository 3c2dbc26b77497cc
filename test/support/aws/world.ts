/** AWS as the tests have it: STS and the device gateway, with a server whose connections they carry. */
import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { authorize } from '../../../auth/aws-iot/authorizer.ts'
import type { AwsIotConfig } from '../../../auth/aws-iot/config.ts'
import type { Settings } from '../../../cli/config.ts'
import type { ServerOverrides } from '../../../cli/server.ts'
import { testServer, type TestServer } from '../server.ts'
import { waitMsMax, within } from '../waiting.ts'
import { DeviceGateway } from './device-gateway.ts'
import type { IamDocument } from './iam.ts'
import { account, region, StsStandIn } from './sts.ts'

export const awsCredentials = { accessKeyId: 'AKIASERVER', secretAccessKey: 'the secret of the server' }

const roleArn = `arn:aws:iam::${account}:role/acme-client`
const authorizerName = 'acme-authorizer'
const bridgeRoleArn = `arn:aws:iam::${account}:role/acme-bridge`

function fence(statements: Readonly<Record<string, readonly string[]>>): IamDocument {
  const arn = (name: string): string => `arn:aws:iot:${region}:${account}:${name}`
  const allowed = Object.entries(statements).map(([Action, names]) => ({ Effect: 'Allow', Action, Resource: names.map(arn) }))
  return { Version: '2012-10-17', Statement: allowed }
}

const clientFence = fence({
  'iot:Connect': ['client/acme.*'],
  'iot:Publish': ['topic/acme/*'],
  'iot:Receive': ['topic/acme/*'],
  'iot:Subscribe': ['topicfilter/acme/*'],
})

const bridgeFence = fence({
  'iot:Connect': ['client/svc.acme.*'],
  'iot:Publish': ['topic/acme/*'],
  'iot:Receive': ['topic/acme/*', 'topic/$aws/events/*'],
  'iot:Subscribe': ['topicfilter/${$}share/tidemark/acme/*', 'topicfilter/${$}aws/events/*'],
})

const serverPolicy = fence({ 'iot:DeleteConnection': ['client/acme.*'] })

/** What token exchange answers, as far as a device needs it. */
export interface Admitted {
  readonly access_token: string
  readonly client_id: string
  readonly mqtt_url: string
  readonly scope: string
  readonly mqtt: { readonly client_id: string; readonly root: string }
}

export class AwsWorld {
  readonly sts: StsStandIn
  readonly gateway: DeviceGateway
  /** What the server itself may do; the test may change it. */
  readonly serverPolicies: IamDocument[]
  readonly #devices = new Set<MqttClient>()

  static async start(): Promise<AwsWorld> {
    const serverPolicies = [serverPolicy]
    const sts = await StsStandIn.start({
      roles: {
        [roleArn]: { trust: ['server'], policies: [clientFence] },
        [bridgeRoleArn]: { trust: ['server'], policies: [bridgeFence] },
      },
      callers: { [awsCredentials.accessKeyId]: { secret: awsCredentials.secretAccessKey, arn: 'server', policies: serverPolicies } },
    })
    return new AwsWorld(sts, await DeviceGateway.start(sts), serverPolicies)
  }

  private constructor(sts: StsStandIn, gateway: DeviceGateway, serverPolicies: IamDocument[]) {
    this.sts = sts
    this.serverPolicies = serverPolicies
    this.gateway = gateway
  }

  get settings(): Settings {
    const { gateway, sts } = this
    return {
      engine: 'aws-iot',
      awsIot: { root: 'acme', region, account, endpoint: `ws://${gateway.host}`, roleArn, bridgeRoleArn, stsUrl: sts.url },
    }
  }

  /** A server in this process, whose bridge stands. */
  async server(settings: Settings = {}, overrides: ServerOverrides = {}): Promise<TestServer> {
    const server = await testServer({ settings: { ...this.settings, ...settings }, overrides: { awsCredentials, ...overrides } })
    await this.bridged(settings.awsIot?.ingest === 'sqs' ? 0 : 2)
    return server
  }

  /** Settings with which the custom authorizer admits clients in place of their role. */
  get settingsWithAuthorizer(): Settings {
    const { settings } = this
    const { roleArn: _roleArn, ...awsIot } = settings.awsIot as AwsIotConfig
    return { ...settings, awsIot: { ...awsIot, authorizer: authorizerName } }
  }

  /** Ours, with the keys of the server, which must stand. */
  async installAuthorizer(httpUrl: string): Promise<void> {
    const { keys } = (await (await fetch(`${httpUrl}/.well-known/jwks.json`)).json()) as { keys: (JsonWebKey & { kid: string })[] }
    const known = new Map(keys.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: 'jwk' })]))
    const options = { root: 'acme', region, account, issuer: httpUrl, audience: 'tidemark', keys: known }
    this.gateway.authorizers.set(authorizerName, {
      tokenKeyName: 'token',
      signingKeys: [...known.values()],
      ask: async (event) => (await authorize(event, options, this.gateway.now())).answer,
    })
  }

  /** Resolves when all connections of the bridge stand and have their filters. */
  async bridged(workersWanted = 2, timeoutMs = waitMsMax): Promise<void> {
    const isThere = (): boolean => {
      const [workers, lanes] = [this.gateway.connected('svc.acme.bridge-in-'), this.gateway.connected('svc.acme.bridge-out-')]
      return (
        workers.length === workersWanted && lanes.length === 2 && workers.every((worker) => this.gateway.filtersOf(worker).length === 4)
      )
    }
    await within(this.gateway.when(isThere), 'the bridge', timeoutMs)
  }

  async admitted(httpUrl: string, token: string, clientId: string, scope = ''): Promise<Admitted> {
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      client_id: clientId,
      scope,
    }
    const answer = await fetch(`${httpUrl}/v1/token`, { method: 'POST', body: new URLSearchParams(form) })
    if (answer.status !== 200) throw new Error(await answer.text())
    return (await answer.json()) as Admitted
  }

  /** A connected device; it ends with the world. */
  async device({ mqtt_url: url, mqtt }: Admitted, options: IClientOptions = {}): Promise<MqttClient> {
    const device = connect(url, { clientId: mqtt.client_id, protocolVersion: 4, reconnectPeriod: 0, resubscribe: false, ...options })
    this.#devices.add(device)
    device.on('error', () => {}) // `close` comes behind it.
    await within(
      new Promise<void>((resolve, reject) => {
        device.once('connect', () => resolve())
        device.once('close', () => reject(new Error('closed before CONNACK')))
      }),
      'CONNACK',
    )
    return device
  }

  /** Why the connection of a device that does this is closed, as the stand-in says. */
  async closedBy(admitted: Admitted, act: (device: MqttClient) => void): Promise<string> {
    const device = await this.device(admitted)
    const closed = new Promise<void>((resolve) => device.once('close', () => resolve()))
    act(device)
    await within(closed, 'the end of the connection')
    return this.gateway.closings.at(-1) ?? ''
  }

  async close(): Promise<void> {
    for (const device of this.#devices) device.end(true)
    await this.gateway.close()
    await this.sts.close()
  }
}
