/** Live state of a stream against a real server: what belongs to it, and what it costs. */
import { expect } from 'chai'
import type { Clear, Codec } from '../../client/codec.ts'
import { connect, type Client, type ClientOptions, type StateMap } from '../../client/index.ts'
import { testServer, type TestServer, type TokenOptions } from '../support/server.ts'

describe('state', () => {
  let server: TestServer
  const clients: Client[] = []

  before(async () => {
    server = await testServer({ settings: { open: true } })
  })
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((made) => made.close()))
  })
  after(() => server.stop())

  function client(user: string, token: TokenOptions = {}, options: Partial<ClientOptions> = {}): Client {
    const made = connect({ url: server.urls.http, getToken: () => server.token(user, token), ...options })
    clients.push(made)
    return made
  }

  it('a prefix holds what is below it, and not the topic that it ends', async () => {
    const stream = client('alice').stream('users/alice')
    await stream.publish('cards', 'the level itself', { retain: true })
    await stream.publish('cards/1', 'below', { retain: true })
    const cards = stream.state('cards/')
    await cards.ready
    expect(cards.entries().map(({ topic }) => topic)).to.deep.equal(['cards/1'])
    cards.close()
  })

  it('[P-10.1] under a token that grants a part of a stream, all of the state is that part', async () => {
    const all = client('bob').stream('users/bob')
    await all.publish('notes/1', 'mine', { retain: true })
    await all.publish('other', 'not granted', { retain: true })
    const part = client('carl', { grants: ['subscribe:users/bob/notes/#'] }).stream('users/bob', { filter: 'notes/#' })
    const state = part.state()
    await state.ready
    expect(state.entries().map(({ topic }) => topic)).to.deep.equal(['notes/1'])
    state.close()
  })

  it('[P-1.27] what waits for the stream open is shown under the topic that it will have', async () => {
    const open = client('dora').stream('open/-')
    const state = open.state()
    await state.ready
    const published = open.publish('lamps/hall', 'on', { retain: true })
    const shown = await first(state, () => state.entries().length > 0)
    expect(shown.map(({ topic, pending }) => ({ topic, pending }))).to.deep.equal([{ topic: 'lamps/hall', pending: true }])
    await published
    await first(state, () => state.get('lamps/hall')?.pending === false)
    expect(state.size).to.equal(1)
    state.close()
  })

  it('looks at each waiting publish once, however many wait', async () => {
    const count = 400
    let decoded = 0
    const plain: Codec = {
      encode: (_stream, clear) => Promise.resolve(clear),
      decode: (_stream, wire): Promise<Clear> => {
        decoded++
        return Promise.resolve(wire)
      },
      topic: (_stream, filter) => Promise.resolve(filter),
    }
    const stream = client('emil', {}, { codec: plain }).stream('users/emil')
    const [cards, others] = [stream.state('cards/'), stream.state('others/')]
    await Promise.all([cards.ready, others.ready])
    await Promise.all(Array.from({ length: count }, (_, n) => stream.publish(`cards/${n}`, n, { retain: true })))
    await first(cards, () => cards.entries().filter(({ pending }) => !pending).length === count)
    expect(others.size).to.equal(0)
    // Both maps look at what waits; one of them reads what has been committed.
    expect(decoded).to.be.at.most(3 * count)
  })
})

/** The entries of a state once it is as wanted. */
function first(state: StateMap, isThere: () => boolean): Promise<ReturnType<StateMap['entries']>> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!isThere()) return
      end()
      resolve(state.entries())
    }
    const end = state.subscribe(look)
    look()
  })
}
