/** MQTT with AWS IoT Core, by the contract of all transports as far as it applies, and by what AWS does on top. */
import { expect } from 'chai'
import { awsTransport } from '../../client/transport/aws.ts'
import { brokerTransport } from '../../client/transport/broker.ts'
import { mqttTransport } from '../../client/transport/mqtt.ts'
import type { DeviceMessage } from '../support/aws/device-connection.ts'
import { AwsWorld } from '../support/aws/world.ts'
import type { TestServer } from '../support/server.ts'
import { credentialFrom, failureOf, Heard, surroundings } from './rig.ts'
import { transportContract } from './transport-contract.ts'

const worlds: AwsWorld[] = []

/** Grants without inbox and outbox, so that two spaces fit into one policy. */
async function awsServer(): Promise<TestServer> {
  const world = await AwsWorld.start()
  worlds.push(world)
  return world.server({}, { claimsToGrants: grantsOf })
}

function grantsOf(uid: string, claims: Readonly<Record<string, unknown>>): readonly string[] {
  const { spaces = {}, grants = [] } = claims as { readonly spaces?: Record<string, string>; readonly grants?: readonly string[] }
  const shared = Object.entries(spaces).flatMap(([id, may]) => [
    `subscribe:spaces/${id}/#`,
    `publish:spaces/${id}/#`,
    ...(may === 'own' ? [`own:spaces/${id}/#`] : []),
  ])
  return [`publish:users/${uid}/#`, `subscribe:users/${uid}/#`, ...shared, ...grants]
}

const noProxy = 'URLs are signed for the host that is connected to, so that no proxy of the test can stand in between; cuts are tried below'

transportContract('aws-iot', awsTransport, {
  server: awsServer,
  // Policies end up to two seconds before their token.
  shortLifeMs: 4_000,
  differs: {
    '[P-3.2] shows ephemeral messages, once': 'QoS 0 reaches plain subscribers only',
    '[P-10.23] a session that is not renewed ends with its token': 'AWS keeps the connection; the policy denies what is done over it',
    '[P-10.25] a revoked token ends the session as unauthorized':
      'AWS keeps the connection until the token ends; HTTP and puts refuse at once',
    '[P-12.10] a token that the server does not accept is told from a server that is not there': 'AWS refuses without a word',
    '[P-8.8] a connection that is cut says so once, with every put that has no answer': noProxy,
    '[P-8.8] a server that does not answer any more is given up after the time-outs': noProxy,
    '[P-6.15] a slow network changes nothing but the time, and the clock estimate says how far it may be off': `${noProxy}; there is no clock estimate`,
    '[P-7.11] opening that is given up ends at once and leaves nothing behind': noProxy,
  },
})

after(async () => {
  for (const world of worlds.splice(0)) await world.close()
})

const board = 'spaces/board-7/#'
const spaces = { 'board-7': 'write' } as const

