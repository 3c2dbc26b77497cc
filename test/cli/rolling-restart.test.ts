/** Three nodes that are stopped and started again one after the other, under stock clients that do nothing but reconnect. */
import { expect } from 'chai'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { MemoryStore } from '../../log/stores/memory.ts'
import { hintHub } from '../support/hints.ts'
import { startMongo, type TestMongo } from '../support/mongo/server.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { Inbox, within } from '../support/waiting.ts'

const longMs = 60_000

describe('A restart of all nodes, one after the other', function () {
  this.timeout(3 * longMs)
  const nodes: TestServer[] = []
  const clients: MqttClient[] = []
  let mongo: TestMongo | undefined

  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true)
    await Promise.all(nodes.splice(0).map((node) => node.stop()))
    await mongo?.stop()
    mongo = undefined
  })

  async function openNodes(storeUrl?: string): Promise<void> {
    const hub = hintHub()
    const store = new MemoryStore({ shared: true })
    const limits = { headPollMs: 100, nodeBeatMs: 100 }
    for (let at = 0; at < 3; at++) {
      // The first one makes the development key.
      const folder = nodes[0] ? { folder: nodes[0].folder } : {}
      const hints = await hub.join()
      const node = storeUrl
        ? await testServer({ ...folder, store: 'level', settings: { store: storeUrl, limits }, overrides: { hints } })
        : await testServer({ ...folder, settings: { limits }, overrides: { hints, store } })
      nodes.push(node)
    }
  }

  /** Knows all nodes, begins at one of them, and goes round when it has to reconnect. */
  async function client(clientId: string, first: number, options: IClientOptions = {}): Promise<MqttClient> {
    const ports = nodes.map(({ ports: { mqtt } }) => mqtt)
    const servers = [...ports.slice(first), ...ports.slice(0, first)].map((port) => ({
      host: '127.0.0.1',
      port,
      protocol: 'mqtt' as const,
    }))
    const password = await (nodes[0] as TestServer).token('alice')
    const opened = await connectAsync({ servers, clientId, username: 'alice', password, reconnectPeriod: 20, ...options })
    clients.push(opened)
    // While a node is away its port refuses: the client goes on to the next by itself.
    opened.on('error', () => {})
    return opened
  }

  /** Publishes, some at a time, until it is told to stop; rejects where any call fails. */
  function publishing(from: MqttClient, name: string): { stop(): Promise<string[]> } {
    const texts: string[] = []
    let stopped = false
    const work = async (): Promise<void> => {
      while (!stopped) {
        const text = `${name}-${texts.length}`
        texts.push(text)
        await from.publishAsync('users/alice/notes', text, { qos: 1 })
      }
    }
    const running = Promise.all([work(), work(), work()])
    return {
      async stop() {
        stopped = true
        await within(running, `the publisher ${name} to finish`, longMs)
        return texts
      },
    }
  }

  async function stored({ urls }: TestServer, token: string): Promise<string[]> {
    const texts: string[] = []
    for (let after = 'earliest', upToDate = false; !upToDate;) {
      const url = `${urls.http}/v1/streams/users/alice/entries?limit=1000&after=${after}`
      const page = (await (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).json()) as Page
      texts.push(...page.entries.map(({ text }) => text))
      ;({ next: after, upToDate } = page)
    }
    return texts
  }

  for (const place of ['memory', 'MongoDB'] as const) {
    it(`[P-8.15] [P-14.2] [P-4.17] fails no call, loses and doubles nothing, and leaves no gap for readers, over ${place}`, async function () {
      if (place === 'MongoDB') mongo = await startMongo(this)
      await openNodes(mongo?.freshUrl())
      const readers = await Promise.all(
        nodes.map(async (_node, at) => {
          const reader = await client(`reader-${at}`, at, { clean: false })
          const inbox = new Inbox<string>()
          reader.on('message', (_topic, payload) => inbox.add(payload.toString()))
          await reader.subscribeAsync('users/alice/#', { qos: 1 })
          return inbox
        }),
      )
      const publishers = await Promise.all(nodes.map(async (_node, at) => publishing(await client(`writer-${at}`, at), `w${at}`)))
      for (const [at, node] of nodes.entries()) {
        const before = readers.map(({ all }) => all.length)
        const moved = clients
          .filter(({ options: { port } }) => port === node.ports.mqtt)
          .map((one) => new Promise<void>((resolve) => void one.once('connect', () => resolve())))
        expect(moved.length, `clients of node ${at}`).to.be.at.least(1)
        const stopping = node.stop()
        await within(Promise.all(moved), `its clients to be served elsewhere while node ${at} is away`, longMs)
        await within(stopping, `node ${at} to stop`, longMs)
        const flows = readers.map((inbox, index) =>
          inbox.until(() => inbox.all.length >= (before[index] as number) + 20, `entries while node ${at} is away`, longMs),
        )
        await Promise.all(flows)
        await node.restart()
      }
      const sent = (await Promise.all(publishers.map((publisher) => publisher.stop()))).flat()
      const [first] = nodes as [TestServer]
      const log = await stored(first, await first.token('alice'))
      expect(log.toSorted()).to.deep.equal(sent.toSorted())
      for (const [index, inbox] of readers.entries()) {
        await inbox.until(() => inbox.all.includes(log.at(-1) as string), `the last entry at reader ${index}`, longMs)
        expect([...new Set(inbox.all)], `reader ${index}`).to.deep.equal(log)
      }
    })
  }
})

interface Page {
  readonly entries: readonly { readonly text: string }[]
  readonly next: string
  readonly upToDate: boolean
}
