/** What clients publish at AWS IoT Core, and how it gets into the log. */
import { expect } from 'chai'
import { MemoryStore } from '../../../log/stores/memory.ts'
import { AwsWorld } from '../../support/aws/world.ts'
import { GatedStore } from '../../support/gated-store.ts'
import type { TestServer } from '../../support/server.ts'
import { within } from '../../support/waiting.ts'
import { appended, Device, entriesOf } from './support.ts'

describe('what clients publish at AWS IoT Core', function () {
  this.timeout(60_000)
  let world: AwsWorld
  let server: TestServer
  let store: GatedStore

  beforeEach(async () => {
    world = await AwsWorld.start()
    store = new GatedStore(new MemoryStore())
    server = await world.server({}, { store })
  })
  afterEach(async () => {
    await server?.stop()
    await world?.close()
  })

  it('[P-20.2] [P-20.5] is in the log as it was published, with the user of the stream, or nobody in a space', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.client.publishAsync('acme/users/alice/notes/1', 'hello', { qos: 1 })
    await device.client.publishAsync('acme/spaces/b/card', '{"n":1}', { qos: 1 })
    await within(Promise.all([appended(server, 'users/alice', 1), appended(server, 'spaces/b', 1)]), 'both')
    const [own] = await entriesOf(server, 'users/alice')
    expect(own).to.include({ topic: 'users/alice/notes/1', text: 'hello', from: 'alice', client: '~mqtt' })
    const [shared] = await entriesOf(server, 'spaces/b')
    expect(shared).to.deep.include({ topic: 'spaces/b/card', data: { n: 1 }, from: '~anonymous', client: '~mqtt' })
  })

  it('[P-20.6] is in no log at QoS 0', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.client.publishAsync('acme/users/alice/typing', 'x', { qos: 0 })
    await device.client.publishAsync('acme/users/alice/notes/1', 'hello', { qos: 1 })
    await within(appended(server, 'users/alice', 1), 'the note')
    expect((await entriesOf(server, 'users/alice')).map(({ topic }) => topic)).to.deep.equal(['users/alice/notes/1'])
  })

  it('[P-20.3] [P-20.4] a put is answered to the client that its token proves: new, duplicate, conflict, forbidden', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.hearReplies()
    await device.put('users/alice/card', { id: 'card-1', data: 1, retain: true, if: 'none' })
    const first = await device.answer('card-1')
    expect(first).to.have.all.keys('id', 'pos')
    await device.put('users/alice/card', { id: 'card-1', data: 1, retain: true, if: 'none' })
    expect(await device.answer('card-1')).to.deep.equal({ ...first, duplicate: true })
    await device.put('users/alice/card', { id: 'card-2', data: 2, retain: true, if: 'none' })
    const conflict = await device.answer('card-2')
    expect(conflict).to.include({ error: 'conflict' })
    expect(conflict['current']).to.deep.include({ id: 'card-1', data: 1 })
    await device.put('users/alice/x', { id: 'bad-1', data: 1, text: 'two' })
    expect(await device.answer('bad-1')).to.include({ error: 'bad-put' })
    const [entry] = await entriesOf(server, 'users/alice')
    expect(entry).to.include({ id: 'card-1', from: 'alice', client: 'acme=2Ealice=2Ephone' })
  })

  it('[P-20.3] a put of a token with less than the connection is refused by the log, one without a token is dropped', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.hearReplies()
    const { access_token: narrow } = await world.admitted(
      server.urls.http,
      device.admitted.access_token,
      'phone',
      'publish:users/alice/a/#',
    )
    await device.put('users/alice/b', { id: 'narrow-1', data: 1 }, narrow)
    expect(await device.answer('narrow-1')).to.include({ error: 'forbidden' })
    await device.put('users/alice/b', { id: 'none-1', data: 1 }, '')
    await device.put('users/alice/b', { id: 'forged-1', data: 1 }, `${device.admitted.access_token.slice(0, -8)}AAAAAAAA`)
    await device.put('users/alice/b', { id: 'good-1', data: 1 })
    expect(await device.answer('good-1')).to.have.property('pos')
    // Workers may pass each other: what was dropped has been looked at all the same when the bridge has counted it.
    expect((await entriesOf(server, 'users/alice')).map(({ id }) => id)).to.deep.equal(['good-1'])
  })

  it('[P-20.4] a put of a revoked token is not appended, although AWS still lets its client publish', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.hearReplies()
    await device.put('users/alice/x', { id: 'before-1', data: 1 })
    await device.answer('before-1')
    // Otherwise the server would close the connection.
    world.serverPolicies.length = 0
    const revoked = await fetch(`${server.urls.http}/v1/revocations`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await server.token('ops', { grants: ['ops:revoke'] })}`, 'content-type': 'application/json' },
      body: JSON.stringify({ uid: 'alice' }),
    })
    expect(revoked.status).to.equal(204)
    const bob = await Device.open(world, server, 'bob')
    await bob.hearReplies()
    // One worker takes both: the second is answered after the first was refused.
    world.gateway.cut('svc.acme.bridge-in-2')
    await device.put('users/alice/x', { id: 'after-1', data: 1 })
    await bob.put('users/bob/x', { id: 'bob-1', data: 1 })
    await bob.answer('bob-1')
    const stream = await server.running.log.stream('users/alice')
    expect(stream.headSeq).to.equal(1)
  })

  it('[P-20.2] [P-20.4] is not lost with the connection that took it, and a put is appended once', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.hearReplies()
    const gate = store.hold(({ name }) => name === 'commit')
    await device.put('users/alice/x', { id: 'held-1', data: 1 })
    await gate.reached
    world.gateway.cut('svc.acme.bridge-in-')
    await world.bridged()
    gate.release()
    expect(await device.answer('held-1')).to.have.property('pos')
    expect(await device.answer('held-1')).to.include({ duplicate: true })
    expect(await entriesOf(server, 'users/alice')).to.have.length(1)
  })

  it('[P-20.2] waits at AWS while the server is away', async () => {
    const device = await Device.open(world, server, 'alice')
    await server.stop()
    for (let n = 0; n < 10; n++) await device.client.publishAsync('acme/users/alice/n', String(n), { qos: 1 })
    await server.restart()
    await within(appended(server, 'users/alice', 10), 'all ten')
    const entries = await entriesOf(server, 'users/alice')
    expect(entries.map(({ data }) => data)).to.have.members(Array.from({ length: 10 }, (_, n) => n))
  })

  it('[P-20.2] is lost where AWS forgets sessions while the server is away, and what comes later is not', async () => {
    const device = await Device.open(world, server, 'alice')
    await server.stop()
    world.gateway.switches.sessionMs = 0
    for (let n = 0; n < 4; n++) await device.client.publishAsync('acme/users/alice/n', 'too long ago', { qos: 1 })
    await server.restart()
    await world.bridged()
    await device.client.publishAsync('acme/users/alice/n', 'later', { qos: 1 })
    await within(appended(server, 'users/alice', 1), 'what came later')
    expect((await entriesOf(server, 'users/alice')).map(({ text }) => text)).to.deep.equal(['later'])
  })

  it('[P-20.2] flows on behind what no log can hold', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.client.publishAsync('acme/users/alice/$x', 'no name of a client', { qos: 1 })
    await device.client.publishAsync('acme/users/alice/big', 'x'.repeat(100_000), { qos: 1 })
    for (let n = 0; n < 4; n++) await device.client.publishAsync('acme/users/alice/fine', String(n), { qos: 1 })
    await within(appended(server, 'users/alice', 4), 'the rest')
    expect((await entriesOf(server, 'users/alice')).every(({ topic }) => topic === 'users/alice/fine')).to.equal(true)
  })

  it('[P-20.4] what AWS brings twice is one entry where it has an id, and two where it has none', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.hearReplies()
    world.gateway.switches.duplicate = true
    await device.put('users/alice/x', { id: 'twice-1', data: 1 })
    await device.answer('twice-1')
    await device.client.publishAsync('acme/users/alice/plain', 'p', { qos: 1 })
    await within(appended(server, 'users/alice', 3), 'the put and both copies')
    expect((await entriesOf(server, 'users/alice')).map(({ topic }) => topic)).to.deep.equal([
      'users/alice/x',
      'users/alice/plain',
      'users/alice/plain',
    ])
  })

  it('[P-20.4] a put that was refused is judged again when AWS brings it again', async () => {
    const device = await Device.open(world, server, 'alice')
    await device.hearReplies()
    await device.put('users/alice/card', { id: 'there-1', data: 1, retain: true, if: 'none' })
    await device.answer('there-1')
    await device.put('users/alice/card', { id: 'late-1', data: 2, retain: true, if: 'none' })
    expect(await device.answer('late-1')).to.include({ error: 'conflict' })
    await device.put('users/alice/card', { id: 'gone-1', retain: true })
    await device.answer('gone-1')
    const again = world.gateway.published.find(({ payload }) => payload.includes('"late-1"'))
    world.gateway.publish(again ?? expect.fail('AWS has it'))
    expect(await device.answer('late-1')).to.have.all.keys('id', 'pos')
    expect((await entriesOf(server, 'users/alice')).map(({ id }) => id)).to.deep.equal(['there-1', 'gone-1', 'late-1'])
  })
})
