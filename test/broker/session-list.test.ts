/** The sessions of a user where several nodes serve one store. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { closeAllNodes, deafPair, type Pair } from '../support/nodes.ts'

describe('The sessions of a user on two nodes', () => {
  afterEach(closeAllNodes)

  const told = async (node: Pair['a'], page = { after: '', limit: 100 }) => {
    const { sessions, next } = await node.broker.sessionsOf('alice', page)
    return {
      sessions: sessions.map(({ client, kept, connected, places }) => ({ client, kept, connected, places: places && [...places] })),
      next,
    }
  }

  it('[P-19.5, P-19.8, P-19.10] are the same on both, as far as the other can know', async () => {
    const store = new MemoryStore({ shared: true })
    const pair = await deafPair({}, { handle: () => store })
    const kept = await pair.a.client('alice', { clientId: 'kept', clean: false })
    await kept.subscribe('users/alice/#')
    const tab = await pair.a.client('alice', { clientId: 'tab' })
    await tab.subscribe('users/alice/#')
    const gone = await pair.a.client('alice', { clientId: 'gone' })
    await gone.disconnect()
    await pair.a.client('bob', { clientId: 'bobs' })
    const ofKept = { client: 'kept', kept: true, connected: true, places: [['users/alice', 0]] }
    expect((await told(pair.a)).sessions).to.deep.equal([
      ofKept,
      { client: 'tab', kept: false, connected: true, places: [['users/alice', 0]] },
    ])
    expect((await told(pair.b)).sessions).to.deep.equal([ofKept, { client: 'tab', kept: false, connected: true, places: undefined }])
    await kept.disconnect()
    await tab.disconnect()
    expect((await told(pair.b)).sessions).to.deep.equal([{ ...ofKept, connected: false }])
  })

  it('[P-19.5] come in pages that miss nobody, wherever they are', async () => {
    const store = new MemoryStore({ shared: true })
    const pair = await deafPair({}, { handle: () => store })
    for (const clientId of ['e', 'b']) await (await pair.a.client('alice', { clientId, clean: false })).disconnect()
    for (const clientId of ['d', 'a']) await pair.b.client('alice', { clientId })
    await pair.a.client('alice', { clientId: 'c' })
    const seen: string[] = []
    let after: string | undefined = ''
    while (after !== undefined) {
      const { sessions, next } = await told(pair.a, { after, limit: 2 })
      seen.push(...sessions.map(({ client }) => client))
      after = next
    }
    expect(seen).to.deep.equal(['a', 'b', 'c', 'd', 'e'])
  })
})
