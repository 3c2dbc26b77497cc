/** What holds on every door of one server: MQTT topics, puts and HTTP. */
import { expect } from 'chai'
import { cutEventReaders, EventReader } from '../support/events.ts'
import { destroyRawClients, RawClient } from '../support/raw-mqtt.ts'
import { testServer, type TestServer } from '../support/server.ts'

type Json = Record<string, unknown>

const streamPath = '/v1/streams/users/alice'
const topic = 'users/alice/notes/1'

describe('the doors of a server', function () {
  this.timeout(60_000)
  let server: TestServer
  let client: RawClient
  let token: string

  beforeEach(async () => {
    server = await testServer()
    token = await server.token('alice')
    client = await RawClient.open(server.ports.mqtt)
    expect(await client.connect({ clientId: 'phone', password: token })).to.include({ returnCode: 0 })
    await client.subscribe('reply/phone/#')
  })
  afterEach(async () => {
    cutEventReaders()
    destroyRawClients()
    await server.stop()
  })

  async function http(path: string, json?: Json): Promise<{ status: number; body: Json }> {
    const headers = { authorization: `Bearer ${token}`, ...(json ? { 'content-type': 'application/json' } : {}) }
    const response = await fetch(server.urls.http + streamPath + path, {
      headers,
      ...(json ? { method: 'POST', body: JSON.stringify(json) } : {}),
    })
    return { status: response.status, body: (await response.json()) as Json }
  }

  /** The answer to a put, on its own reply topic or on `$ctl`. */
  async function put(json: Json): Promise<Json> {
    await client.publish(`put/${topic}`, JSON.stringify(json))
    return JSON.parse((await client.message()).text) as Json
  }

  const entries = async (): Promise<Json[]> => (await http('/entries?limit=1000')).body['entries'] as Json[]

  it('[P-3.1] whatever is published becomes an entry, save at QoS 0 without retain flag', async () => {
    await client.publish(topic, 'QoS 1')
    await client.publish(topic, 'QoS 2', { qos: 2 })
    client.publishNow(topic, 'ephemeral', { qos: 0 })
    client.publishNow(topic, 'QoS 0 with retain', { qos: 0, retain: true })
    await client.publish(topic, 'QoS 1 with retain', { retain: true })
    await client.publish(topic, 'QoS 2 with retain', { qos: 2, retain: true })
    await put({ id: 'a', text: 'put' })
    await put({ id: 'b', text: 'put with retain', retain: true })
    expect((await http('/entries', { topic: 'notes/1', text: 'HTTP' })).status).to.equal(201)
    expect((await http('/entries', { topic: 'notes/1', text: 'HTTP with retain', retain: true })).status).to.equal(201)
    expect((await entries()).map(({ text, retain }) => [text, retain ?? false])).to.deep.equal([
      ['QoS 1', false],
      ['QoS 2', false],
      ['QoS 0 with retain', true],
      ['QoS 1 with retain', true],
      ['QoS 2 with retain', true],
      ['put', false],
      ['put with retain', true],
      ['HTTP', false],
      ['HTTP with retain', true],
    ])
  })

  it('[P-3.18, P-5.2] an entry id is 1 to 64 of the characters allowed, and a put must have one', async () => {
    for (const [at, id] of ['a', '-', '_', '0', 'aZ09_-', 'x'.repeat(64)].entries()) {
      const answer = await put({ id, text: `${at}` })
      expect(answer, id).to.include({ id }).and.have.property('pos')
      const { status, body } = await http('/entries', { topic: 'notes/1', id, text: `${at}` })
      expect([status, body], id).to.deep.equal([200, { ...answer, duplicate: true }])
    }
    for (const id of [undefined, '', 'x'.repeat(65), 'a b', 'a/b', 'a.b', 'a+', 'ä', 'a\n', '~', 7, null]) {
      expect(await put({ id, text: 'x' }), String(id)).to.include({ ctl: 'bad-put' })
      if (id === undefined) continue // Over HTTP the server may choose it [P-3.19].
      const { status, body } = await http('/entries', { topic: 'notes/1', id, text: 'x' })
      expect([status, body['code']], String(id)).to.deep.equal([400, 'bad-put'])
    }
    expect(await entries()).to.have.length(6)
  })

  it('[P-2.16] the word snapshot stands for a position in sync@snapshot only', async () => {
    expect(await client.subscribe('sync@snapshot/users/alice/#')).to.deep.equal([1])
    await client.unsubscribe('sync@snapshot/users/alice/#')
    for (const path of ['/entries?after=snapshot', '/entries?before=snapshot', '/state?after=snapshot']) {
      const { status, body } = await http(path)
      expect([status, body['code']], path).to.deep.equal([400, 'bad-position'])
    }
    const other = await RawClient.open(server.ports.mqtt)
    await other.connect({ clientId: 'other', password: token })
    await other.subscribe('reply/other/#')
    for (const member of [{ if: 'snapshot' }, { since: 'snapshot' }]) {
      const json = { text: 'x', retain: true, ...member }
      await other.publish(`put/${topic}`, JSON.stringify({ id: 'a', ...json }))
      expect(JSON.parse((await other.message('reply/other/a')).text), JSON.stringify(member)).to.include({ error: 'bad-position' })
      expect((await http('/entries', { topic: 'notes/1', ...json })).body['code'], JSON.stringify(member)).to.equal('bad-position')
    }
    expect(await entries()).to.deep.equal([])
  })

  it('[P-18.1, P-18.7, P-18.8, P-18.9, P-6.16] an event stream shows what the sync door shows, in the same order', async () => {
    await client.publish(topic, 'kept', { retain: true })
    const filter = 'users/alice/notes/#'
    const other = await RawClient.open(server.ports.mqtt)
    await other.connect({ clientId: 'other', password: token })
    await other.subscribe(`sync@snapshot/${filter}`)
    const reader = await EventReader.open(server.urls.http, { token, from: [`${filter}@snapshot`] })
    await reader.caughtUp(filter)
    client.publishNow(topic, 'ephemeral', { qos: 0 })
    await client.publish(topic, '{"a":1}')
    await put({ id: 'a', text: 'put' })
    await reader.events('entry', 3)

    // How often it says in between that it is caught up depends on the turns.
    const heard: Json[] = []
    while (heard.length < 6) {
      const json = JSON.parse((await other.message()).text) as Json
      if (json['ctl'] !== 'at') heard.push(comparable(json))
    }
    const shown = reader.inbox.all.filter(({ name }) => name !== 'at')
    const names = ['snapshot-start', 'entry', 'snapshot-end', 'ephemeral', 'entry', 'entry']
    expect(shown.map(({ name }) => name)).to.deep.equal(names)
    expect(shown.map(({ json }) => comparable(json))).to.deep.equal(heard)
  })
})

/** Without what tells the doors and moments apart. */
function comparable({ filter: _filter, ts: _ts, hops: _hops, ...rest }: Json): Json {
  return rest
}
