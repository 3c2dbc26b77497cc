/** `/v1/sessions`: who is there, who was, and how far behind. */
import { expect } from 'chai'
import type { HeldSession } from '../../bridge/index.ts'
import { withdraw } from '../../log/members.ts'
import { RawClient } from '../support/raw-mqtt.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { append, ask, makeWorld, type World } from './support.ts'

interface Listed {
  readonly client: string
  readonly kept: boolean
  readonly connected: boolean
  readonly seen: number
  readonly streams?: readonly { readonly stream: string; readonly behind: number; readonly lost?: true }[]
}

interface Page {
  readonly sessions: readonly Listed[]
  readonly next: string
  readonly upToDate: boolean
}

describe('bridge: /v1/sessions', () => {
  let world: World
  afterEach(() => world.close())

  const held = (client: string, places: Record<string, number> = {}, more: Partial<HeldSession> = {}): HeldSession => ({
    client,
    kept: true,
    connected: false,
    seenMs: 1_000,
    places: new Map(Object.entries(places)),
    ...more,
  })
  const page = async (query = '', token = 'alice'): Promise<Page> => {
    const { status, body, text } = await ask(world, `/v1/sessions${query}`, { token })
    expect(status, text).to.equal(200)
    return body as unknown as Page
  }

  it('[P-19.5 – P-19.10] lists them with what they are behind, and what was trimmed away from them', async () => {
    const sessions = [
      held('desk', { 'users/alice': 3, 'inbox/alice': 0 }, { connected: true, kept: false, seenMs: 2_000 }),
      held('far', {}, { places: undefined }),
      held('phone', { 'users/alice': 0 }),
    ]
    world = await makeWorld({ sessions: () => Promise.resolve({ sessions, next: undefined }) })
    await append(world, 'users/alice', [{ topic: 'users/alice/a' }, { topic: 'users/alice/b' }])
    await append(world, 'users/alice', [{ topic: 'users/alice/c' }, { topic: 'users/alice/d' }, { topic: 'users/alice/e' }])
    await world.log.trim('users/alice', 3)
    expect(await page()).to.deep.equal({
      sessions: [
        {
          client: 'desk',
          kept: false,
          connected: true,
          seen: 2_000,
          streams: [
            { stream: 'users/alice', behind: 2 },
            { stream: 'inbox/alice', behind: 0 },
          ],
        },
        { client: 'far', kept: true, connected: false, seen: 1_000 },
        { client: 'phone', kept: true, connected: false, seen: 1_000, streams: [{ stream: 'users/alice', behind: 5, lost: true }] },
      ],
      next: 'phone',
      upToDate: true,
    })
  })

  it('[P-19.5] asks for pages of the user of the token', async () => {
    const asked: unknown[] = []
    const answer = { sessions: [held('b')], next: 'b2' }
    world = await makeWorld({ sessions: (...of) => (asked.push(of), Promise.resolve(answer)) })
    expect(await page('?after=a&limit=1', 'bob')).to.include({ next: 'b2', upToDate: false })
    await page()
    expect(asked).to.deep.equal([
      ['bob', { after: 'a', limit: 1 }],
      ['alice', { after: '', limit: 100 }],
    ])
    for (const query of ['?limit=0', '?limit=101', '?uid=bob', '?after=b%2Fc', '?after=%25']) {
      expect((await ask(world, `/v1/sessions${query}`, { token: 'alice' })).body['code'], query).to.equal('bad-request')
    }
  })

  it('[P-19.5] is for whole tokens of the user: a narrowed one, or none, learns nothing', async () => {
    world = await makeWorld({ sessions: () => Promise.reject(new Error('asked')) })
    expect((await ask(world, '/v1/sessions', { token: 'narrow' })).body['code']).to.equal('forbidden')
    expect((await ask(world, '/v1/sessions')).body['code']).to.equal('unauthorized')
    world.authority.blind = true
    expect((await ask(world, '/v1/sessions', { token: 'alice' })).body['code']).to.equal('store-unavailable')
  })

  it('[P-19.10] leaves out streams that the token may not read, and those that the user was withdrawn from', async () => {
    const sessions = [held('desk', { 'users/bob': 0, 'users/alice': 0, 'spaces/board': 0, 'spaces/other': 0 })]
    world = await makeWorld({ sessions: () => Promise.resolve({ sessions, next: undefined }) })
    const streams = async (): Promise<string[]> => ((await page('', 'bob')).sessions[0]?.streams ?? []).map(({ stream }) => stream)
    expect(await streams()).to.have.members(['users/bob', 'spaces/board'])
    await withdraw(world.log, 'spaces/board', 'bob', { uid: 'carol', client: 'desk', issuedAtMs: world.clock.now() })
    expect(await streams()).to.deep.equal(['users/bob'])
  })
})

