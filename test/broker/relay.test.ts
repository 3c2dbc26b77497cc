/** Messages between users on the doors of MQTT. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { abandon, closeAll, testBroker, TestClock, type TestBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import type { RawClient } from '../support/raw-mqtt.ts'

type Json = Record<string, unknown>

const toBob = 'outbox/alice/bob/chat/1'
const fromAlice = 'inbox/bob/alice/chat/1'

describe('Messages between users', () => {
  afterEach(closeAll)

  async function put(client: RawClient, topic: string, json: Json): Promise<Json> {
    await client.publish(`put/${topic}`, JSON.stringify(json))
    return JSON.parse((await client.message(`reply/alice/${String(json['id'])}`)).text) as Json
  }

  async function putter(it: TestBroker): Promise<RawClient> {
    const client = await it.client('alice')
    await client.subscribe('reply/alice/#')
    return client
  }

  async function topicsOf({ log }: TestBroker, name: string): Promise<string[]> {
    const stream = await log.stream(name)
    const topics: string[] = []
    while (topics.length < stream.headSeq) {
      for (const bucket of await log.read(stream, topics.length + 1)) {
        for (let index = 0; index < bucket.count; index++) topics.push(`${bucket.topic(index)} ${bucket.id(index)} ${bucket.from(index)}`)
      }
    }
    return topics
  }

  it('[P-15.1, P-1.5] come to the inbox of the other and to the own outbox, live and on return, under one id', async () => {
    const it = await testBroker()
    const bob = await it.client('bob', { clean: false })
    await bob.subscribe('inbox/bob/#')
    const reader = await it.client('bob', { clientId: 'reader' })
    await reader.subscribe('sync/inbox/bob/alice/#')
    const alice = await it.client('alice')
    await alice.subscribe(['outbox/alice/#', 'sync/outbox/alice/bob/#'])
    await alice.publish(toBob, 'hello')
    const got = await bob.message()
    expect({ topic: got.topic, text: got.text, qos: got.qos, retain: got.retain }).to.deep.equal({
      topic: fromAlice,
      text: 'hello',
      qos: 1,
      retain: false,
    })
    expect((await alice.message(toBob)).text).to.equal('hello')
    const envelope = JSON.parse((await reader.message(`sync/${fromAlice}`)).text) as Json
    const own = JSON.parse((await alice.message(`sync/${toBob}`)).text) as Json
    expect(envelope).to.include({ id: own['id'], from: 'alice', client: 'alice', topic: fromAlice, text: 'hello' })
    await bob.disconnect()
    await alice.publish(toBob, 'while away')
    const back = await it.client('bob', { clean: false, present: true })
    expect((await back.message()).text).to.equal('while away')
  })

  it('[P-15.1] names of users and the levels of a message are checked', async () => {
    const it = await testBroker()
    for (const [topic, code] of [
      ['outbox/alice/x', 'bad-topic'],
      ['outbox/alice/b ob/x', 'bad-topic'],
      ['outbox/alice/=61/x', 'bad-topic'],
      ['outbox/bob/alice/x', 'forbidden'],
    ] as const) {
      const client = await it.client('alice')
      client.publishNow(topic, 'x')
      await client.gone(topic)
      expect(it.refusals.at(-1), topic).to.equal(`tcp ${code}`)
    }
    expect(await it.log.streams('', 10)).to.deep.equal([])
  })

  it('[P-15.2] nobody else writes to an inbox, whatever the grants', async () => {
    const it = await testBroker()
    const token = { grants: ['publish:inbox/bob/#', 'own:inbox/bob/#'] }
    for (const [topic, options] of [
      [fromAlice, {}],
      [fromAlice, { qos: 0 }],
      [fromAlice, { retain: true }],
    ] as const) {
      const client = await it.client('alice', { token })
      client.publishNow(topic, 'x', options)
      await client.gone(topic)
      expect(it.refusals.at(-1)).to.equal('tcp forbidden')
    }
    const client = await it.client('alice', { token })
    await client.subscribe('reply/alice/#')
    expect(await put(client, fromAlice, { id: 'a', data: 1 })).to.include({ error: 'forbidden' })
    expect(await it.log.streams('', 10)).to.deep.equal([])
  })

  it('[P-15.3, P-15.4] are acknowledged when both are on disk, and stored at once where the store can', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const alice = await it.client('alice')
    await alice.publish('users/alice/x', 'x')
    const commits: string[][] = []
    store.committing = (buckets, commit) => {
      commits.push(buckets.map(({ stream }) => stream).toSorted())
      return commit()
    }
    const gate = store.hold(calls('commit'))
    alice.publishNow(toBob, 'one')
    alice.publishNow('outbox/alice/carol/chat', 'two')
    await gate.reached
    await alice.ping()
    expect(alice.inbox.all.filter(({ cmd }) => cmd === 'puback')).to.have.length(1)
    gate.release()
    await alice.expect(({ cmd }) => cmd === 'puback', 'the first PUBACK')
    await alice.expect(({ cmd }) => cmd === 'puback', 'the second PUBACK')
    for (const streams of commits) expect(streams).to.include('outbox/alice')
    expect(commits.flat().filter((name) => name.startsWith('inbox/'))).to.have.members(['inbox/bob', 'inbox/carol'])
  })

  it('[P-15.3, P-8.13] do not stand in the outbox before they stand in the inbox, on a store that stores one by one', async () => {
    const inner = new MemoryStore({ shared: true })
    const store = new GatedStore(inner)
    const it = await testBroker({ store })
    const alice = await it.client('alice')
    const gate = store.hold(({ name, args }) => name === 'commit' && (args[0] as { stream: string }[])[0]?.stream === 'inbox/bob')
    alice.publishNow(toBob, 'one')
    await gate.reached
    expect((await inner.load('outbox/alice')).last).to.equal(undefined)
    gate.release()
    await alice.expect(({ cmd }) => cmd === 'puback', 'PUBACK')
    expect(await topicsOf(it, 'inbox/bob')).to.have.length(1)
    expect((await topicsOf(it, 'outbox/alice'))[0]?.split(' ')[1]).to.equal((await topicsOf(it, 'inbox/bob'))[0]?.split(' ')[1])
  })

  it('[P-15.5] a put is repeated without a double, and an id that was used for another reaches nobody', async () => {
    const it = await testBroker()
    const client = await putter(it)
    const first = await put(client, toBob, { id: 'one', text: 'x' })
    expect(first).to.have.all.keys('id', 'pos')
    expect(await put(client, toBob, { id: 'one', text: 'x' })).to.deep.equal({ ...first, duplicate: true })
    expect(await put(client, toBob, { id: 'one', text: 'y' })).to.include({ error: 'id-reused' })
    expect(await put(client, 'outbox/alice/carol/chat/1', { id: 'one', text: 'x' })).to.include({ error: 'id-reused' })
    expect(await it.log.streams('', 10)).to.deep.equal(['inbox/bob', 'outbox/alice'])
    expect(await topicsOf(it, 'inbox/bob')).to.deep.equal([`${fromAlice} one alice`])
  })

  it('[P-15.5] of two uses of one id at the same time one is delivered', async () => {
    const it = await testBroker()
    const client = await putter(it)
    for (const to of ['bob', 'carol', 'bob']) {
      client.publishNow(`put/outbox/alice/${to}/chat`, JSON.stringify({ id: 'same', text: 'x' }))
    }
    const answers = (await client.messages(3)).map(({ text }) => JSON.parse(text) as Json)
    expect(answers[1]).to.include({ error: 'id-reused' })
    expect(answers[2]).to.deep.equal({ ...answers[0], duplicate: true })
    expect(await it.log.streams('', 10)).to.deep.equal(['inbox/bob', 'outbox/alice'])
  })

  it('[P-15.5] a crash between the two appends is made good by the retry, and nothing comes twice', async () => {
    const inner = new MemoryStore({ shared: true })
    const store = new GatedStore(inner)
    const it = await testBroker({ store })
    const client = await putter(it)
    store.committing = async (buckets, commit) => {
      if (buckets.some(({ stream }) => stream === 'outbox/alice')) store.crash()
      return await commit()
    }
    const gate = store.hold(({ name, args }) => name === 'commit' && (args[0] as { stream: string }[])[0]?.stream === 'outbox/alice')
    client.publishNow(`put/${toBob}`, JSON.stringify({ id: 'one', text: 'x' }))
    await gate.reached
    store.crash()
    abandon(it)
    expect((await inner.load('inbox/bob')).last?.lastSeq).to.equal(1)
    expect((await inner.load('outbox/alice')).last).to.equal(undefined)
    const again = await testBroker({ store: inner, folder: it.folder })
    const retry = await putter(again)
    const answer = await put(retry, toBob, { id: 'one', text: 'x' })
    expect(answer).to.not.have.property('duplicate')
    expect(await put(retry, toBob, { id: 'one', text: 'x' })).to.deep.equal({ ...answer, duplicate: true })
    expect(await topicsOf(again, 'inbox/bob')).to.have.length(1)
    expect(await topicsOf(again, 'outbox/alice')).to.have.length(1)
  })

  it('[P-15.4] where the second append fails nothing is acknowledged, and the order of the outbox is kept', async () => {
    const store = new GatedStore(new MemoryStore({ shared: true }))
    const it = await testBroker({ store })
    const client = await putter(it)
    store.committing = async (buckets, commit) =>
      buckets.some(({ stream }) => stream === 'outbox/alice') ? buckets.map(() => 'unknown') : await commit()
    const heal = store.fail(calls('settle'))
    const puts = ['one', 'two', 'three'].map((id, at) => [
      `put/outbox/alice/${at === 1 ? 'carol' : 'bob'}/chat`,
      JSON.stringify({ id, text: id }),
    ])
    for (const [topic, json] of puts) client.publishNow(topic as string, json as string)
    await client.gone('the outbox cannot be written')
    expect(client.inbox.all.filter(({ cmd }) => cmd === 'puback')).to.deep.equal([])
    store.committing = undefined
    heal()
    const retry = await putter(it)
    for (const [topic, json] of puts) retry.publishNow(topic as string, json as string)
    await retry.messages(3)
    expect((await topicsOf(it, 'outbox/alice')).map((line) => line.split(' ')[1])).to.deep.equal(['one', 'two', 'three'])
    expect((await topicsOf(it, 'inbox/bob')).map((line) => line.split(' ')[1])).to.deep.equal(['one', 'three'])
    expect((await topicsOf(it, 'inbox/carol')).map((line) => line.split(' ')[1])).to.deep.equal(['two'])
  })

  it('[P-15.4] with QoS 2 are sent once, also when the PUBLISH is repeated', async () => {
    const it = await testBroker()
    const alice = await it.client('alice', { clean: false })
    alice.publishNow(toBob, 'x', { qos: 2, messageId: 7 })
    await alice.expect(({ cmd }) => cmd === 'pubrec', 'PUBREC')
    alice.destroy()
    const back = await it.client('alice', { clean: false, present: true })
    await back.publish(toBob, 'x', { qos: 2, messageId: 7, dup: true })
    expect(await topicsOf(it, 'inbox/bob')).to.have.length(1)
    expect(await topicsOf(it, 'outbox/alice')).to.have.length(1)
  })

  it('[P-15.7, P-12.21, P-13.45, P-13.46] are bounded for each sender and inbox', async () => {
    const clock = new TestClock()
    const it = await testBroker({ clock, limits: { relayPerSecondMax: 2, relayBurstMax: 3, revocationBlindMs: 1e9 } })
    const client = await putter(it)
    const send = async (id: string, to = 'bob'): Promise<unknown> =>
      (await put(client, `outbox/alice/${to}/chat`, { id, text: 'x' }))['error']
    for (const id of ['a', 'b', 'c']) expect(await send(id), id).to.equal(undefined)
    expect(await send('d')).to.equal('too-many-requests')
    expect(await send('d', 'carol')).to.equal(undefined)
    clock.ms += 500
    expect(await send('e')).to.equal(undefined)
    expect(await send('f')).to.equal('too-many-requests')
    client.publishNow(toBob, 'x', { qos: 0 })
    await client.gone('one message too many')
    expect(it.refusals.at(-1)).to.equal('tcp too-many-requests')
    expect(await topicsOf(it, 'inbox/bob')).to.have.length(4)
  })

  it('[P-15.11, P-13.48] are refused where those of the sender fill their part of the inbox', async () => {
    const it = await testBroker({ limits: { relayBytesMax: 300 } })
    const alice = await putter(it)
    expect(await put(alice, toBob, { id: 'a', text: 'x'.repeat(200) })).to.have.all.keys('id', 'pos')
    expect(await put(alice, toBob, { id: 'b', text: 'x'.repeat(200) })).to.include({ error: 'too-many-requests' })
    expect(await put(alice, 'outbox/alice/carol/chat', { id: 'b', text: 'x'.repeat(200) })).to.have.all.keys('id', 'pos')
    alice.publishNow(toBob, 'x'.repeat(200))
    await alice.gone('its message was not taken')
    expect(it.refusals.at(-1)).to.equal('tcp too-many-requests')
  })

  it('[P-15.8] take neither retain nor a condition', async () => {
    const it = await testBroker()
    const client = await putter(it)
    for (const more of [{ retain: true }, { retain: true, if: 'none' }]) {
      expect(await put(client, toBob, { id: 'a', text: 'x', ...more })).to.include({ error: 'bad-request' })
    }
    client.publishNow(toBob, 'x', { retain: true })
    await client.gone('retain')
    expect(await it.log.streams('', 10)).to.deep.equal([])
  })

  it('[P-15.9] at QoS 0 reach who reads the inbox or the outbox now, and are not logged', async () => {
    const it = await testBroker()
    const [bob, desk] = [await it.client('bob'), await it.client('alice', { clientId: 'desk' })]
    await bob.subscribe('inbox/bob/#')
    await desk.subscribe('outbox/alice/#')
    const alice = await it.client('alice')
    alice.publishNow('outbox/alice/bob/typing', 'x', { qos: 0 })
    expect(await bob.message()).to.include({ topic: 'inbox/bob/alice/typing', text: 'x', qos: 0 })
    expect(await desk.message()).to.include({ topic: 'outbox/alice/bob/typing', text: 'x', qos: 0 })
    expect(await it.log.streams('', 10)).to.deep.equal([])
  })

  it('[P-15.1, P-4.27] may be a will, durable or ephemeral', async () => {
    const it = await testBroker()
    const bob = await it.client('bob')
    await bob.subscribe('inbox/bob/#')
    for (const qos of [1, 0] as const) {
      const alice = await it.client('alice', { will: { topic: toBob, payload: Buffer.from('gone'), qos, retain: false } })
      alice.destroy()
      expect(await bob.message()).to.include({ topic: fromAlice, text: 'gone', qos })
    }
    expect(await topicsOf(it, 'outbox/alice')).to.have.length(1)
  })
})
