/** A reader that does not read costs its bound and nobody else anything. */
import { expect } from 'chai'
import { destroyRawClients, RawClient } from '../support/raw-mqtt.ts'
import { testServer, type TestServer } from '../support/server.ts'

const messages = 600
const messageBytes = 60_000
const unsentBytesMax = 256 * 1024
/** One run of deliveries may pass the bound: what the server reads at once while it has room. */
const runBytesMax = 1024 * 1024

describe('a stalled reader', function () {
  this.timeout(120_000)
  let server: TestServer

  before(async () => {
    server = await testServer({ settings: { limits: { unsentBytesMax, holdTimeoutMs: 120_000 } } })
  })
  after(async () => {
    destroyRawClients()
    await server.stop()
  })

  for (const [name, filter, qos] of [
    ['a plain filter at QoS 0', 'users/alice/#', 0],
    ['a plain filter at QoS 1', 'users/alice/#', 1],
    ['a sync filter', 'sync/users/alice/#', 1],
  ] as const) {
    it(`[P-4.30, P-13.15] holds ${name} to its unsent bytes, while others read on in order`, async () => {
      const token = await server.token('alice')
      const { stalled, reader, publisher } = await clients(server, token)
      await stalled.subscribe(filter, qos)
      await reader.subscribe('users/alice/#')
      stalled.socket.pause()

      let unsentMax = 0
      for (let at = 0; at < messages; at++) {
        await publisher.publish('users/alice/x', numbered(at))
        unsentMax = Math.max(unsentMax, server.running.broker.stats().unsentBytes)
      }
      const got = await reader.messages(messages)
      expect(got.map(({ text }) => Number.parseInt(text, 10))).to.deep.equal(Array.from({ length: messages }, (_, at) => at))

      expect(unsentMax, 'unsent bytes reached the bound').to.be.at.least(unsentBytesMax)
      expect(unsentMax, 'unsent bytes kept to the bound').to.be.at.most(unsentBytesMax + runBytesMax)
      expect(await unsentMetric(server), 'the bound stands in the metrics').to.be.at.least(unsentBytesMax)
      expect(stalled.bytesRead, 'the reader has really not read').to.be.below(messages * messageBytes)

      // What was held back is in the log: all of it comes, in order, when the reader reads again.
      stalled.socket.resume()
      const late: number[] = []
      while (late.length < messages) {
        const { topic, text } = await stalled.message()
        if (!topic.endsWith('$ctl'))
          late.push(Number.parseInt(topic.startsWith('sync') ? (JSON.parse(text) as { text: string }).text : text, 10))
      }
      expect(late).to.deep.equal(Array.from({ length: messages }, (_, at) => at))
      for (const client of [stalled, reader, publisher]) await client.disconnect()
    })
  }
})

async function clients(server: TestServer, token: string): Promise<Record<'stalled' | 'reader' | 'publisher', RawClient>> {
  const open = async (clientId: string): Promise<RawClient> => {
    const client = await RawClient.open(server.ports.mqtt)
    expect((await client.connect({ clientId, password: token })).returnCode).to.equal(0)
    return client
  }
  return { stalled: await open('stalled'), reader: await open('reader'), publisher: await open('publisher') }
}

function numbered(at: number): string {
  return `${at} `.padEnd(messageBytes, 'x')
}

async function unsentMetric(server: TestServer): Promise<number> {
  const text = await (await fetch(`${server.urls.http}/metrics`)).text()
  return Number(/^tidemark_unsent_bytes (\d+)/m.exec(text)?.[1])
}
