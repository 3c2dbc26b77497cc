/** AWS's own clients, which nobody here wrote, against the stand-in of AWS IoT Core and the bridge behind it. */
import { expect } from 'chai'
import { AwsWorld } from '../support/aws/world.ts'
import { deviceSdkModules, installDeviceSdk } from '../support/aws/device-sdk.ts'
import { region } from '../support/aws/sts.ts'
import { TlsFront } from '../support/aws/tls.ts'
import type { TestServer } from '../support/server.ts'
import { need, skipLoudly } from '../support/skipping.ts'
import { awsIotSdk, needs, programOf } from '../support/venv.ts'
import { entriesOf } from '../bridge/aws-iot/support.ts'
import { endPrograms, Program } from './tools.ts'

const script = (name: string): string => new URL(name, import.meta.url).pathname

interface Found {
  readonly granted: readonly number[]
  readonly messages: readonly (readonly [string, string])[]
  readonly maximumQos?: number
  readonly refused?: number
}

describe("AWS's own device SDKs", function () {
  // The first time they are installed.
  this.timeout(300_000)
  let world: AwsWorld
  let server: TestServer
  let tls: TlsFront

  before(async function () {
    need(this, 'openssl', 'apt-get install openssl')
    world = await AwsWorld.start()
    const { awsIot } = world.settings
    if (!awsIot) expect.fail('no configuration')
    server = await world.server({ awsIot: { ...awsIot, giveCredentials: true } })
    tls = await TlsFront.start(Number(world.gateway.host.split(':')[1]))
  })
  afterEach(endPrograms)
  after(async () => {
    await tls?.close()
    await server?.stop()
    await world?.close()
  })

  /** What a device is told: the credentials that token exchange gives, so that it signs by itself. */
  async function asked(name: string): Promise<Readonly<Record<string, unknown>>> {
    const admitted = await world.admitted(server.urls.http, await server.token('alice'), name)
    const { credentials } = admitted.mqtt as unknown as { readonly credentials: object }
    const topic = `acme/users/alice/${name}`
    const [port, clientId, denied] = [tls.port, admitted.mqtt.client_id, 'acme/users/bob/x']
    return { port, clientId, region, certificate: tls.certificate, credentials, topic, envelopes: `acme/sync/users/alice/${name}`, denied }
  }

  /** Subscribed, published plainly, and got both what it had published and the envelope of it, which stands in the log. */
  async function judged(name: string, program: Program): Promise<Found> {
    const found = JSON.parse((await program.done(60_000)).at(-1) as string) as Found
    const entries = (await entriesOf(server, 'users/alice')).filter(({ topic }) => topic === `users/alice/${name}`)
    expect(entries).to.have.length(1)
    const [entry] = entries
    expect(entry).to.include({ text: 'hello', from: 'alice', client: '~mqtt' })
    expect(found.granted.slice(0, 2)).to.deep.equal([1, 1])
    const plain = found.messages.filter(([topic]) => topic === `acme/users/alice/${name}`)
    expect(plain).to.deep.equal([[`acme/users/alice/${name}`, 'hello']])
    const [envelope] = found.messages.filter(([topic]) => topic === `acme/sync/users/alice/${name}`)
    expect((JSON.parse(envelope?.[1] ?? '{}') as { pos?: string }).pos).to.equal(entry?.pos)
    expect(world.gateway.refusals).to.deep.equal([])
    return found
  }

  async function inNode(name: string, version: number): Promise<Found> {
    const words = [`NODE_PATH=${deviceSdkModules}`, process.execPath, script('aws-device-sdk.cjs')]
    return await judged(name, new Program('env', [...words, JSON.stringify({ ...(await asked(name)), version })]))
  }

  it('[P-20.2] [P-20.7] aws-iot-device-sdk-v2 speaks MQTT 3.1.1: it signs, publishes plainly, and gets its own message and the envelope', async function () {
    const problem = await installDeviceSdk()
    if (problem !== undefined) skipLoudly(this, `aws-iot-device-sdk-v2 cannot be installed: ${problem}`)
    await inNode('three', 4)
  })

  it('[P-20.2] [P-20.7] the same with MQTT 5, which hears why it is denied and stays connected', async function () {
    const problem = await installDeviceSdk()
    if (problem !== undefined) skipLoudly(this, `aws-iot-device-sdk-v2 cannot be installed: ${problem}`)
    const { granted, maximumQos, refused } = await inNode('five', 5)
    expect({ denied: granted[2], maximumQos, refused }).to.deep.equal({ denied: 135, maximumQos: 1, refused: 135 })
  })

  it('[P-20.2] [P-20.7] awsiotsdk of Python', async function () {
    await needs(this, awsIotSdk)
    const program = new Program(programOf(awsIotSdk, 'python'), [script('python/aws_device_sdk.py'), JSON.stringify(await asked('python'))])
    await judged('python', program)
  })

  it('[P-10.32] is let in as the client that it was admitted as, and as no other', async function () {
    await needs(this, awsIotSdk)
    const others = JSON.stringify({ ...(await asked('python')), clientId: 'acme.bob.python' })
    const program = new Program(programOf(awsIotSdk, 'python'), [script('python/aws_device_sdk.py'), others])
    await program.lines.until(() => program.lines.all.some((line) => /AWS_ERROR|AwsCrtError/.test(line)), 'the refusal', 60_000)
    expect(world.gateway.closings).to.include('acme.bob.python: Connect is denied')
    await program.kill('SIGKILL')
  })
})
