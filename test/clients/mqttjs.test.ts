/** mqtt.js 5, over TCP and WebSocket. */
import { expect } from 'chai'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { testServer, type TestServer } from '../support/server.ts'
import { Inbox, within } from '../support/waiting.ts'

interface Got {
  readonly topic: string
  readonly text: string
  readonly qos: number
  readonly retain: boolean
}

describe('mqtt.js', function () {
  this.timeout(60_000)
  let server: TestServer
  const clients = new Set<MqttClient>()

  before(async () => {
    server = await testServer()
  })
  afterEach(() => {
    for (const client of clients) client.end(true)
    clients.clear()
  })
  after(() => server.stop())

  for (const door of ['mqtt', 'ws'] as const) {
    describe(door === 'mqtt' ? 'over TCP' : 'over WebSocket', () => {
      const connect = async (clientId: string, options: IClientOptions = {}): Promise<{ client: MqttClient; inbox: Inbox<Got> }> => {
        const inbox = new Inbox<Got>()
        const password = await server.token('alice')
        const client = await connectAsync(server.urls[door], {
          clientId: `${clientId}-${door}`,
          username: 'alice',
          password,
          reconnectPeriod: 0,
          ...options,
        })
        clients.add(client)
        client.on('message', (topic, payload, { qos, retain }) => inbox.add({ topic, text: payload.toString(), qos, retain }))
        return { client, inbox }
      }

      for (const clean of [true, false]) {
        it(`[P-4.1, P-4.2, P-4.3, P-4.7] publishes and receives at QoS 0, 1 and 2, ${clean ? 'clean' : 'persistent'}`, async () => {
          const { client, inbox } = await connect(`every-qos-${clean}`, { clean })
          const topic = `users/alice/qos-${door}-${clean}`
          const granted = await client.subscribeAsync(topic, { qos: 2 })
          expect(granted.map(({ qos }) => qos)).to.deep.equal([1])
          for (const qos of [0, 1, 2] as const) await client.publishAsync(topic, `at ${qos}`, { qos })
          for (const [text, qos] of [
            ['at 0', 0],
            ['at 1', 1],
            ['at 2', 1],
          ] as const) {
            expect(await inbox.take(() => true, text)).to.deep.equal({ topic, text, qos, retain: false })
          }
        })
      }

      it('[P-4.12, P-4.13, P-3.21] gets retained messages when it subscribes, and deletes them', async () => {
        const { client: publisher } = await connect('retainer')
        const topic = `users/alice/retained-${door}`
        await publisher.publishAsync(topic, 'kept', { qos: 1, retain: true })
        const { client, inbox } = await connect('late')
        await client.subscribeAsync(topic, { qos: 1 })
        expect(await inbox.take(() => true, 'the retained message')).to.include({ text: 'kept', retain: true })
        await publisher.publishAsync(topic, '', { qos: 1, retain: true })
        expect(await inbox.take(() => true, 'the deletion')).to.include({ text: '', retain: false })
        const { client: later, inbox: nothing } = await connect('later')
        await later.subscribeAsync([topic, 'users/alice/end'], { qos: 1 })
        await publisher.publishAsync('users/alice/end', 'end', { qos: 1 })
        expect(await nothing.take(() => true, 'the first message')).to.include({ topic: 'users/alice/end' })
      })

      it('[P-4.27] leaves its will', async () => {
        const { client: watcher, inbox } = await connect('watcher')
        const topic = `users/alice/will-${door}`
        await watcher.subscribeAsync(topic, { qos: 1 })
        const { client } = await connect('mortal', { will: { topic, payload: Buffer.from('gone'), qos: 1, retain: false } })
        client.stream.destroy()
        expect(await inbox.take(() => true, 'the will')).to.include({ text: 'gone', qos: 1 })
      })

      it('[P-4.26] loses its connection to the same client id', async () => {
        const { client: first } = await connect('twin')
        const closed = new Promise<void>((resolve) => first.once('close', () => resolve()))
        const { client: second } = await connect('twin')
        await within(closed, 'the end of the older connection')
        await second.publishAsync('users/alice/twin', 'second', { qos: 1 })
      })

      it('[P-4.17, P-4.21] comes back to its session and gets what it missed, in order', async () => {
        const { client: away } = await connect('away', { clean: false })
        await away.subscribeAsync(`users/alice/missed-${door}/#`, { qos: 1 })
        await away.endAsync()
        const { client: publisher } = await connect('busy')
        const texts = Array.from({ length: 300 }, (_, at) => `${at}`)
        await Promise.all(
          texts.map((text, at) => publisher.publishAsync(`users/alice/missed-${door}/${at % 3}`, text, { qos: at % 2 === 0 ? 1 : 2 })),
        )

        // Messages may come before `connectAsync` has resolved.
        const inbox = new Inbox<Got>()
        const returned = (await import('mqtt')).connect(server.urls[door], {
          clientId: `away-${door}`,
          clean: false,
          username: 'alice',
          password: await server.token('alice'),
          reconnectPeriod: 0,
        })
        clients.add(returned)
        returned.on('message', (topic, payload, { qos, retain }) => inbox.add({ topic, text: payload.toString(), qos, retain }))
        const connack = await within(new Promise<{ sessionPresent: boolean }>((resolve) => returned.once('connect', resolve)), 'CONNACK')
        expect(connack.sessionPresent).to.equal(true)
        await inbox.until(() => inbox.all.length >= 300, '300 messages')
        await publisher.publishAsync(`users/alice/missed-${door}/0`, 'last', { qos: 1 })
        await inbox.take(({ text }) => text === 'last', 'the last message')
        // QoS 2 publishes of mqtt.js may overtake nothing: all went out in this order.
        expect(inbox.all.map(({ text }) => text)).to.deep.equal([...texts, 'last'])
      })

      it('[P-6.2, P-6.4, P-6.10, P-6.15] reads the log from its beginning', async () => {
        const { client: publisher } = await connect('writer')
        await publisher.publishAsync('users/alice/logged', 'one', { qos: 1 })
        const { client, inbox } = await connect('reader')
        await client.subscribeAsync('sync@earliest/users/alice/#', { qos: 1 })
        const at = await inbox.take(({ text }) => text.includes('"ctl":"at"'), 'at')
        expect(at.topic).to.equal('sync@earliest/users/alice/$ctl')
        const seen = await inbox.take(
          ({ topic, text }) => topic === 'sync@earliest/users/alice/logged' && text.includes('"one"'),
          'the envelope',
        )
        expect(JSON.parse(seen.text))
          .to.include({ from: 'alice', topic: 'users/alice/logged', text: 'one' })
          .and.to.include.keys('pos', 'id', 'ts', 'client')
      })
    })
  }
})
