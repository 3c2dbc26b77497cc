/** AWS IoT Core and STS before a server, by the tests' stand-ins: who is let in, and the vices that AWS has when it is told to. */
import { AwsWorld, awsCredentials } from '../../test/support/aws/world.ts'
import { between, pick, type Random } from '../random.ts'
import { tokenOf } from '../tokens.ts'
import { FaultProxy } from './proxy.ts'

export const root = 'acme'

/** How one client gets in. */
export interface Admitted {
  readonly url: string
  /** Of CONNECT. */
  readonly clientId: string
  /** What puts carry. */
  readonly token: string
}

const patienceMs = 15_000
const startMsMax = 60_000
const calm = { settleMs: 0, duplicate: false, reorder: 0, lose: () => false }

export class Aws {
  /** Between AWS and everybody: clients and the bridge. URLs are signed for it. */
  readonly proxy: FaultProxy
  readonly #world: AwsWorld

  static async open(): Promise<Aws> {
    const world = await AwsWorld.start()
    return new Aws(world, await FaultProxy.open('everybody to AWS', Number(world.gateway.host.split(':')[1])))
  }

  private constructor(world: AwsWorld, proxy: FaultProxy) {
    this.#world = world
    this.proxy = proxy
  }

  /** What a server's configuration says of it. */
  get settings(): Readonly<Record<string, unknown>> {
    const { engine, awsIot } = this.#world.settings
    return { engine, awsIot: { ...awsIot, endpoint: `ws://127.0.0.1:${this.proxy.port}` } }
  }

  /** The server's own credentials. */
  get environment(): Readonly<Record<string, string>> {
    return { AWS_ACCESS_KEY_ID: awsCredentials.accessKeyId, AWS_SECRET_ACCESS_KEY: awsCredentials.secretAccessKey }
  }

  /** Token exchange; rejects where the server is away. */
  async admitted(httpPort: number, user: string, name: string): Promise<Admitted> {
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: tokenOf(user),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      client_id: name,
    }
    const answer = await fetch(`http://127.0.0.1:${httpPort}/v1/token`, {
      method: 'POST',
      body: new URLSearchParams(form),
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(patienceMs),
    })
    if (answer.status !== 200) throw new Error(await answer.text())
    const {
      access_token: token,
      mqtt_url: url,
      mqtt,
    } = (await answer.json()) as {
      readonly access_token: string
      readonly mqtt_url: string
      readonly mqtt: { readonly client_id: string }
    }
    return { url, clientId: mqtt.client_id, token }
  }

  /** What AWS takes before the bridge has ever subscribed is for nobody [P-20.2]. */
  async bridged(): Promise<void> {
    await this.#world.bridged(2, startMsMax)
  }

  /** Closes connections of the bridge, or of clients; says whose. */
  cut(random: Random): string {
    const prefix = pick(random, ['svc.', `svc.${root}.bridge-in-`, `svc.${root}.bridge-out-`, `${root}.`])
    this.#world.gateway.cut(prefix)
    return `${prefix}*`
  }

  /** From now on until `behave`; says what. */
  misbehave(random: Random): string {
    const vices = {
      doubles: { duplicate: true },
      reorders: { reorder: 2 + Math.floor(random() * 7) },
      'doubles and reorders': { duplicate: true, reorder: 4 },
      'delivers late to fresh subscriptions': { settleMs: between(random, 100, 900) },
      // What is for the bridge at QoS 1 comes in the end: an hour of trying is not waited for.
      loses: { lose: (_message: unknown, clientId: string): boolean => !clientId.startsWith('svc.') && random() < 0.4 },
    } as const
    const name = pick(random, Object.keys(vices) as (keyof typeof vices)[])
    Object.assign(this.#world.gateway.switches, vices[name])
    return name
  }

  behave(): void {
    Object.assign(this.#world.gateway.switches, calm)
    this.#world.sts.failures.length = 0
  }

  /** STS says no to the next requests. */
  throttle(count: number): void {
    for (let n = 0; n < count; n++) this.#world.sts.failures.push({ status: 400, code: 'Throttling', message: 'Rate exceeded' })
  }

  async close(): Promise<void> {
    this.proxy.close()
    await this.#world.close()
  }
}