describe('the sessions of a user', () => {
  let server: TestServer
  beforeEach(async () => void (server = await testServer()))
  afterEach(() => server.stop())

  async function client(name: string, clientId: string, clean = false): Promise<RawClient> {
    const raw = await RawClient.open(server.ports.mqtt)
    const { returnCode } = await raw.connect({ clientId, clean, password: await server.token(name) })
    expect(returnCode).to.equal(0)
    return raw
  }

  async function sessions(name: string, query = ''): Promise<Page> {
    const headers = { authorization: `Bearer ${await server.token(name)}` }
    const answer = await fetch(`${server.urls.http}/v1/sessions${query}`, { headers })
    return (await answer.json()) as Page
  }

  it('[P-19.5, P-19.7 – P-19.10] are those connected and those kept, with their places', async () => {
    const before = Date.now()
    const phone = await client('alice', 'phone')
    await phone.subscribe('users/alice/#')
    await phone.disconnect()
    const desk = await client('alice', 'my desk', true)
    await desk.subscribe('sync/users/alice/#')
    await client('bob', 'bobs')
    for (const text of ['one', 'two', 'three']) await desk.publish('users/alice/notes', text)
    await desk.messages(4)

    const listed = await sessions('alice')
    expect(listed.sessions.map(({ client: id, kept, connected, streams }) => ({ id, kept, connected, streams }))).to.deep.equal([
      { id: 'my=20desk', kept: false, connected: true, streams: [{ stream: 'users/alice', behind: 0 }] },
      { id: 'phone', kept: true, connected: false, streams: [{ stream: 'users/alice', behind: 3 }] },
    ])
    for (const { seen } of listed.sessions) expect(seen).to.be.within(before, Date.now())
    await desk.disconnect()
    expect((await sessions('alice')).sessions.map(({ client: id }) => id)).to.deep.equal(['phone'])
    expect((await sessions('nobody')).sessions).to.deep.equal([])
  })

  it('[P-19.10] tell of a place what was acknowledged, not what was sent', async () => {
    const phone = await client('alice', 'phone')
    phone.acknowledges = false
    await phone.subscribe('users/alice/#')
    await phone.publish('users/alice/notes', 'one')
    await phone.message()
    const behind = async (): Promise<number | undefined> => (await sessions('alice')).sessions[0]?.streams?.[0]?.behind
    expect(await behind()).to.equal(1)
    await phone.disconnect()
    expect(await behind()).to.equal(1)
  })

  it('[P-19.5] come in pages that miss nobody', async () => {
    for (const id of ['e', 'c', 'a']) await (await client('alice', id)).disconnect()
    for (const id of ['d', 'b']) await client('alice', id, true)
    const seen: string[] = []
    let after = ''
    for (;;) {
      const { sessions: some, next, upToDate } = await sessions('alice', `?limit=2&after=${after}`)
      seen.push(...some.map(({ client: id }) => id))
      if (upToDate) break
      after = next
    }
    expect(seen).to.deep.equal(['a', 'b', 'c', 'd', 'e'])
  })
})
