/** Tabs of one browser over a real server: client/tabs/. */
import { expect } from 'chai'
import { connectWithin } from '../../client/client.ts'
import type { Client, ClientOptions, Entry, EntryReader, Status } from '../../client/index.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { within } from '../support/waiting.ts'
import { LastingStore } from './outbox-world.ts'
import { FakeBrowser } from './fake-tabs.ts'

describe('tabs', () => {
  let server: TestServer
  let browser: FakeBrowser
  let store: LastingStore
  let isStopped = false
  const clients: Client[] = []

  before(async () => void (server = await testServer()))
  after(() => server.stop())
  beforeEach(() => {
    browser = new FakeBrowser()
    store = new LastingStore()
  })
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()))
    if (isStopped) await server.restart()
    isStopped = false
  })

  /** A tab of the browser, or with `platform` undefined a client elsewhere. */
  function tab(user: string, options: Partial<ClientOptions> = {}, platform: FakeBrowser | undefined = browser): Client {
    const bounds = { retryFirstMs: 20, retryLongestMs: 100, ...options.bounds }
    const made = connectWithin(platform, { url: server.urls.http, getToken: () => server.token(user), outbox: store, ...options, bounds })
    clients.push(made)
    return made
  }

  function elsewhere(user: string): Client {
    return tab(user, { shareTabs: false, outbox: new LastingStore() })
  }

  it('share one connection, and each gets everything once and in order', async () => {
    const first = tab('alice', { name: 'first' })
    await until(first, ({ connection, leader }) => connection === 'online' && leader)
    const second = tab('alice', { name: 'second' })
    const readers = [first, second].map((client) => client.stream('users/alice').entries({ from: 'earliest' }))
    await until(second, ({ connection }) => connection === 'online')
    expect(second.status.get()).to.include({ leader: false, transport: 'mqtt', uid: 'alice' })
    for (let n = 1; n <= 20; n++) await [first, second][n % 2]?.stream('users/alice').publish('n', n)
    for (const reader of readers) {
      const entries = await take(reader, 20)
      expect(entries.map(({ data }) => data)).to.deep.equal(Array.from({ length: 20 }, (_, n) => n + 1))
      // All of them came over the first tab's connection.
      expect(new Set(entries.map(({ client }) => client.split('-')[0]))).to.deep.equal(new Set(['first']))
    }
  })

  it('hand the connection over while entries flow and puts are under way: nothing is lost, nothing stands twice', async function () {
    this.timeout(60_000)
    const tabs = [tab('bob'), tab('bob'), tab('bob')]
    const writer = elsewhere('bob')
    const [, , last] = tabs as [Client, Client, Client]
    await Promise.all(tabs.map((client) => until(client, ({ connection }) => connection === 'online')))
    expect(tabs.map((client) => client.status.get().leader)).to.deep.equal([true, false, false])
    const reader = last.stream('users/bob').entries({ from: 'earliest' })
    const publishing: Promise<unknown>[] = []
    const publish = (count: number): void => {
      for (let n = 0; n < count; n++) {
        for (const client of [writer, last]) {
          publishing.push(client.stream('users/bob').publish(client === last ? 'tab' : 'writer', publishing.length))
        }
      }
    }
    publish(50)
    await take(reader, 20)
    for (const leader of tabs.slice(0, 2)) {
      publish(50)
      await leader.close()
      publish(50)
    }
    await until(last, ({ connection, leader }) => connection === 'online' && leader)
    const results = await Promise.all(publishing)
    expect(results).to.have.length(500)
    const entries = await take(reader, 480)
    expect(entries.map(({ seq }) => seq)).to.deep.equal(Array.from({ length: 480 }, (_, n) => n + 21))
    const values = (topic: string): number[] => entries.filter((entry) => entry.topic === topic).map(({ data }) => data as number)
    for (const topic of ['tab', 'writer']) expect(values(topic), topic).to.deep.equal([...new Set(values(topic))].sort((a, b) => a - b))
    const { head } = await writer.stream('users/bob').history({ limit: 0 })
    expect(head).to.equal(entries.at(-1)?.pos)
  })

  it('send what a tab that is gone has left, as soon as it is gone', async () => {
    const first = tab('carol')
    await until(first, ({ connection, leader }) => connection === 'online' && leader)
    const second = tab('carol')
    await until(second, ({ connection }) => connection === 'online')
    const reader = first.stream('users/carol').entries()
    await until(first, ({ behind }) => behind === 0)
    // Nothing of the second tab comes through any more, but what it publishes is kept.
    browser.copies = (message) => ('t' in message && message.t === 'ask' ? 0 : 1)
    const late = second.stream('users/carol').publish('left', 'behind')
    const closed = late.catch((error: unknown) => error)
    await untilTrue(async () => (await store.load()).length === 1)
    await second.close()
    expect(await closed).to.include({ code: 'closed' })
    expect((await take(reader, 1))[0]).to.include({ topic: 'left', data: 'behind' })
    await until(first, ({ pending }) => pending === 0)
    await untilTrue(async () => (await store.load()).length === 0)
  })

  it('send what an earlier life has left', async () => {
    await server.stop()
    isStopped = true
    const early = tab('dave')
    const lost = early.stream('users/dave').publish('early', 1)
    const closed = lost.catch((error: unknown) => error)
    await untilTrue(async () => (await store.load()).length === 1)
    await early.close()
    expect(await closed).to.include({ code: 'closed' })
    await server.restart()
    isStopped = false
    const reader = tab('dave').stream('users/dave').entries({ from: 'earliest' })
    expect((await take(reader, 1))[0]).to.include({ topic: 'early', data: 1 })
  })

  it('of another user have a connection of their own', async () => {
    const first = tab('erin')
    await until(first, ({ connection, leader }) => connection === 'online' && leader)
    const other = tab('frank')
    await until(other, ({ connection }) => connection === 'online')
    expect(other.status.get()).to.include({ leader: true, uid: 'frank' })
    const reader = other.stream('users/frank').entries({ from: 'earliest' })
    await other.stream('users/frank').publish('a', 1)
    expect((await take(reader, 1))[0]).to.include({ from: 'frank', data: 1 })
  })

  it('lose nothing where the channel between them loses or doubles', async () => {
    const first = tab('gina')
    await until(first, ({ connection, leader }) => connection === 'online' && leader)
    const second = tab('gina')
    // Of a part of a stream, where positions alone do not show what is missing.
    const reader = second.stream('users/gina', { filter: 'n/#' }).entries({ from: 'earliest' })
    await until(second, ({ connection, behind }) => connection === 'online' && behind === 0)
    let entries = 0
    const copies = [1, 2, 1, 0, 1, 1, 2]
    browser.copies = (message) => {
      const isEntry = 'told' in message && 'entry' in (message.told as object)
      return isEntry ? (copies[entries++] ?? 1) : 1
    }
    for (let n = 1; n <= 10; n++) await first.stream('users/gina').publish(`n/${n}`, n)
    expect((await take(reader, 10)).map(({ data }) => data)).to.deep.equal(Array.from({ length: 10 }, (_, n) => n + 1))
    expect(entries).to.be.at.least(4)
  })

  it('connect by themselves where nobody answers', async () => {
    browser.copies = () => 0
    const first = tab('hugo')
    await until(first, ({ connection }) => connection === 'online')
    const second = tab('hugo', { bounds: { tabAnswerMs: 50 } })
    await until(second, ({ connection }) => connection === 'online')
    expect(second.status.get().leader).to.equal(true)
    // When the leader can be heard again, it serves.
    browser.copies = () => 1
    await first.close()
    await until(second, ({ connection, leader }) => connection === 'online' && leader)
    await second.stream('users/hugo').publish('a', 1)
  })

  it('connect by themselves with shareTabs: false', async () => {
    const first = tab('iris')
    await until(first, ({ connection }) => connection === 'online')
    const alone = tab('iris', { shareTabs: false })
    await until(alone, ({ connection }) => connection === 'online')
    expect(alone.status.get().leader).to.equal(true)
  })
})

async function take(reader: EntryReader, count: number): Promise<Entry[]> {
  const taken: Entry[] = []
  while (taken.length < count) {
    const { value, done } = await within(reader.next(), `entry ${taken.length + 1} of ${count}`)
    if (done) throw new Error(`ended after ${taken.length} of ${count}`)
    taken.push(value)
  }
  return taken
}

function until(client: Client, isTrue: (status: Status) => boolean): Promise<void> {
  let end = (): void => {}
  const seen = new Promise<void>((resolve) => (end = client.status.subscribe((status) => isTrue(status) && resolve())))
  return within(seen, `the status: ${String(isTrue)}, and not ${JSON.stringify(client.status.get())}`).finally(() => end())
}

async function untilTrue(holds: () => Promise<boolean>): Promise<void> {
  const look = async (): Promise<void> => {
    while (!(await holds())) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  await within(look(), String(holds))
}
