/** The SDK against a real server, as an app uses it. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect } from 'chai'
import { ClientError, connect, type Client, type ClientOptions, type Entry, type EntryReader } from '../../client/index.ts'
import { testServer, type TestServer } from '../support/server.ts'

describe('connect', () => {
  let server: TestServer
  const clients: Client[] = []
  let stopped = false

  before(async () => {
    server = await testServer()
  })
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((open) => open.close()))
    if (stopped) await server.restart()
    stopped = false
  })
  after(() => server.stop())

  function client(user: string, options: Partial<ClientOptions> = {}): Client {
    const made = connect({ url: server.urls.http, getToken: () => server.token(user), ...options })
    clients.push(made)
    return made
  }

  it('publishes, and reads history and what is new, in order and once', async () => {
    const notes = client('alice').stream('users/alice')
    for (let n = 1; n <= 5; n++) await notes.publish('notes', { n })
    const reader = notes.entries({ from: 'earliest' })
    expect((await take(reader, 5)).map(({ data }) => data)).to.deep.equal([1, 2, 3, 4, 5].map((n) => ({ n })))
    const other = client('alice').stream('users/alice')
    await other.publish('notes', { n: 6 })
    const [sixth] = await take(reader, 1)
    expect(sixth).to.include({ seq: 6, from: 'alice', topic: 'notes', stream: 'users/alice', format: 'json', retain: false })
    expect(sixth?.receipt?.delivered).to.be.closeTo(Date.now(), 5_000)
    await reader.return()
    const again = notes.entries({ from: sixth?.pos ?? '' })
    await notes.publish('notes', { n: 7 })
    expect((await take(again, 1))[0]?.seq).to.equal(7)
  })

  it('shows what is there while the connection is still being opened, and needs none for that', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const publicMqttUrl = `ws://127.0.0.1:${(silent.address() as AddressInfo).port}/mqtt`
    const slow = await testServer({ settings: { publicMqttUrl } })
    try {
      const here = { url: slow.urls.http, getToken: () => slow.token('early') }
      await client('early', { ...here, transport: 'http' })
        .stream('users/early')
        .publish('notes', 'there before', { retain: true })
      const mine = client('early', { ...here, transport: 'mqtt' })
      const stream = mine.stream('users/early')
      const [first] = await take(stream.entries({ from: 'earliest' }), 1)
      expect(first?.data).to.equal('there before')
      const notes = stream.state('')
      await shown(notes, () => notes.get('notes')?.data === 'there before')
      expect(mine.status.get()).to.include({ connection: 'connecting', transport: undefined })
    } finally {
      await Promise.all(clients.splice(0).map((open) => open.close()))
      await slow.stop()
      silent.close()
    }
  })

  it('goes on behind the last entry when the server was away, and sends what was published meanwhile', async function () {
    this.timeout(30_000)
    const mine = client('bob', { bounds: { retryFirstMs: 20, retryLongestMs: 100 } })
    const stream = mine.stream('users/bob')
    const reader = stream.entries({ from: 'earliest' })
    await stream.publish('a', 1)
    expect((await take(reader, 1))[0]?.data).to.equal(1)
    await server.stop()
    stopped = true
    await until(mine, ({ connection }) => connection === 'offline')
    const late = stream.publish('a', 2)
    await until(mine, ({ pending }) => pending === 1)
    await server.restart()
    stopped = false
    expect(await late).to.include({ duplicate: false })
    expect((await take(reader, 1))[0]?.data).to.equal(2)
    await until(mine, ({ connection, pending, behind }) => connection === 'online' && pending === 0 && behind === 0)
  })

  it('keeps a state live, shows what waits in advance, and tells the loser of a conflict what stands there', async () => {
    const space = { spaces: { board: 'write' as const } }
    const [carol, dave] = ['carol', 'dave'].map((name) =>
      client(name, { getToken: () => server.token(name, space) }).stream('spaces/board'),
    )
    if (!carol || !dave) throw new Error('two clients')
    const cards = dave.state('cards/')
    await cards.ready
    expect(cards.size).to.equal(0)
    const { pos } = await carol.publish('cards/1', { title: 'one' }, { retain: true, if: 'none' })
    await shown(cards, () => cards.get('cards/1')?.pos === pos)
    const mine = dave.publish('cards/1', { title: 'mine' }, { retain: true, if: cards.get('cards/1') as Entry })
    await shown(cards, () => cards.get('cards/1')?.pending === true)
    expect(cards.get('cards/1')?.data).to.deep.equal({ title: 'mine' })
    await mine
    const refused = await carol.publish('cards/1', { title: 'late' }, { retain: true, if: pos }).catch((error: unknown) => error)
    expect(refused).to.be.instanceOf(ClientError)
    expect(refused).to.include({ code: 'conflict', message: 'The topic has changed since the version named' })
    expect(((refused as ClientError).details['current'] as Entry).data).to.deep.equal({ title: 'mine' })
    await shown(cards, () => cards.get('cards/1')?.pending === false)
    await carol.publish('cards/1', undefined, { retain: true })
    await shown(cards, () => cards.size === 0)
    cards.close()
  })

  it('says at once that a stream may not be read, and goes on with the others', async () => {
    const eve = client('eve')
    const stolen = eve.stream('users/alice').entries({ from: 'earliest' })
    const error = await stolen.next().catch((thrown: unknown) => thrown)
    expect((error as ClientError).code).to.equal('forbidden')
    await eve.stream('users/eve').publish('a', 1)
    expect((await take(eve.stream('users/eve').entries({ from: 'earliest' }), 1))[0]?.data).to.equal(1)
  })

  it('a position that is none, and one of another server', async () => {
    const stream = client('frank').stream('users/frank')
    expect(() => stream.entries({ from: '17' }))
      .to.throw(ClientError)
      .with.property('code', 'bad-position')
    await stream.publish('kept', 'here', { retain: true })
    const resets: string[] = []
    const reader = stream.entries({ from: 'AAAAAAAA.7.abcd', onReset: ({ reason }) => resets.push(reason) })
    expect((await take(reader, 1))[0]).to.include({ topic: 'kept', data: 'here', snapshot: true })
    expect(resets).to.deep.equal(['epoch'])
  })

  it('a listener that throws harms nobody else', async () => {
    const warnings: ClientError[] = []
    const stream = client('gina', { onWarning: (warning) => warnings.push(warning) }).stream('users/gina')
    const state = stream.state()
    let calls = 0
    state.subscribe(() => {
      throw new Error('mine')
    })
    state.subscribe(() => calls++)
    await stream.publish('a', 1, { retain: true })
    await shown(state, () => state.get('a')?.pending === false)
    expect(calls).to.be.greaterThan(0)
    expect(warnings[0]).to.include({ code: 'listener' })
    state.close()
  })
})

async function take(reader: EntryReader, count: number): Promise<Entry[]> {
  const taken: Entry[] = []
  while (taken.length < count) {
    const { value, done } = await reader.next()
    if (done) throw new Error(`ended after ${taken.length} of ${count}`)
    taken.push(value)
  }
  return taken
}

function shown(state: { subscribe(listener: () => void): () => void }, isTrue: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!isTrue()) return
      end()
      resolve()
    }
    const end = state.subscribe(look)
    look()
  })
}

function until(client: Client, isTrue: (status: ReturnType<Client['status']['get']>) => boolean): Promise<void> {
  const events = new EventTarget()
  const seen = once(events, 'seen')
  const end = client.status.subscribe((status) => {
    if (isTrue(status)) events.dispatchEvent(new Event('seen'))
  })
  return seen.then(() => end())
}
