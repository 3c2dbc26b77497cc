/** Messages between users over HTTP. */
import { expect } from 'chai'
import { ask, history, makeWorld, type Answer, type World } from './support.ts'

const outbox = '/v1/streams/outbox/alice/entries'
const inbox = '/v1/streams/inbox/bob/entries'

describe('bridge: messages between users', () => {
  let world: World
  beforeEach(async () => void (world = await makeWorld()))
  afterEach(() => world.close())

  const post = (json: unknown, path = outbox, token = 'alice'): Promise<Answer> => ask(world, path, { token, json })

  it('are published to the outbox and read from the inbox; the answer names the place in the outbox [P-15.1] [P-15.4]', async () => {
    const { status, body } = await post({ topic: 'bob/chat/1', text: 'hello' })
    expect(status).to.equal(201)
    const [own] = (await history(world, '', outbox)).entries
    const [got] = (await history(world, '', inbox, 'bob')).entries
    expect(own).to.include({ pos: body['pos'], id: body['id'], topic: 'outbox/alice/bob/chat/1', text: 'hello' })
    expect(got).to.include({ id: body['id'], from: 'alice', topic: 'inbox/bob/alice/chat/1', text: 'hello' })
  })

  it('are repeated under their id without a double [P-15.5]', async () => {
    const first = await post({ topic: 'bob/chat', id: 'one', text: 'x' })
    const second = await post({ topic: 'bob/chat', id: 'one', text: 'x' })
    expect([second.status, second.body]).to.deep.equal([200, { ...first.body, duplicate: true }])
    expect((await post({ topic: 'carol/chat', id: 'one', text: 'x' })).body['code']).to.equal('id-reused')
    expect(await world.log.streams('', 10)).to.deep.equal(['inbox/bob', 'outbox/alice'])
  })

  it('are refused as on the other doors [P-15.1] [P-15.2] [P-15.7] [P-15.8]', async () => {
    const refused: [object, string, number, string][] = [
      [{ topic: 'bob', text: 'x' }, outbox, 400, 'bad-topic'],
      [{ topic: 'b ob/x', text: 'x' }, outbox, 400, 'bad-topic'],
      [{ topic: 'bob/x', text: 'x', retain: true }, outbox, 400, 'bad-request'],
      [{ topic: 'bob/x', text: 'x', retain: true, if: 'none' }, outbox, 400, 'bad-request'],
      [{ topic: 'alice/x', text: 'x' }, inbox, 403, 'forbidden'],
      [{ topic: 'bob/x', text: 'x' }, '/v1/streams/inbox/alice/entries', 403, 'forbidden'],
      [{ topic: 'alice/x', text: 'x' }, '/v1/streams/outbox/bob/entries', 403, 'forbidden'],
    ]
    for (const [json, path, status, code] of refused) {
      const answer = await post(json, path)
      expect([answer.status, answer.body['code']], `${path} ${JSON.stringify(json)}`).to.deep.equal([status, code])
    }
    expect(await world.log.streams('', 10)).to.deep.equal([])
    const burst = await Promise.all(Array.from({ length: 101 }, (_unused, at) => post({ topic: 'bob/chat', data: at })))
    expect(burst.map(({ status }) => status).filter((status) => status === 201)).to.have.length(100)
    expect(burst.at(-1)?.body['code']).to.equal('too-many-requests')
  })

  it('are read by their owner only [P-1.5]', async () => {
    for (const path of [inbox, outbox]) {
      expect((await ask(world, path, { token: path === inbox ? 'alice' : 'bob' })).body['code']).to.equal('forbidden')
    }
  })
})
