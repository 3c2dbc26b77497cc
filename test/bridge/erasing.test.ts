/** `DELETE /v1/streams/{kind}/{id}`. */
import { expect } from 'chai'
import { append, ask, history, makeWorld, seqOf, type Answer, type World } from './support.ts'

describe('bridge: erasing a stream', () => {
  let world: World
  beforeEach(async () => {
    world = await makeWorld({ openEnabled: true })
    await append(world, 'users/alice', [{ topic: 'users/alice/a', payload: 'one', retain: true }])
  })
  afterEach(() => world.close())

  const erase = (stream = 'users/alice', token = 'ops'): Promise<Answer> => ask(world, `/v1/streams/${stream}`, { method: 'DELETE', token })

  it('200 with the place that is the first one now; what stood before it is gone [P-17.1] [P-17.4] [P-11.36]', async () => {
    const before = await history(world)
    const { status, body } = await erase()
    expect([status, Object.keys(body)]).to.deep.equal([200, ['pos']])
    const { entries, first, head } = await history(world)
    expect([first, head]).to.deep.equal([body['pos'], body['pos']])
    expect(entries.map(({ topic }) => topic)).to.deep.equal(['users/alice/$erased'])
    expect((await ask(world, '/v1/streams/users/alice/state', { token: 'alice' })).body['entries']).to.deep.equal([])
    // The position before the first entry is served, one before that is not [P-2.14].
    expect((await history(world, `after=${before.head}`)).entries).to.have.length(1)
    const gone = await ask(world, `/v1/streams/users/alice/entries?after=${world.log.epoch}.0.0000`, { token: 'alice' })
    expect([gone.status, gone.body['code']]).to.deep.equal([410, 'trimmed'])
  })

  it('needs the grant ops:erase, owning the stream is not enough [P-17.1] [P-10.13]', async () => {
    for (const [stream, token, status, code] of [
      ['users/alice', 'alice', 403, 'forbidden'],
      ['spaces/board', 'carol', 403, 'forbidden'],
      ['things/x', 'ops', 404, 'not-found'],
      ['users/a%20b', 'ops', 400, 'bad-topic'],
    ] as const) {
      const answer = await erase(stream, token)
      expect([answer.status, answer.body['code']], stream).to.deep.equal([status, code])
    }
    expect((await history(world)).entries).to.have.length(1)
  })

  it('also the open stream [P-17.1]', async () => {
    await append(world, 'open/-', [{ topic: 'a', retain: true }])
    expect((await erase('open/-')).status).to.equal(200)
    const { entries, first, head } = await history(world, '', '/v1/streams/open/-/entries')
    // A wildcard in front does not match the topic of the server [P-1.26].
    expect(entries).to.deep.equal([])
    expect([first, seqOf(head)]).to.deep.equal([head, 2])
  })
})
