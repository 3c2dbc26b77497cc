/** AWS's quotas: what the stand-in makes of those who are above them, and that bridge and SDK stay below or come again. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { MqttClient } from 'mqtt'
import { generate, type Packet } from 'mqtt-packet'
import { WebSocket } from 'ws'
import { connect, type Client } from '../../../client/index.ts'
import { AwsConnection } from '../../../bridge/aws-iot/connection.ts'
import { awsRetryMsMin } from '../../../seams/limits.ts'
import { silentLogger } from '../../../seams/logger.ts'
import { AwsWorld, type Admitted } from '../../support/aws/world.ts'
import type { TestServer } from '../../support/server.ts'
import { Inbox, within } from '../../support/waiting.ts'
import { appended, Device, entriesOf } from './support.ts'

describe("AWS IoT Core's quotas", function () {
  this.timeout(60_000)
  let world: AwsWorld
  let server: TestServer
  let alice: Admitted
  const clients: Client[] = []

  beforeEach(async () => {
    world = await AwsWorld.start()
    server = await world.server()
    alice = await world.admitted(server.urls.http, await server.token('alice'), 'phone')
  })
  afterEach(async () => {
    for (const one of clients.splice(0)) await one.close()
    await server?.stop()
    await world?.close()
  })

  const closedBy = (act: (device: MqttClient) => void): Promise<string> => world.closedBy(alice, act)

  function client(): Client {
    const made = connect({ url: server.urls.http, name: 'page', getToken: () => server.token('alice'), onWarning: () => {} })
    clients.push(made)
    return made
  }

  it('[P-20.2] [P-13.3] of topics that AWS takes those up to 220 bytes and 6 levels below the root are in the log, and longer ones hold up nothing', async () => {
    const device = await world.device(alice)
    // 7 slashes, and characters of three bytes each.
    const prefix = 'acme/users/alice/a/b/c/'
    const [longest, kept] = [`${prefix}d/${'日'.repeat(77)}`, `${prefix}${'日'.repeat(67)}x`]
    expect([longest, kept].map((topic) => Buffer.byteLength(topic))).to.deep.equal([256, 'acme/'.length + 220])
    await device.publishAsync(longest, 'acknowledged by AWS', { qos: 1 })
    await device.publishAsync(kept, 'x', { qos: 1 })
    await device.publishAsync('acme/users/alice/x', Buffer.alloc(131_072), { qos: 0 })
    await device.publishAsync('acme/users/alice/x', 'still there', { qos: 1 })
    await within(appended(server, 'users/alice', 2), 'two of three at QoS 1')
    const topics = (await entriesOf(server, 'users/alice')).map(({ topic }) => topic)
    expect(topics).to.have.members([kept.slice('acme/'.length), 'users/alice/x'])
    expect(await metric(server, 'tidemark_aws_refused_messages')).to.equal(1)
    expect(await closedBy((other) => other.publish(`${longest}x`, 'x'))).to.match(/too long/)
  })

  it('50 subscriptions are kept, and the connection ends with one more', async () => {
    const reason = await closedBy((device) => {
      for (let at = 0; at < 56; at += 8) {
        const filters = Array.from({ length: Math.min(8, 51 - at) }, (_, n) => `acme/users/alice/${at + n}`)
        if (at < 48) device.subscribe(filters)
        else void device.subscribeAsync(filters.slice(0, 2)).then(() => device.subscribe(filters.slice(2)))
      }
    })
    expect(reason).to.match(/too many subscriptions/)
  })

  it('[P-20.13] the SDK holds no more than 50 subscriptions, and goes on', async () => {
    const stream = client().stream('users/alice', { filter: 'notes/#' })
    const seen = new Inbox<unknown>()
    const reading = (async () => {
      for await (const { data } of stream.entries({ from: 'earliest' })) seen.add(data)
    })()
    await stream.publish('notes/1', 1)
    await seen.take((data) => data === 1, 'the entry')
    expect(world.gateway.connected('acme.').flatMap((name) => world.gateway.filtersOf(name))).to.have.length.below(50)
    await clients.pop()?.close()
    await reading.catch(() => {})
  })

  for (const [what, clientId] of [
    ['of 129 bytes', 'x'.repeat(129)],
    ['that begins with $', '$acme.alice.phone'],
  ] as const) {
    it(`a client id ${what} is closed before CONNACK`, async () => {
      const failed = await world.device(alice, { clientId }).catch((error: unknown) => String(error))
      expect(failed).to.match(/closed before CONNACK/)
      expect(world.gateway.closings.at(-1)).to.match(/client id/)
    })
  }

  it('a packet before CONNECT ends the connection', async () => {
    const socket = new WebSocket(alice.mqtt_url, 'mqtt')
    await once(socket, 'open')
    const subscribe = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'acme/users/alice/#', qos: 1 }] } satisfies Packet
    socket.send(generate(subscribe))
    await within(once(socket, 'close'), 'the end of the connection')
    expect(world.gateway.closings.at(-1)).to.match(/subscribe at the wrong time/)
  })

  it('more messages in a second than AWS takes are discarded: no PUBACK, and in no log', async () => {
    world.gateway.switches.perSecondMax = 20
    const device = await world.device(alice)
    const acknowledged: number[] = []
    for (let n = 0; n < 60; n++)
      device.publish('acme/users/alice/n', String(n), { qos: 1 }, (error) => void (error ?? acknowledged.push(n)))
    await within(
      world.gateway.when(() => world.gateway.discarded > 0 && acknowledged.length > 0),
      'what is discarded',
    )
    device.end(true)
    await within(
      world.gateway.when(() => world.gateway.connected('acme.').length === 0),
      'the end',
    )
    expect(acknowledged).to.have.length.below(60)
    const taken = world.gateway.published.filter(({ topic }) => topic === 'acme/users/alice/n').map(({ payload }) => Number(payload))
    expect(taken).to.include.members(acknowledged).and.have.length.below(60)
  })

  it('[P-20.12] the bridge stays below 100 messages a second of each connection, however much is put over HTTP', async () => {
    world.gateway.switches.perSecondMax = 100
    const device = await Device.open(world, server, 'bob')
    await device.subscribe('sync/users/bob/#')
    const headers = { authorization: `Bearer ${await server.token('bob')}`, 'content-type': 'application/json' }
    const put = (n: number): Promise<Response> =>
      fetch(`${server.urls.http}/v1/streams/users/bob/entries`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ topic: `n/${n}`, id: `many-${n}`, data: n }),
      })
    await Promise.all(Array.from({ length: 120 }, (_, n) => put(n)))
    await device.inbox.until(() => device.inbox.all.filter(({ topic }) => topic.startsWith('acme/sync/')).length >= 120, 'all envelopes')
    expect(world.gateway.discarded).to.equal(0)
  })

  it('[P-20.11] [P-20.14] who is refused for coming twice in a second comes again: the bridge and the SDK', async () => {
    const stream = client().stream('users/alice')
    await stream.publish('n', 1)
    world.gateway.switches.connectEveryMs = 1_000
    world.gateway.cut('')
    await within(
      world.gateway.when(() => world.gateway.closings.some((reason) => reason.endsWith('too soon after the last'))),
      'a CONNECT that is refused',
    )
    expect((await within(stream.publish('n', 2), 'the put', 30_000)).pos).to.match(/\.2\./)
    await within(
      world.gateway.when(() => world.gateway.connected('svc.').length === 4),
      'the whole bridge',
      30_000,
    )
  })

  it('[P-20.11] bridge and SDK say a keep-alive that AWS leaves as it is', async () => {
    await client().stream('users/alice').publish('n', 1)
    const seconds = [...world.gateway.keepalives].filter(([name]) => name !== alice.mqtt.client_id)
    expect(seconds.filter(([name]) => name.startsWith('svc.'))).to.have.length(4)
    expect(seconds).to.have.length(5)
    for (const [name, keepalive] of seconds) expect(keepalive, name).to.be.within(30, 1_200)
  })

  it('[P-20.2] a bridge whose sessions AWS has forgotten subscribes again', async () => {
    await server.stop()
    world.gateway.expire('svc.')
    await server.restart()
    await world.bridged()
    const device = await world.device(alice)
    await device.publishAsync('acme/users/alice/new', 'x', { qos: 1 })
    await within(appended(server, 'users/alice', 1), 'what is new')
  })

  it('[P-20.2] each member of the shared subscription gets its part', async () => {
    const taken = new Map<string, number>()
    world.gateway.switches.lose = ({ qos }, clientId) => {
      if (qos === 1 && clientId.startsWith('svc.acme.bridge-in-')) taken.set(clientId, (taken.get(clientId) ?? 0) + 1)
      return false
    }
    const device = await world.device(alice)
    for (let n = 0; n < 10; n++) await device.publishAsync('acme/users/alice/n', String(n), { qos: 1 })
    await within(appended(server, 'users/alice', 10), 'all')
    expect([...taken.keys()]).to.have.length(2)
    expect([...taken.values()].reduce((sum, count) => sum + count)).to.equal(10)
  })
})

async function metric(server: TestServer, name: string): Promise<number> {
  const text = await (await fetch(`${server.urls.http}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1])
}

describe('an endpoint that answers 403 for ever', function () {
  this.timeout(60_000)
  let door: Server
  const upgradesMs: number[] = []

  before(async () => {
    door = createServer()
    door.on('upgrade', (_request, socket) => {
      upgradesMs.push(performance.now())
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      door.emit('came')
    })
    door.listen(0, '127.0.0.1')
    await once(door, 'listening')
  })
  after(() => door?.close())

  it('[P-20.11] is tried with pauses that grow, and a fresh URL each time', async () => {
    const urls: string[] = []
    const connection = new AwsConnection(
      {
        clientId: 'svc.acme.bridge-in-1',
        clean: true,
        logger: silentLogger,
        url: () => {
          urls.push(`ws://127.0.0.1:${(door.address() as AddressInfo).port}/mqtt?${urls.length}`)
          return Promise.resolve(urls.at(-1) as string)
        },
      },
      { opened: () => Promise.resolve(), received: () => {}, leaving: () => Promise.resolve(), lost: () => {} },
    )
    const startedMs = performance.now()
    connection.start()
    while (upgradesMs.length < 4) await once(door, 'came')
    await connection.close()
    // Doubled each time, and half of that at least.
    const least = [1, 2, 3].map((failures) => (awsRetryMsMin * 2 ** failures) / 2)
    for (const [at, ms] of least.entries())
      expect((upgradesMs[at + 1] as number) - (upgradesMs[at] as number), `${at}`).to.be.at.least(ms - 5)
    expect(performance.now() - startedMs).to.be.at.least(least.reduce((sum, ms) => sum + ms) - 15)
    expect(new Set(urls).size).to.equal(urls.length)
    expect(connection.isOpen).to.equal(false)
  })
})
