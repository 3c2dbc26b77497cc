/** What the log has, as AWS IoT Core's subscribers get it. */
import { expect } from 'chai'
import { encodeFrame } from '../../../log/draft.ts'
import { AwsWorld } from '../../support/aws/world.ts'
import type { TestServer } from '../../support/server.ts'
import { Device, entriesOf } from './support.ts'

const atIntervalMs = 300

describe('what the log has, told to subscribers of AWS IoT Core', function () {
  this.timeout(60_000)
  let world: AwsWorld
  let server: TestServer

  beforeEach(async () => {
    world = await AwsWorld.start()
    server = await world.server({ limits: { atIntervalMs } })
  })
  afterEach(async () => {
    await server?.stop()
    await world?.close()
  })

  async function overHttp(topic: string, put: object, user = 'alice'): Promise<Response> {
    const [kind, id, ...levels] = topic.split('/')
    const authorization = `Bearer ${await server.token(user, { spaces: { b: 'own' } })}`
    return fetch(`${server.urls.http}/v1/streams/${kind}/${id}/entries`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ ...put, topic: levels.join('/') }),
    })
  }

  it('[P-20.7] every entry comes as an envelope with its position, whatever door it took', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.subscribe('sync/users/alice/#')
    await device.client.publishAsync('acme/users/alice/plain', 'p', { qos: 1 })
    const plain = await device.next('sync/users/alice/plain')
    await device.put('users/alice/put', { id: 'put-1', data: 2 })
    const put = await device.next('sync/users/alice/put')
    expect((await overHttp('users/alice/http', { id: 'http-1', data: 3 })).status).to.equal(201)
    const http = await device.next('sync/users/alice/http')
    const entries = await entriesOf(server, 'users/alice')
    const withoutHops = ({ hops: _hops, ...envelope }: Readonly<Record<string, unknown>>): object => envelope
    expect([plain, put, http].map(({ json }) => withoutHops(json))).to.deep.equal(entries.map((entry) => withoutHops({ ...entry })))
  })

  it('[P-20.8] plain subscribers get a copy of what was put, and none of what they had from AWS', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.subscribe('users/alice/#', 'sync/users/alice/#')
    await device.client.publishAsync('acme/users/alice/plain', 'p', { qos: 1 })
    await device.next('sync/users/alice/plain')
    await device.put('users/alice/put', { id: 'put-1', text: 'written' })
    const copy = await device.next('users/alice/put')
    expect([copy.text, copy.qos]).to.deep.equal(['written', 0])
    await device.next('sync/users/alice/put')
    expect(device.inbox.all.filter(({ topic }) => topic === 'acme/users/alice/plain')).to.have.length(1)
    // Our own copy came back to the bridge, too, and is no entry.
    await device.put('users/alice/last', { id: 'last-1', data: 1 })
    await device.next('sync/users/alice/last')
    expect((await entriesOf(server, 'users/alice')).map(({ topic }) => topic)).to.deep.equal([
      'users/alice/plain',
      'users/alice/put',
      'users/alice/last',
    ])
  })

  it('[P-20.8] a message between users comes to the inbox, plain and as an envelope', async () => {
    const [alice, bob] = [await Device.open(world, server, 'alice'), await Device.open(world, server, 'bob')]
    await bob.subscribe('inbox/bob/#', 'sync/inbox/bob/#')
    await alice.subscribe('outbox/alice/#')
    await alice.client.publishAsync('acme/outbox/alice/bob/hi', 'hello', { qos: 1 })
    expect((await bob.next('inbox/bob/alice/hi')).text).to.equal('hello')
    expect((await bob.next('sync/inbox/bob/alice/hi')).json).to.include({ from: 'alice', text: 'hello' })
    await alice.next('outbox/alice/bob/hi')
    expect(alice.inbox.all).to.have.length(1)
  })

  it('[P-20.9] entries of one commit on one topic share a message, none larger than AWS takes', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.subscribe('sync/users/alice/#')
    const text = 'x'.repeat(40_000)
    const { log } = server.running
    const topic = 'users/alice/many'
    const one = { topic, ...encodeFrame(topic, Buffer.from(text)), qos: 1, retain: false, from: 'alice', client: '~http' } as const
    await Promise.all(Array.from({ length: 12 }, (_, n) => log.publish('users/alice', { ...one, id: `many-${n}`, receivedMs: Date.now() })))
    const sizes: number[] = []
    const seen: string[] = []
    while (seen.length < 12) {
      const { text: message } = await device.next('sync/users/alice/many')
      const envelopes = message.startsWith('[') ? (JSON.parse(message) as { id: string }[]) : [JSON.parse(message) as { id: string }]
      sizes.push(message.length)
      seen.push(...envelopes.map(({ id }) => id))
    }
    expect(seen).to.deep.equal(Array.from({ length: 12 }, (_, n) => `many-${n}`))
    expect(sizes.length, 'messages').to.be.within(4, 6)
    expect(Math.max(...sizes)).to.be.at.most(128 * 1024)
    expect(world.gateway.closings).to.deep.equal([])
  })

  it('[P-20.7] an entry that is larger than AWS takes is for HTTP alone, and at tells of it', async () => {
    await server.stop()
    server = await world.server({ limits: { atIntervalMs, payloadBytesMax: 200_000, packetBytesMax: 400_000 } })
    const device = await Device.open(world, server, 'alice')
    await device.subscribe('users/alice/#', 'sync/users/alice/#')
    const large = await overHttp('users/alice/large', { id: 'large', text: 'x'.repeat(140_000) })
    expect(large.status).to.equal(201)
    const { pos } = (await large.json()) as { pos: string }
    await device.inbox.take(({ json }) => json['ctl'] === 'at' && json['pos'] === pos, 'at behind the large one')
    expect((await overHttp('users/alice/small', { id: 'small', text: 'x' })).status).to.equal(201)
    await device.next('sync/users/alice/small')
    expect((await device.next('users/alice/small')).text).to.equal('x')
    expect(world.gateway.closings).to.deep.equal([])
  })

  it('[P-20.3] a conflict with an entry that is larger than AWS takes is answered without it', async () => {
    await server.stop()
    server = await world.server({ limits: { atIntervalMs, payloadBytesMax: 200_000, packetBytesMax: 400_000 } })
    const device = await Device.open(world, server, 'alice')
    await device.hearReplies()
    const large = { id: 'large', text: 'x'.repeat(140_000), retain: true }
    expect((await overHttp('users/alice/large', large)).status).to.equal(201)
    await device.put('users/alice/large', { id: 'small', text: 'x', retain: true, if: 'none' })
    expect(await device.answer('small')).to.deep.equal({ id: 'small', error: 'conflict' })
  })

  it('[P-20.10] who follows and hears nothing is told where the stream stands, until it leaves', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.hearReplies()
    await device.put('users/alice/x', { id: 'x-1', data: 1 })
    const { pos } = await device.answer('x-1')
    await device.subscribe('sync/users/alice/#', 'sync/users/alice/notes/+')
    expect((await device.next('sync/users/alice/$ctl')).json).to.include({ ctl: 'at', filter: 'sync/users/alice/#', pos, head: pos })
    expect((await device.next('sync/users/alice/notes/$ctl')).json).to.include({ ctl: 'at', filter: 'sync/users/alice/notes/+', pos })
    await device.next('sync/users/alice/$ctl')
    device.client.end(true)
    const other = await Device.open(world, server, 'bob')
    await other.subscribe('sync/users/bob/#')
    await other.next('sync/users/bob/$ctl')
    // What was decided before the news came may still have been sent.
    const before = atsOf('users/alice')
    await other.next('sync/users/bob/$ctl')
    await other.next('sync/users/bob/$ctl')
    expect(atsOf('users/alice'), 'nobody is there any more').to.equal(before)
  })

  function atsOf(stream: string): number {
    return world.gateway.published.filter(({ topic }) => topic.startsWith(`acme/sync/${stream}/`) && topic.endsWith('$ctl')).length
  }

  it('[P-20.7] what was on its way when AWS cut the connection comes over the next', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.subscribe('sync/users/alice/#')
    for (let n = 0; n < 30; n++) {
      expect((await overHttp('users/alice/n', { id: `n-${n}`, data: n })).status).to.equal(201)
      if (n % 10 === 5) world.gateway.cut('svc.acme.bridge-out-')
    }
    const seen = (): Set<unknown> => new Set(device.inbox.all.flatMap(({ text }) => [JSON.parse(text) as object].flat()).map(dataOf))
    await device.inbox.until(() => Array.from({ length: 30 }, (_, n) => n).every((n) => seen().has(n)), 'all thirty')
  })
})

function dataOf(envelope: object): unknown {
  return (envelope as { readonly data?: unknown }).data
}
