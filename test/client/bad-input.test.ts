/** Answers of the table "Bad days" in docs/CLIENT.md that need a whole client; the others stand with the parts that give them. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { encryption, keyFromBytes } from '../../client/encryption.ts'
import { connect, type Client, type ClientOptions, type Entry, type EntryReader, type Status } from '../../client/index.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { within } from '../support/waiting.ts'
import { failureOf } from './rig.ts'

describe('client: bad input', () => {
  let server: TestServer
  const clients: Client[] = []

  before(async () => void (server = await testServer()))
  afterEach(async () => void (await Promise.all(clients.splice(0).map((open) => open.close()))))
  after(() => server.stop())

  function client(user: string, options: Partial<ClientOptions> = {}): Client {
    const made = connect({ url: server.urls.http, getToken: () => server.token(user), ...options })
    clients.push(made)
    return made
  }

  it('[P-7.21] a wrong URL: connect throws, and says what to write', () => {
    for (const url of ['sync.example.com', 'mqtt://sync.example.com', 'https://sync.example.com/mqtt', '']) {
      expect(() => client('ann', { url }), url)
        .to.throw(/https:\/\/sync\.example\.com/)
        .with.property('code', 'bad-request')
    }
  })

  it('[P-10.19] a token endpoint that answers HTML: refused at once, asked no more, and what is published waits', async () => {
    let asked = 0
    const html = createServer((_request, response) => {
      asked++
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Welcome to the hotel</title>')
    })
    try {
      const lost = client('bea', { url: await listening(html) })
      const waiting = failureOf(lost.stream('users/bea').publish('log', 1))
      const { error } = await until(lost, ({ connection }) => connection === 'refused')
      expect(error?.code).to.equal('not-tidemark')
      expect(lost.status.get().pending).to.equal(1)
      // Another client of the same process is not concerned.
      expect(await client('bea').stream('users/bea').publish('log', 2)).to.include({ duplicate: false })
      expect(asked).to.equal(1)
      await lost.close()
      expect((await waiting).code).to.equal('closed')
    } finally {
      html.close()
      html.closeAllConnections()
    }
  })

  it('an entry that the codec cannot read comes in its place with the reason, and neither its stream nor others stop', async () => {
    const codecOf = async (fill: number) =>
      encryption({ keys: [{ id: 'k', key: await keyFromBytes(raw(fill)) }], topicKey: await keyFromBytes(raw(99)) })
    const stream = 'users/cat'
    const getToken = (): Promise<string> => server.token('cat', { spaces: { board: 'write' } })
    const [mine, other] = [client('cat', { getToken, codec: await codecOf(1) }), client('cat', { codec: await codecOf(2) })]
    await mine.stream(stream).publish('cards/1', 'first', { retain: true })
    await other.stream(stream).publish('cards/2', 'of another key', { retain: true })
    await client('cat').stream(stream).publish('cards/3', 'not encrypted', { retain: true })
    await mine.stream(stream).publish('cards/4', 'last', { retain: true })
    const entries = await take(mine.stream(stream).entries({ from: 'earliest' }), 4)
    expect(entries.map(({ seq, data, error }) => [seq, data, error?.code])).to.deep.equal([
      [1, 'first', undefined],
      [2, undefined, 'undecodable'],
      [3, undefined, 'undecodable'],
      [4, 'last', undefined],
    ])
    const state = mine.stream(stream).state()
    await within(state.ready, 'the state')
    expect([state.get('cards/1')?.data, state.get('cards/4')?.data]).to.deep.equal(['first', 'last'])
    state.close()
    const elsewhere = mine.stream('spaces/board')
    await elsewhere.publish('log', 'elsewhere')
    expect((await take(elsewhere.entries({ from: 'earliest' }), 1))[0]).to.include({ topic: 'log', data: 'elsewhere' })
  })

  it('[P-2.10] a position of another server: told as a reset, while the other streams of the client go on', async () => {
    const dan = client('dan', { getToken: () => server.token('dan', { spaces: { board: 'write' } }) })
    const board = dan.stream('spaces/board')
    const first = await board.publish('log', 1)
    await dan.stream('users/dan').publish('kept', 'here', { retain: true })
    const resets: string[] = []
    const strange = dan.stream('users/dan').entries({ from: 'AAAAAAAA.7.abcd', onReset: ({ reason }) => resets.push(reason) })
    const known = board.entries({ from: first.pos })
    await board.publish('log', 2)
    expect((await take(strange, 1))[0]).to.include({ topic: 'kept', snapshot: true })
    expect((await take(known, 1))[0]?.data).to.equal(2)
    expect(resets).to.deep.equal(['epoch'])
  })

  it('[P-9.6] what JSON cannot hold is refused alone: those before and behind it are published, of this stream and of others', async () => {
    const eve = client('eve', { getToken: () => server.token('eve', { spaces: { board: 'write' } }) })
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    const stream = eve.stream('users/eve')
    const before = stream.publish('log', 'before')
    const refused = [cycle, 1n, () => 1, Number.NaN].map((value) => failureOf(stream.publish('log', value)))
    const behind = stream.publish('log', 'behind')
    const elsewhere = eve.stream('spaces/board').publish('log', 'elsewhere')
    expect((await Promise.all(refused)).map(({ code }) => code)).to.deep.equal(Array(4).fill('bad-value'))
    await Promise.all([before, behind, elsewhere])
    expect((await stream.history()).entries.map(({ data }) => data)).to.deep.equal(['before', 'behind'])
  })
})

async function listening(html: Server): Promise<string> {
  html.listen(0, '127.0.0.1')
  await once(html, 'listening')
  return `http://127.0.0.1:${(html.address() as AddressInfo).port}`
}

function raw(fill: number): Uint8Array {
  return new Uint8Array(32).fill(fill)
}

function until(client: Client, holds: (status: Status) => boolean): Promise<Status> {
  const found = new Promise<Status>((resolve) => client.status.subscribe((status) => holds(status) && resolve(status)))
  return within(found, 'a status', 20_000)
}

async function take(reader: EntryReader, count: number): Promise<Entry[]> {
  const taken: Entry[] = []
  while (taken.length < count) {
    const { value, done } = await within(reader.next(), 'an entry', 20_000)
    if (done) throw new Error(`ended after ${taken.length} of ${count}`)
    taken.push(value)
  }
  return taken
}