describe('AWS IoT Core and the SDK', function () {
  this.timeout(60_000)
  let world: AwsWorld
  let server: TestServer
  const open: Heard[] = []

  beforeEach(async () => {
    world = await AwsWorld.start()
    server = await world.server({}, { claimsToGrants: grantsOf })
  })
  afterEach(async () => {
    for (const heard of open.splice(0)) heard.session.close()
    await server?.stop()
    await world?.close()
  })

  async function session(user: string, using = surroundings(), transport = awsTransport(using)): Promise<Heard> {
    const heard = await Heard.open(transport, await credentialFrom(server.urls.http, await server.token(user, { spaces })))
    open.push(heard)
    return heard
  }

  async function fill(writer: Heard, count: number): Promise<void> {
    for (let n = 0; n < count; n++)
      expect(await writer.session.put('spaces/board-7/n', { id: `fill-${n}`, data: n })).to.have.property('pos')
  }

  for (const [name, change] of [
    ['loses every third message', { lose: isThird }],
    ['doubles every message', { duplicate: true }],
    ['reorders', { reorder: 5 }],
    ['begins late', { settleMs: 300 }],
  ] as const) {
    it(`[P-20.14] where AWS ${name}, every entry is told once and in order`, async () => {
      Object.assign(world.gateway.switches, change)
      const [reader, writer] = [
        await session('alice', surroundings({ settleMs: name === 'begins late' ? 600 : 3_600_000 })),
        await session('bob'),
      ]
      await reader.follow(board)
      await reader.follow('spaces/board-7/+')
      await fill(writer, 25)
      for (const filter of [board, 'spaces/board-7/+']) {
        await reader.count(filter, 25)
        expect(
          reader.entries(filter).map(({ data }) => data),
          filter,
        ).to.deep.equal(Array.from({ length: 25 }, (_, n) => n))
      }
    })
  }

  it('[P-20.14] the only entry, from before AWS delivers to a fresh subscription, is told without another one', async () => {
    world.gateway.switches.settleMs = 3_600_000
    const [reader, writer] = [
      await session('alice', surroundings({ settleMs: 500 })),
      await session('bob', surroundings({ putTimeoutMs: 1_000 })),
    ]
    await reader.follow(board)
    // Its own answers do not come either.
    await failureOf(writer.session.put('spaces/board-7/early', { id: 'early-1', data: 1 }))
    expect((await reader.count(board, 1)).map(({ id }) => id)).to.deep.equal(['early-1'])
  })

  it('[P-20.14] the last entry, lost on its way, is told at the next round trip', async () => {
    const [reader, writer] = [await session('alice'), await session('bob')]
    await reader.follow(board)
    world.gateway.switches.lose = ({ topic }) => topic.startsWith('acme/sync/')
    await fill(writer, 1)
    expect(reader.entries(board)).to.deep.equal([])
    await reader.session.probe()
    expect(reader.entries(board).map(({ data }) => data)).to.deep.equal([0])
  })

  it('[P-20.3] a put or an answer that is lost is sent again, and appended once', async () => {
    const writer = await session('bob', surroundings({ putTimeoutMs: 2_000 }))
    let lost = 0
    world.gateway.switches.lose = ({ topic }) => topic.startsWith('acme/reply/') && lost++ === 0
    const answer = await writer.session.put('spaces/board-7/x', { id: 'again-1', data: 1 })
    expect(answer).to.include({ id: 'again-1', duplicate: true })
    expect((await server.running.log.stream('spaces/board-7')).headSeq).to.equal(1)
  })

  it('[P-20.15] a session that AWS cuts says so once, with the put that has no answer', async () => {
    const writer = await session('bob')
    await writer.follow(board)
    world.gateway.switches.lose = ({ topic }) => topic.startsWith('acme/reply/')
    const put = failureOf(writer.session.put('spaces/board-7/cut', { id: 'cut-1', data: 1 }))
    world.gateway.cut('acme.bob.')
    expect((await put).code).to.equal('network')
    expect((await writer.closed())?.code).to.equal('network')
    expect(writer.told.all.filter(({ what }) => what === 'closed')).to.have.length(1)
  })

  it('[P-20.15] a second session that AWS cuts soon after its beginning puts the token in question', async () => {
    const transport = awsTransport(surroundings())
    const credential = await credentialFrom(server.urls.http, await server.token('bob', { spaces }))
    for (const code of ['network', 'token-expired']) {
      const heard = await Heard.open(transport, credential)
      await heard.follow(board)
      world.gateway.cut('acme.bob.')
      expect((await heard.closed())?.code).to.equal(code)
    }
  })

  it('[P-20.15] a filter that AWS closes the connection for is tried alone, then refused, and the others go on', async () => {
    const transport = awsTransport(surroundings())
    const credential = await credentialFrom(server.urls.http, await server.token('alice', { spaces }))
    if (!credential.aws) expect.fail('no AWS')
    // The token says more than the policy: that must not be, and must not end in a loop.
    const wide = { ...credential, aws: { ...credential.aws, scope: [...credential.aws.scope, 'subscribe:users/bob/#'] } }
    const filters = [board, 'users/bob/#', 'users/alice/#']
    for (const end of ['closed', 'closed', undefined] as const) {
      const heard = await Heard.open(transport, wide)
      for (const filter of filters) heard.session.follow(filter)
      if (end === 'closed') {
        expect((await heard.closed())?.code).to.equal('network')
        continue
      }
      await heard.refused('users/bob/#')
      await Promise.all([heard.at(board), heard.at('users/alice/#')])
      heard.session.close()
    }
    expect(world.gateway.denied).to.deep.equal(['acme/sync/users/bob/#', 'acme/sync/users/bob/#'])
  })

  it('[P-20.15] a filter that is denied by SUBACK is refused at once', async () => {
    world.gateway.switches.denySubscribe = 'suback'
    const credential = await credentialFrom(server.urls.http, await server.token('alice', { spaces }))
    if (!credential.aws) expect.fail('no AWS')
    const heard = await Heard.open(awsTransport(surroundings()), {
      ...credential,
      aws: { ...credential.aws, scope: [...credential.aws.scope, 'subscribe:users/bob/#'] },
    })
    open.push(heard)
    heard.session.follow('users/bob/#')
    await heard.refused('users/bob/#')
    await heard.follow(board)
  })

  it('[P-20.15] closed before CONNACK: the network first, then perhaps the token', async () => {
    const transport = awsTransport(surroundings())
    const credential = await credentialFrom(server.urls.http, await server.token('alice'))
    const broken = { ...credential, mqttUrl: credential.mqttUrl.replace(/Signature=..../, 'Signature=0000') }
    const codes: string[] = []
    for (let n = 0; n < 3; n++) codes.push((await failureOf(Heard.open(transport, broken))).code)
    expect(codes).to.deep.equal(['network', 'token-expired', 'token-expired'])
    expect(world.gateway.refusals, 'asked once only').to.have.length(1)
  })

  it('[P-20.13] is chosen by what token exchange answers', async () => {
    const transport = brokerTransport(surroundings())
    const heard = await session('alice', surroundings(), transport)
    expect([transport.kind, transport.putsInFlightMax]).to.deep.equal(['aws-iot', 1])
    await heard.follow('users/alice/#')
    expect(mqttTransport(surroundings()).putsInFlightMax).to.equal(Infinity)
  })
})

/** On every subscription that it matches. */
function isThird({ topic, payload }: DeviceMessage): boolean {
  return topic.startsWith('acme/sync/') && Number((JSON.parse(payload.toString()) as { readonly data?: number }).data) % 3 === 1
}
