/** The members of a put that say how it is to be appended, and what its PUBACK says. */
import { expect } from 'chai'
import { closeAll, testBroker, type TestBroker } from '../support/broker.ts'
import type { RawClient } from '../support/raw-mqtt.ts'

type Json = Record<string, unknown>

const topic = 'users/alice/a'

describe('A put', () => {
  afterEach(closeAll)

  async function asAlice(options: Parameters<typeof testBroker>[0] = {}): Promise<{ it: TestBroker; client: RawClient }> {
    const it = await testBroker(options)
    const client = await it.client('alice')
    await client.subscribe('reply/alice/#')
    return { it, client }
  }

  async function put(client: RawClient, json: Json, to = topic): Promise<Json> {
    await client.publish(`put/${to}`, JSON.stringify(json))
    return JSON.parse((await client.message()).text) as Json
  }

  it('[P-5.6] is retained only if it says retain: true', async () => {
    const { it, client } = await asAlice()
    for (const [id, retain] of [
      ['absent', {}],
      ['false', { retain: false }],
      ['true', { retain: true }],
    ] as const)
      expect(await put(client, { id, text: id, ...retain }, `users/alice/${id}`)).to.have.property('pos')
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe(['users/alice/#', 'sync@earliest/users/alice/#'])
    const shown: unknown[] = []
    while (shown.length < 3) {
      const { topic: from, text } = await reader.message()
      const json = from.startsWith('sync') ? (JSON.parse(text) as Json) : {}
      if (json['id'] !== undefined) shown.push([json['id'], json['retain'] ?? 'absent'])
      else if (!from.startsWith('sync')) expect([from, text]).to.deep.equal(['users/alice/true', 'true'])
    }
    expect(shown).to.deep.equal([
      ['absent', 'absent'],
      ['false', 'absent'],
      ['true', true],
    ])
    for (const retain of ['true', 1, null]) {
      expect(await put(client, { id: 'odd', text: 'x', retain }), String(retain)).to.include({ id: 'odd', error: 'bad-put' })
    }
  })

  it('[P-5.8, P-12.16] says since, so that what is no longer remembered is not appended twice', async () => {
    const { it, client } = await asAlice({ limits: { idWindowMs: 0, idWindowEntries: 3 } })
    const before = await put(client, { id: 'first', text: 'x' })
    const positions: unknown[] = []
    for (let at = 0; at < 8; at++) positions.push((await put(client, { id: `id${at}`, text: 'x' }))['pos'])
    // Who does not say since, appends it again.
    const again = await put(client, { id: 'first', text: 'x' })
    expect(again).to.have.property('pos').and.not.equal(before['pos'])
    expect(again).to.not.have.property('duplicate')
    const { headSeq } = await it.log.stream('users/alice')
    expect(await put(client, { id: 'lost', text: 'x', since: positions[0] })).to.include({ id: 'lost', error: 'unknown-outcome' })
    expect(await put(client, { id: 'lost', text: 'x', since: 'OTHEREPO.9.abcd' })).to.include({ error: 'unknown-outcome' })
    expect((await it.log.stream('users/alice')).headSeq).to.equal(headSeq)
    expect(await put(client, { id: 'id7', text: 'x', since: positions[0] })).to.deep.equal({
      id: 'id7',
      pos: positions[7],
      duplicate: true,
    })
    expect(await put(client, { id: 'lost', text: 'x', since: again['pos'] })).to.have.property('pos')
  })

  it('[P-5.15] is no JSON where it is no UTF-8, and nothing of it is appended', async () => {
    const { it, client } = await asAlice()
    const bytes = Buffer.from('{"id":"one","text":"\xff"}', 'latin1')
    await client.publish(`put/${topic}`, bytes)
    expect(JSON.parse((await client.message('reply/alice/$ctl')).text)).to.include({ ctl: 'bad-put' })
    expect((await it.log.stream('users/alice')).headSeq).to.equal(0)
  })

  it('[P-5.13] has its PUBACK after its answer, well or badly', async () => {
    const { client } = await asAlice()
    const puts: readonly (readonly [string, object | string])[] = [
      [topic, { id: 'taken', text: 'x', retain: true }],
      [topic, { id: 'taken', text: 'x', retain: true }],
      [topic, { id: 'taken', text: 'y', retain: true }],
      [topic, { id: 'conflict', text: 'x', retain: true, if: 'none' }],
      [topic, { id: 'broken' }],
      [topic, '{'],
      ['users/bob/a', { id: 'forbidden', text: 'x' }],
      [topic, { id: 'last', text: 'x' }],
    ]
    const seen = client.inbox.all.length
    client.socket.cork()
    const ids = puts.map(([to, json]) => client.publishNow(`put/${to}`, typeof json === 'string' ? json : JSON.stringify(json)))
    client.socket.uncork()
    await client.expect(({ cmd, messageId }) => cmd === 'puback' && messageId === ids.at(-1), 'the last PUBACK')
    let answers = 0
    const answeredBefore: number[] = []
    for (const { cmd } of client.inbox.all.slice(seen)) {
      if (cmd === 'publish') answers++
      if (cmd === 'puback') answeredBefore.push(answers)
    }
    expect(answers).to.equal(puts.length)
    expect(answeredBefore).to.have.length(puts.length)
    for (const [at, count] of answeredBefore.entries()) expect(count, `answers before PUBACK ${at}`).to.be.at.least(at + 1)
    const said = client.unread().map(({ text }) => JSON.parse(text) as Json)
    expect(said.map(({ error, ctl, duplicate }) => error ?? ctl ?? duplicate ?? 'pos')).to.have.members([
      'pos',
      true,
      'id-reused',
      'conflict',
      'bad-put',
      'bad-put',
      'forbidden',
      'pos',
    ])
  })
})
