/** Members withdrawn from a space, on the doors of MQTT. */
import { expect } from 'chai'
import type { IPublishPacket, Packet } from 'mqtt-packet'
import { withdraw } from '../../log/members.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { formatPosition } from '../../protocol/positions.ts'
import { closeAll, testBroker, TestClock, type ClientOptions, type TestBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import type { RawClient } from '../support/raw-mqtt.ts'

type Json = Record<string, unknown>

const isEnded = (packet: Packet): boolean => packet.cmd === 'publish' && packet.payload.toString().includes('"ctl":"ended"')
const board = 'spaces/board'
const note = `${board}/notes/1`

describe('Withdrawn members', () => {
  let clock: TestClock
  let store: GatedStore
  let inner: MemoryStore
  let server: TestBroker

  beforeEach(async () => {
    clock = new TestClock(Math.ceil(Date.now() / 1_000) * 1_000)
    inner = new MemoryStore()
    store = new GatedStore(inner)
    server = await testBroker({ clock, store, limits: { revocationBlindMs: 1e9 } })
  })
  afterEach(closeAll)

  const member = (name: string, options: ClientOptions = {}): Promise<RawClient> =>
    server.client(name, { token: { spaces: { board: 'write' } }, ...options })

  async function withdrawBob(): Promise<string> {
    const by = { uid: 'alice', client: 'desk', issuedAtMs: clock.now() + 1 }
    const { seq, mark } = await withdraw(server.log, board, 'bob', by)
    return formatPosition(server.log.epoch, seq, mark)
  }

  /** Lets one commit hold what `begin` sends, and waits for what it returns. */
  async function inOneCommit(begin: () => Promise<readonly Promise<unknown>[]>): Promise<void> {
    const gate = store.hold(calls('commit'))
    const before = (await member('alice', { clientId: 'before' })).publish('users/alice/x', 'x')
    await gate.reached
    const begun = await begin()
    gate.release()
    await Promise.all([before, ...begun])
  }

  it('[P-16.2, P-16.3, P-16.5] are shown everything before the withdrawal and nothing behind it, within a commit too', async () => {
    const [bob, carol, alice] = [await member('bob'), await member('carol'), await member('alice')]
    for (const client of [bob, carol]) await client.subscribe([`${board}/#`, `sync/${board}/#`])
    await alice.publish(note, 'one')
    await inOneCommit(async () => {
      const two = alice.publish(note, 'two')
      await alice.ping()
      const withdrawn = withdrawBob()
      const three = alice.publish(note, 'three')
      await alice.ping()
      return [two, withdrawn, three]
    })
    await alice.publish(note, 'four')
    const stream = await server.log.stream(board)
    const bucket = (await server.log.read(stream, 1)).find(({ hasAcl }) => hasAcl)
    expect([bucket?.firstSeq, bucket?.count, bucket?.isAcl(1)]).to.deep.equal([2, 3, true])
    for (const text of ['one', 'two', 'three', 'four']) expect((await carol.message(note)).text).to.equal(text)
    await bob.ping()
    const got = bob.unread().filter(({ topic }) => topic === note)
    expect(got.map(({ text }) => text)).to.deep.equal(['one', 'two'])
    const shown = bob
      .unread()
      .filter(({ topic }) => topic.startsWith('sync/'))
      .map(({ text }) => JSON.parse(text) as Json)
    expect(shown.map(({ ctl, text }) => ctl ?? text).filter((what) => what !== 'at')).to.deep.equal(['one', 'two', 'ended'])
    const last = formatPosition(server.log.epoch, 2, await server.log.markOf(stream, 2))
    expect(shown.at(-1)).to.deep.equal({ ctl: 'ended', filter: `sync/${board}/#`, reason: 'withdrawn', pos: last })
  })

  it('[P-4.29, P-16.1] the entry comes on the sync door, and never on the plain one, a tap included', async () => {
    const carol = await member('carol')
    await carol.subscribe(`${board}/#`)
    const reader = await member('carol', { clientId: 'reader' })
    await reader.subscribe(`sync/${board}/#`)
    const tap = await server.client('ops', { token: { grants: ['tap'] } })
    await tap.subscribe('spaces/#')
    const pos = await withdrawBob()
    const entry = JSON.parse((await reader.message(`sync/${board}/$acl`)).text) as Json
    expect(entry).to.include({ pos, from: 'alice', client: 'desk', topic: `${board}/$acl` })
    expect(entry['data']).to.deep.equal({ withdrawn: 'bob' })
    await (await member('alice')).publish(note, 'x')
    expect(await carol.message()).to.include({ topic: note })
    expect(await tap.message()).to.include({ topic: note })
  })

  it('[P-16.3] may not subscribe again, also from an older position, and are told 0x80', async () => {
    const alice = await member('alice')
    await alice.publish(note, 'one', { retain: true })
    const pos = await withdrawBob()
    await alice.publish(note, 'two')
    const bob = await member('bob')
    const filters = [
      `${board}/#`,
      note,
      `sync/${board}/#`,
      `sync@earliest/${board}/#`,
      `sync@snapshot/${board}/#`,
      `sync@${pos}/${board}/#`,
    ]
    expect(await bob.subscribe(filters)).to.deep.equal(filters.map(() => 0x80))
    expect(await bob.subscribe('users/bob/#')).to.deep.equal([1])
    await bob.ping()
    expect(bob.unread()).to.deep.equal([])
  })

  it('[P-16.3, P-16.6] a kept filter sleeps until a token that was issued later, and then goes on from its place', async () => {
    const alice = await member('alice')
    const bob = await member('bob', { clean: false })
    await bob.subscribe(`${board}/#`)
    await bob.disconnect()
    await alice.publish(note, 'one')
    await withdrawBob()
    await alice.publish(note, 'two')
    const still = await member('bob', { clean: false, present: true })
    await still.ping()
    expect(still.unread()).to.deep.equal([])
    clock.ms += 1_000
    still.publishNow('auth/renew', await server.token('bob', { spaces: { board: 'write' } }))
    expect((await still.messages(2)).map(({ text }) => text)).to.deep.equal(['one', 'two'])
    await alice.publish(note, 'three')
    expect((await still.message()).text).to.equal('three')
  })

  it('[P-16.6] a token of the second of the withdrawal is not later', async () => {
    clock.ms += 500
    await withdrawBob()
    const bob = await member('bob')
    expect(await bob.subscribe(`${board}/#`)).to.deep.equal([0x80])
    clock.ms += 500
    const again = await member('bob')
    expect(await again.subscribe(`${board}/#`)).to.deep.equal([1])
  })

  it('[P-16.4] publish nothing, on any door, at any QoS, nor by a will', async () => {
    const will = { topic: note, payload: Buffer.from('gone'), qos: 1 as const, retain: false }
    const [bob, dying] = [await member('bob'), await member('bob', { clientId: 'dying', will })]
    const carol = await member('carol')
    await carol.subscribe(`${board}/#`)
    await bob.subscribe('reply/bob/#')
    await withdrawBob()
    await bob.publish(`put/${note}`, JSON.stringify({ id: 'a', text: 'x' }))
    expect(JSON.parse((await bob.message('reply/bob/a')).text)).to.include({ error: 'forbidden' })
    for (const qos of [0, 1, 2] as const) {
      const client = await member('bob', { clientId: `other-${qos}` })
      client.publishNow(note, 'x', { qos })
      await client.gone(`QoS ${qos}`)
      expect(server.refusals.at(-1)).to.equal('tcp forbidden')
    }
    dying.destroy()
    await server.lines.take(({ message }) => message.startsWith('a will was not published'), 'the will to be dropped')
    expect((await server.log.stream(board)).headSeq).to.equal(1)
    await carol.ping()
    expect(carol.unread()).to.deep.equal([])
  })

  it('[P-16.4] a publish right behind the withdrawal, in the same commit, is refused', async () => {
    const bob = await member('bob')
    await bob.publish(note, 'before')
    await inOneCommit(async () => {
      const withdrawn = withdrawBob()
      bob.publishNow(note, 'behind')
      await bob.ping()
      return [withdrawn, bob.gone('the publish behind the withdrawal')]
    })
    expect((await server.log.stream(board)).headSeq).to.equal(2)
  })

  it('[P-16.2] hear no ephemeral messages either', async () => {
    const bob = await member('bob')
    await bob.subscribe([`${board}/#`, `sync/${board}/#`])
    const carol = await member('carol')
    await carol.subscribe(`${board}/#`)
    await withdrawBob()
    carol.publishNow(`${board}/typing`, 'x', { qos: 0 })
    expect((await carol.message()).text).to.equal('x')
    await bob.ping()
    expect(bob.unread().filter(({ topic }) => topic.endsWith('typing'))).to.deep.equal([])
  })

  it('[P-16.2, P-16.4, P-14.2] are withdrawn on every node, also where nobody has heard of it yet', async () => {
    const shared = new MemoryStore({ shared: true })
    const limits = { revocationBlindMs: 1e9, headPollMs: 10 }
    server = await testBroker({ clock, store: shared, limits })
    const other = await testBroker({ clock, store: shared, limits, folder: server.folder })
    const token = { spaces: { board: 'write' as const } }
    const [reader, writer] = [await other.client('bob', { token }), await other.client('bob', { clientId: 'writer', token })]
    await reader.subscribe(`sync/${board}/#`)
    await writer.publish('spaces/board/of-bob', 'x')
    await reader.message('sync/spaces/board/of-bob')
    await withdrawBob()
    writer.publishNow(note, 'too late')
    await (await member('alice')).publish(note, 'secret')
    await writer.gone('the publish of a withdrawn member on a node that has not read of it')
    expect(other.refusals).to.deep.equal(['tcp forbidden'])
    const ended = JSON.parse(((await reader.expect(isEnded, 'ended')) as IPublishPacket).payload.toString()) as Json
    expect(ended).to.include({ reason: 'withdrawn' })
    await reader.ping()
    expect(reader.unread().filter(({ text }) => text.includes('secret') || text.includes('$acl'))).to.deep.equal([])
    expect((await server.log.stream(board)).headSeq).to.equal(3)
  })

  it('[P-16.2] stay withdrawn when the entry was trimmed and the server started again', async () => {
    const alice = await member('alice')
    await withdrawBob()
    await alice.publish(note, 'one')
    await server.log.trim(board, 2)
    await server.close()
    server = await testBroker({ clock, store: new GatedStore(inner), folder: server.folder, limits: { revocationBlindMs: 1e9 } })
    const bob = await member('bob')
    expect(await bob.subscribe(`${board}/#`)).to.deep.equal([0x80])
    bob.publishNow(note, 'x')
    await bob.gone('a publish of a withdrawn member')
  })
})
