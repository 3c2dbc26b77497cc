/** The put door: JSON in, the answer on the reply topic, then the PUBACK. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { closeAll, testBroker, type TestBroker } from '../support/broker.ts'
import { GatedStore } from '../support/gated-store.ts'
import type { RawClient } from '../support/raw-mqtt.ts'

type Json = Record<string, unknown>

describe('The put door', () => {
  afterEach(closeAll)

  async function put(client: RawClient, topic: string, json: Json): Promise<Json> {
    await client.publish(`put/${topic}`, JSON.stringify(json))
    const reply = await client.message(`reply/alice/${String(json['id'])}`)
    expect(reply.qos).to.equal(0)
    return JSON.parse(reply.text) as Json
  }

  async function asAlice(options: Parameters<typeof testBroker>[0] = {}): Promise<{ it: TestBroker; client: RawClient }> {
    const it = await testBroker(options)
    const client = await it.client('alice', { token: { spaces: { board: 'write' } } })
    await client.subscribe('reply/alice/#')
    return { it, client }
  }

  it('[P-5.10, P-12.15] answers with id and position, again with the same one as a duplicate, and other content with id-reused', async () => {
    const { it, client } = await asAlice()
    const first = await put(client, 'users/alice/a', { id: 'one', data: { b: 1 } })
    expect(first).to.have.all.keys('id', 'pos')
    expect(await put(client, 'users/alice/a', { id: 'one', data: { b: 1 } })).to.deep.equal({ ...first, duplicate: true })
    expect(await put(client, 'users/alice/a', { id: 'one', data: { b: 2 } })).to.include({ id: 'one', error: 'id-reused' })
    expect((await it.log.stream('users/alice')).headSeq).to.equal(1)
  })

  it('[P-5.12] writes the answer before the PUBACK, and only to who asked', async () => {
    const { it, client } = await asAlice()
    const other = await it.client('alice', { clientId: 'other' })
    await other.subscribe('reply/other/#')
    await client.publish('put/users/alice/a', '{"id":"one","data":1}')
    const cmds = client.inbox.all.map(({ cmd }) => cmd)
    expect(cmds.indexOf('publish')).to.be.greaterThan(-1)
    expect(cmds.indexOf('publish')).to.be.lessThan(cmds.indexOf('puback'))
    await other.ping()
    expect(other.unread()).to.deep.equal([])
  })

  it('[P-5.3] stores data as JSON, text as UTF-8, base64 as bytes, and delivers them like any other entry [P-5.19]', async () => {
    const { it, client } = await asAlice()
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    await put(client, 'users/alice/a', { id: 'a', data: { x: [1, null] } })
    await put(client, 'users/alice/b', { id: 'b', text: 'grün' })
    await put(client, 'users/alice/c', { id: 'c', base64: '/wA=', retain: true })
    const got = (await reader.messages(3)).map(({ topic, payload, qos, retain }) => [topic, payload.toString('hex'), qos, retain])
    expect(got).to.deep.equal([
      ['users/alice/a', Buffer.from('{"x":[1,null]}').toString('hex'), 1, false],
      ['users/alice/b', Buffer.from('grün').toString('hex'), 1, false],
      ['users/alice/c', 'ff00', 1, false],
    ])
  })

  it('[P-5.9] deletes a retained message with no payload and retain', async () => {
    const { it, client } = await asAlice()
    await put(client, 'users/alice/a', { id: 'a', data: 1, retain: true })
    await put(client, 'users/alice/a', { id: 'b', retain: true })
    const late = await it.client('alice', { clientId: 'late' })
    await late.subscribe('users/alice/#')
    await late.ping()
    expect(late.unread()).to.deep.equal([])
  })

  it('[P-5.11] answers a put whose topic or grant is refused with the code, and keeps the connection', async () => {
    const { it, client } = await asAlice()
    const refused: [string, string][] = [
      ['users/bob/a', 'forbidden'],
      ['users/alice', 'bad-topic'],
      ['users/alice/$acl', 'bad-topic'],
      ['users/al ice/a', 'bad-topic'],
      [`users/alice/${'x'.repeat(215)}`, 'bad-topic'],
      ['users/alice/a*', 'bad-topic'],
      ['inbox/alice/bob/a', 'forbidden'],
      ['free/topic', 'bad-topic'],
      ['open/-/free', 'bad-topic'],
    ]
    for (const [topic, error] of refused) {
      const answer = await put(client, topic, { id: 'x', data: 1 })
      expect(answer, topic).to.include({ id: 'x', error })
      expect(answer['reason'], topic).to.be.a('string')
      expect(it.refusals.at(-1), topic).to.equal(`tcp ${error}`)
    }
    // A refused publish leaves its id free [P-9.8].
    expect(await put(client, 'users/alice/a', { id: 'x', data: 1 })).to.have.property('pos')
  })

  it('[P-5.16] answers a broken put that has an id', async () => {
    const { client } = await asAlice()
    const broken: [Json, string][] = [
      [{ data: 1, text: 'x' }, 'bad-put'],
      [{}, 'bad-put'],
      [{ text: 1 }, 'bad-put'],
      [{ text: '\ud800' }, 'bad-put'],
      [{ base64: '*' }, 'bad-put'],
      [{ data: 1, retain: 'yes' }, 'bad-put'],
      [{ data: 1, if: 'none' }, 'bad-put'],
      [{ data: 1, retain: true, if: 'nonsense' }, 'bad-position'],
      [{ data: 1, since: 'nonsense' }, 'bad-position'],
    ]
    for (const [json, error] of broken) {
      const answer = await put(client, 'users/alice/a', { id: 'x', ...json })
      expect(answer, JSON.stringify(json)).to.include({ id: 'x', error })
      expect(answer['reason']).to.be.a('string')
    }
    const large = await put(client, 'users/alice/a', { id: 'x', text: 'x'.repeat(94_209) })
    expect(large).to.include({ error: 'payload-too-large' })
  })

  it('[P-5.15] answers what has no usable id on $ctl', async () => {
    const { client } = await asAlice()
    for (const payload of ['', 'x', '[]', '1', 'null', '{}', '{"id":1}', '{"id":""}', '{"id":"a/b"}', `{"id":"${'x'.repeat(65)}"}`]) {
      await client.publish('put/users/alice/a', payload)
      const answer = JSON.parse((await client.message('reply/alice/$ctl')).text) as Json
      expect(answer['ctl'], payload).to.equal('bad-put')
      expect(answer['reason'], payload).to.be.a('string')
    }
  })

  it('[P-5.17] closes the connection of a put whose answer nobody would see', async () => {
    const it = await testBroker()
    for (const filters of [[], ['reply/alice/other'], ['reply/alice/$ctl']]) {
      const client = await it.client('alice')
      if (filters.length > 0) await client.subscribe(filters)
      client.publishNow('put/users/alice/a', '{"id":"one","data":1}')
      await client.gone('nobody would see the answer')
    }
    expect((await it.log.stream('users/alice')).headSeq).to.equal(0)
    const exact = await it.client('alice')
    expect(await exact.subscribe('reply/alice/one')).to.deep.equal([0])
    await exact.publish('put/users/alice/a', '{"id":"one","data":1}')
    expect((await exact.message()).topic).to.equal('reply/alice/one')
  })

  it('[P-5.18] closes the connection of a put with QoS 0 or 2, or with the retain flag', async () => {
    const it = await testBroker()
    for (const options of [{ qos: 0 }, { qos: 2 }, { retain: true }] as const) {
      const client = await it.client('alice')
      await client.subscribe('reply/alice/#')
      client.publishNow('put/users/alice/a', '{"id":"one","data":1}', options)
      await client.gone(JSON.stringify(options))
    }
    expect((await it.log.stream('users/alice')).headSeq).to.equal(0)
  })

  it('[P-5.14] neither answers nor acknowledges what the store did not take, and publishes the will once', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store })
    const witness = await it.client('alice', { clientId: 'witness' })
    await witness.subscribe('users/alice/will')
    const client = await it.client('alice', { will: { topic: 'users/alice/will', payload: Buffer.from('gone'), qos: 0, retain: false } })
    await client.subscribe('reply/alice/#')
    store.committing = () => Promise.resolve(['unknown'])
    client.socket.cork()
    for (const id of ['a', 'b', 'c']) client.publishNow('put/users/alice/a', JSON.stringify({ id, data: 1 }))
    client.socket.uncork()
    await client.gone('the store failed')
    expect(client.inbox.waiting).to.deep.equal([])
    store.committing = undefined
    expect((await witness.message()).text).to.equal('gone')
    await witness.ping()
    expect(witness.unread()).to.deep.equal([])
    expect(it.broker.stats()).to.include({ connections: 1, sessions: 1 })
  })

  it('[P-9.15, P-12.14] refuses a condition that does not hold with the current entry', async () => {
    const { client } = await asAlice()
    const topic = 'users/alice/doc'
    const first = await put(client, topic, { id: 'v1', data: 1, retain: true, if: 'none' })
    expect(first).to.have.property('pos')
    const conflict = await put(client, topic, { id: 'v2', data: 2, retain: true, if: 'none' })
    expect(conflict['error']).to.equal('conflict')
    expect(conflict['current']).to.include({ id: 'v1', pos: first['pos'], data: 1, topic })
    const second = await put(client, topic, { id: 'v2', data: 2, retain: true, if: first['pos'] })
    expect(second).to.have.property('pos')
    expect(await put(client, topic, { id: 'v3', data: 3, retain: true, if: 'id:v2' })).to.have.property('pos')
    expect(await put(client, topic, { id: 'v4', retain: true, if: 'id:v3' })).to.have.property('pos')
    const gone = await put(client, topic, { id: 'v5', data: 5, retain: true, if: 'id:v3' })
    expect(gone).to.deep.include({ error: 'conflict', current: null })
    // Once it has succeeded it is a duplicate, not a conflict [P-9.11].
    expect(await put(client, topic, { id: 'v1', data: 1, retain: true, if: 'none' })).to.deep.equal({ ...first, duplicate: true })
  })

  it('[P-9.16] lets one of many conditional puts at once succeed', async () => {
    const { it, client } = await asAlice()
    const other = await it.client('alice', { clientId: 'other' })
    await other.subscribe('reply/other/#')
    for (let at = 0; at < 20; at++) {
      client.publishNow('put/users/alice/doc', JSON.stringify({ id: `a${at}`, data: at, retain: true, if: 'none' }))
      other.publishNow('put/users/alice/doc', JSON.stringify({ id: `b${at}`, data: at, retain: true, if: 'none' }))
    }
    const answers = [...(await client.messages(20)), ...(await other.messages(20))].map(({ text }) => JSON.parse(text) as Json)
    expect(answers.filter((answer) => 'pos' in answer)).to.have.length(1)
    expect(answers.filter(({ error }) => error === 'conflict')).to.have.length(39)
  })

  it('[P-9.3] lets the creator and owners delete in a space, and nobody else', async () => {
    const { it, client } = await asAlice()
    const bob = await it.client('bob', { token: { spaces: { board: 'write' } } })
    await bob.publish('spaces/board/x', 'bobs', { retain: true })
    expect(await put(client, 'spaces/board/x', { id: 'd', retain: true })).to.include({ error: 'forbidden' })
    client.publishNow('spaces/board/x', '', { retain: true })
    await client.gone('it may not delete what bob has made')
    const owner = await it.client('carol', { token: { spaces: { board: 'own' } } })
    await owner.publish('spaces/board/x', '', { retain: true })
  })

  it('[P-1.27] names the open stream open/-, and nothing else is reached by that name', async () => {
    const { it, client } = await asAlice({ openEnabled: true })
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('#')
    await put(client, 'open/-/lamp/on', { id: 'a', data: true })
    expect((await reader.message()).topic).to.equal('lamp/on')
    for (const [topic, error] of [
      ['open/-/users/alice/a', 'bad-topic'],
      ['open/-/auth/renew', 'bad-topic'],
      ['lamp/on', 'bad-topic'],
    ] as const)
      expect(await put(client, topic, { id: 'b', data: true }), topic).to.include({ error })
    expect((await it.log.stream('users/alice')).headSeq).to.equal(0)
  })

  it('[P-1.21] closes the connection of a put whose topic on the wire is too long', async () => {
    const it = await testBroker({ openEnabled: true })
    for (const topic of ['put/open/-/1/2/3/4/5/6', `put/open/-/${'x'.repeat(250)}`]) {
      const client = await it.client('alice')
      await client.subscribe('reply/alice/#')
      client.publishNow(topic, '{"id":"a","data":1}')
      await client.gone(topic)
      expect(client.unread()).to.deep.equal([])
    }
  })
})
