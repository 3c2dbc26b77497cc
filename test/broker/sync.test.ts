/** The sync door: envelopes with positions, and control messages in order with them. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { closeAll, testBroker, TestClock, type TestBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import type { RawClient } from '../support/raw-mqtt.ts'
import { within } from '../support/waiting.ts'

type Json = Record<string, unknown>

const stream = 'users/alice'

describe('The sync door', () => {
  afterEach(closeAll)

  const seqOf = (pos: unknown): number => Number(String(pos).split('.')[1])

  async function next(client: RawClient): Promise<Json & { topic: string }> {
    const { topic, text } = await client.message()
    return { ...(JSON.parse(text) as Json), topic }
  }

  /** The next envelope; the `at`s before it are passed over. */
  async function nextEntry(client: RawClient): Promise<Json & { topic: string }> {
    for (;;) {
      const json = await next(client)
      if (json['ctl'] === undefined) return json
    }
  }

  async function withEntries(
    count: number,
    options: Parameters<typeof testBroker>[0] = {},
  ): Promise<{ it: TestBroker; client: RawClient; writer: RawClient }> {
    const it = await testBroker(options)
    const writer = await it.client('alice', { clientId: 'writer' })
    for (let at = 1; at <= count; at++) await writer.publish(`${stream}/a/${at % 3}`, `e${at}`)
    return { it, writer, client: await it.client('alice', { clientId: 'reader' }) }
  }

  it('[P-6.2] delivers everything after earliest, and [P-6.15] says right after the SUBACK and at the end where it stands', async () => {
    const { client, writer } = await withEntries(5)
    expect(await client.subscribe('sync@earliest/users/alice/#')).to.deep.equal([1])
    const at = await next(client)
    expect(at).to.include({ ctl: 'at', filter: 'sync@earliest/users/alice/#', topic: 'sync@earliest/users/alice/$ctl' })
    expect([seqOf(at['pos']), seqOf(at['head']), seqOf(at['first'])]).to.deep.equal([0, 5, 1])
    expect(at['ts']).to.be.a('number')
    for (let seq = 1; seq <= 5; seq++) {
      const entry = await next(client)
      expect(entry).to.include({ topic: `sync@earliest/users/alice/a/${seq % 3}`, text: `e${seq}`, from: 'alice', client: 'writer' })
      expect(seqOf(entry['pos'])).to.equal(seq)
    }
    const caughtUp = await next(client)
    expect(caughtUp['ctl']).to.equal('at')
    expect(caughtUp['pos']).to.equal(caughtUp['head'])
    await writer.publish(`${stream}/a/0`, '{"n":1.0}')
    const live = await nextEntry(client)
    expect(live['data']).to.deep.equal({ n: 1 })
    expect(live['hops']).to.have.all.keys('received', 'authorised', 'committed', 'written')
  })

  it('[P-6.2, P-2.7] goes on after any position it has shown, without a gap or a double', async () => {
    const { client, writer } = await withEntries(6)
    await client.subscribe('sync@earliest/users/alice/#')
    const positions: string[] = []
    for (let at = 0; at < 6; at++) positions.push(String((await nextEntry(client))['pos']))
    for (const [at, position] of positions.entries()) {
      const filter = `sync@${position}/users/alice/#`
      expect(await client.subscribe(filter)).to.deep.equal([1])
      const first = JSON.parse((await client.message(`sync@${position}/users/alice/$ctl`)).text) as Json
      expect(first).to.include({ ctl: 'at', pos: position })
      const rest: number[] = []
      while (rest.length < 5 - at) rest.push(seqOf((await nextEntry(client))['pos']))
      expect(rest).to.deep.equal(Array.from({ length: 5 - at }, (_unused, index) => at + 2 + index))
      await client.unsubscribe(filter)
    }
    await client.unsubscribe('sync@earliest/users/alice/#')
    await writer.publish(`${stream}/a/1`, 'to nobody')
    await client.ping()
    expect(client.unread().filter(({ topic }) => !topic.endsWith('$ctl'))).to.deep.equal([])
  })

  it('[P-6.1] delivers from the head at SUBSCRIBE on, and shows a narrower filter how far it is complete [P-6.8]', async () => {
    const { client, writer } = await withEntries(3)
    await client.subscribe('sync/users/alice/a/1')
    const at = await next(client)
    // An exact filter is its own control topic [P-6.9].
    expect(at).to.include({ ctl: 'at', topic: 'sync/users/alice/a/1', pos: at['head'] })
    expect(seqOf(at['pos'])).to.equal(3)
    await writer.publish(`${stream}/a/2`, 'not mine')
    await writer.publish(`${stream}/a/1`, 'mine')
    const entry = await nextEntry(client)
    expect([entry['text'], seqOf(entry['pos'])]).to.deep.equal(['mine', 5])
  })

  it('[P-6.11, P-6.19, P-12.17 to P-12.19] answers a position that cannot be served with reset, and bad syntax with 0x80', async () => {
    const { it, client, writer } = await withEntries(6)
    await client.subscribe('sync@earliest/users/alice/#')
    const positions: string[] = []
    for (let at = 0; at < 6; at++) positions.push(String((await nextEntry(client))['pos']))
    await client.unsubscribe('sync@earliest/users/alice/#')
    await it.log.trim(stream, 4)
    const last = String(positions[5])
    const [epoch, , mark] = last.split('.')
    const bad: [string, string][] = [
      [`other678.3.${mark}`, 'epoch'],
      [`${epoch}.99.${mark}`, 'ahead'],
      [String(positions[1]), 'trimmed'],
      [`${epoch}.0.0000`, 'trimmed'],
      [`${epoch}.6.${mark === 'AAAA' ? 'BBBB' : 'AAAA'}`, 'epoch'],
      [`${epoch}.3.${mark === 'AAAA' ? 'BBBB' : 'AAAA'}`, 'epoch'],
    ]
    for (const [position, reason] of bad) {
      expect(await client.subscribe(`sync@${position}/users/alice/#`), position).to.deep.equal([1])
      const reset = JSON.parse((await client.message(`sync@${position}/users/alice/$ctl`)).text) as Json
      expect(reset, position).to.include({ ctl: 'reset', reason, head: last, first: positions[3] })
    }
    await writer.publish(`${stream}/a/1`, 'nothing more comes')
    await client.ping()
    expect(client.unread()).to.deep.equal([])
    // One before the first is served [P-2.14].
    await client.subscribe(`sync@${String(positions[2])}/users/alice/#`)
    expect(seqOf((await nextEntry(client))['pos'])).to.equal(4)
    const other = await it.client('alice', { clientId: 'other' })
    for (const text of ['x', '', `${epoch}.01.${mark}`, `${epoch}.-1.${mark}`, 'latest', `${epoch}.6`, 'EARLIEST']) {
      expect(await other.subscribe(`sync@${text}/users/alice/#`), text).to.deep.equal([128])
    }
  })

  it('[P-6.20] sends reset to a reader that falls behind what has been trimmed, never a gap', async () => {
    const { it, client, writer } = await withEntries(0, { limits: { inflightMax: 3 } })
    client.acknowledges = false
    await client.subscribe('sync/users/alice/#')
    for (let at = 1; at <= 8; at++) await writer.publish(`${stream}/a/1`, `e${at}`)
    const unacknowledged = await client.messages(3)
    await it.log.trim(stream, 8)
    const reset = await next(client)
    expect(reset).to.include({ ctl: 'reset', reason: 'trimmed' })
    expect([seqOf(reset['first']), seqOf(reset['head'])]).to.deep.equal([8, 8])
    client.acknowledges = true
    for (let messageId = 1; messageId <= unacknowledged.length + 1; messageId++) client.send({ cmd: 'puback', messageId })
    await client.subscribe('sync@earliest/users/alice/#')
    expect(seqOf((await nextEntry(client))['pos'])).to.equal(8)
  })

  it('[P-6.16, P-6.13, P-6.14] delivers a snapshot: start, the state in ascending position, end, then what follows', async () => {
    const { client, writer } = await withEntries(1)
    for (const [topic, text] of [
      ['x', '1'],
      ['y', '2'],
      ['x', '3'],
      ['z', '4'],
      ['z', ''],
    ] as const)
      await writer.publish(`${stream}/${topic}`, text, { retain: true })
    await client.subscribe('sync@snapshot/users/alice/#')
    const start = await next(client)
    expect(start).to.include({ ctl: 'snapshot-start', topic: 'sync@snapshot/users/alice/$ctl' })
    expect(seqOf(start['pos'])).to.equal(6)
    const state = [await next(client), await next(client)]
    expect(state.map(({ topic, data, pos }) => [topic, data, seqOf(pos)])).to.deep.equal([
      ['sync@snapshot/users/alice/y', 2, 3],
      ['sync@snapshot/users/alice/x', 3, 4],
    ])
    expect(state.every(({ retain }) => retain === true)).to.equal(true)
    expect(await next(client)).to.include({ ctl: 'snapshot-end', pos: start['pos'] })
    expect(await next(client)).to.include({ ctl: 'at', pos: start['pos'] })
    await writer.publish(`${stream}/y`, '', { retain: true })
    const deleted = await nextEntry(client)
    expect(deleted).to.include({ deleted: true, retain: true, topic: 'sync@snapshot/users/alice/y' })
    expect(deleted).to.not.have.any.keys('data', 'text', 'base64')
  })

  /** One entry is in memory, the others are read from the store. */
  async function withFewInMemory(): Promise<{ client: RawClient; writer: RawClient; gates: GatedStore }> {
    const gates = new GatedStore(new MemoryStore())
    const it = await testBroker({ store: gates, limits: { tailCacheBytesMax: 300 } })
    const [client, writer] = [await it.client('alice'), await it.client('alice', { clientId: 'writer' })]
    // The state is in memory from here on.
    await writer.publish(`${stream}/a`, '0', { retain: true })
    await client.subscribe(`${stream}/none`)
    for (const text of ['1', '2', '3']) await writer.publish(`${stream}/b`, text.repeat(200))
    return { client, writer, gates }
  }

  it('[P-6.15] no entry comes between the end of a snapshot and the first at', async () => {
    const { client, writer, gates } = await withFewInMemory()
    const reading = gates.hold(calls('read'))
    await client.subscribe('sync@snapshot/users/alice/#')
    await within(reading.reached, 'the first entry to be read')
    await writer.publish(`${stream}/b`, 'after')
    reading.release()
    const shown = [await next(client), await next(client), await next(client), await next(client), await next(client)]
    expect(shown.map(({ ctl, pos }) => ctl ?? seqOf(pos))).to.deep.equal(['snapshot-start', 1, 'snapshot-end', 'at', 5])
  })

  it('[P-6.18] a filter subscribed again hears nothing of what it was before', async () => {
    const { client, gates } = await withFewInMemory()
    // The position is judged by one read; the next one is for what the reset says.
    let reads = 0
    const reading = gates.hold(({ name }) => name === 'read' && ++reads > 1)
    await client.subscribe('sync@AAAAAAAA.1.AAAA/users/alice/#')
    await within(reading.reached, 'the first entry to be read')
    await client.subscribe('sync@AAAAAAAA.1.AAAA/users/alice/#')
    reading.release()
    expect(await next(client)).to.include({ ctl: 'reset', reason: 'epoch' })
    await client.ping()
    expect(client.unread()).to.deep.equal([])
  })

  it('[P-6.6, P-6.18] serves each filter by itself, and restarts one that is subscribed again', async () => {
    const { client } = await withEntries(2)
    await client.subscribe(['sync@earliest/users/alice/#', 'sync@earliest/users/alice/a/+'])
    const topics: string[] = []
    while (topics.length < 4) topics.push((await nextEntry(client)).topic)
    expect(topics).to.have.length(4)
    await client.subscribe('sync@earliest/users/alice/#')
    expect(seqOf((await nextEntry(client))['pos'])).to.equal(1)
    expect(seqOf((await nextEntry(client))['pos'])).to.equal(2)
  })

  it('[P-6.7, P-3.13] brings ephemeral messages at QoS 0, without position and id', async () => {
    const { client, writer } = await withEntries(0)
    await client.subscribe('sync/users/alice/#')
    await client.message()
    writer.publishNow(`${stream}/live`, 'now', { qos: 0 })
    const message = await client.message()
    expect(message.qos).to.equal(0)
    const json = JSON.parse(message.text) as Json
    expect(json).to.include({ ephemeral: true, text: 'now', from: 'alice', client: 'writer', topic: 'users/alice/live' })
    expect(json).to.not.have.any.keys('pos', 'id')
  })

  it('[P-6.21] is refused in a clean=0 session', async () => {
    const it = await testBroker()
    const client = await it.client('alice', { clean: false })
    expect(await client.subscribe(['sync/users/alice/#', 'users/alice/#'])).to.deep.equal([128, 1])
  })

  it('[P-6.3] must name one stream within a grant, without its own prefix being judged', async () => {
    const it = await testBroker()
    const client = await it.client('alice', { token: { tap: true } })
    const filters = [
      'sync/users/bob/#',
      'sync/+/alice/#',
      'sync/users/+/a',
      'sync/#',
      'sync/users/alice',
      'sync/open/-/#',
      'sync/outbox/bob/#',
      'sync',
    ]
    expect(await client.subscribe(filters)).to.deep.equal(filters.map(() => 128))
    expect(await client.subscribe(['sync/users/alice/+/x', 'sync/users/alice/$acl'])).to.deep.equal([1, 1])
  })

  it('[P-6.9, P-1.17] grants the control topic itself, where nothing more is delivered', async () => {
    const { client, writer } = await withEntries(1)
    expect(await client.subscribe(['sync/users/alice/$ctl', 'sync@earliest/users/alice/a/$ctl', 'sync/users/bob/$ctl'])).to.deep.equal([
      1, 1, 128,
    ])
    await writer.publish(`${stream}/a/1`, 'x')
    await client.ping()
    expect(client.unread().filter(({ text }) => !('ctl' in (JSON.parse(text) as Json)))).to.deep.equal([])
  })

  it('[P-6.15, P-13.29] says at least every atIntervalMs how far it is complete', async () => {
    const clock = new TestClock()
    const it = await testBroker({ clock, limits: { revocationBlindMs: 3_600_000 } })
    const client = await it.client('alice')
    await client.subscribe('sync/users/alice/#')
    const first = await next(client)
    clock.ms += 30_001
    const again = await next(client)
    expect(again).to.include({ ctl: 'at', pos: first['pos'] })
    expect(again['ts']).to.equal((first['ts'] as number) + 30_001)
  })

  it('[P-6.7] delivers at the granted QoS', async () => {
    const { client } = await withEntries(1)
    await client.subscribe('sync@earliest/users/alice/#', 0)
    expect((await client.messages(2)).map(({ qos }) => qos)).to.deep.equal([0, 0])
    await client.subscribe('sync@earliest/users/alice/+/+', 1)
    const messages = (await client.messages(4)).filter(({ topic, qos }) => qos === 1 && topic.startsWith('sync@earliest'))
    expect(messages.length).to.be.greaterThan(1)
  })
})
