import { expect } from 'chai'
import { publishCounted, leaveSession, returnToSession, syncFromEarliest, type CatchUpTarget } from '../../bench/load/catch-up.ts'
import { Histogram } from '../../bench/load/histogram.ts'
import { readHistory } from '../../bench/load/history.ts'
import { openIdle } from '../../bench/load/idle.ts'
import { runLoad } from '../../bench/load/load.ts'
import { defaultLoad, type LoadOptions, type LoadResult } from '../../bench/load/options.ts'
import type { Credentials } from '../../bench/load/packets.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { faultyBroker, type Delivery } from './faulty-broker.ts'

const short = { ...defaultLoad, publishers: 2, window: 8, warmUpMs: 100, countMs: 400 } as const
const payloadBytesMax = 92 * 1024

describe('the load generator', () => {
  describe('against the server', () => {
    let server: TestServer
    let credentials: Credentials[]

    before(async () => {
      server = await testServer()
      credentials = await Promise.all([0, 1].map(async (number) => ({ user: 'bench', password: await server.token(`bench-${number}`) })))
    })
    after(() => server.stop())

    const run = (given: Partial<LoadOptions> = {}): Promise<LoadResult> =>
      runLoad({ ...short, url: server.urls.mqtt, credentials, ...given })

    it('counts what is sent, acknowledged and delivered', async () => {
      const result = await run({ subscribers: 2 })
      faultless(result)
      const seconds = result.events / (result.ackedPerSecond + result.deliveredPerSecond)
      expect(result.ackedPerSecond).above(0)
      expect(result.latencyMs.count / seconds).closeTo(result.deliveredPerSecond, 5)
      expect(result.ackMs.count / seconds).closeTo(result.ackedPerSecond, 5)
      expect(result.latencyMs.count).closeTo(2 * result.ackMs.count, 4 * 2 * 2 * 8 * 10)
    })

    it('goes over WebSocket', async () => faultless(await run({ url: server.urls.ws })))

    it('goes between two addresses', async () => {
      faultless(await run({ otherUrl: server.urls.ws }))
      const nowhere = await run({ otherUrl: 'mqtt://127.0.0.1:1' }).catch((error: unknown) => error)
      expect(nowhere).instanceOf(Error)
    })

    it('fills frames and packets of every length', async () => {
      for (const sizeBytes of [16, 60, 110, 127, 20_000, payloadBytesMax]) {
        faultless(await run({ url: server.urls.ws, sizeBytes, window: 4, countMs: 100 }))
        faultless(await run({ sizeBytes, window: 4, countMs: 100 }))
      }
    })

    it('keeps to a rate', async () => {
      const result = await run({ ratePerSecond: 200, countMs: 500 })
      faultless(result)
      expect(result.sentPerSecond).within(20, 400)
    })

    it('uses persistent sessions and leaves none behind', async () => {
      faultless(await run({ clean: false }))
      expect(await server.running.log.documents.list('sessions', { limit: 10 })).deep.equal([])
    })

    it('sends QoS 0', async () => {
      const result = await run({ qos: 0, sizeBytes: 50, countMs: 200 })
      expect(result.deliveredPerSecond).above(0)
      expect(result.duplicates + result.reordered + result.ackedPerSecond).equal(0)
    })

    it('shares the load among processes', async () => {
      const result = await run({ processes: 2 })
      faultless(result)
      expect(result.generator.processes).equal(2)
      expect(result.latencyMs.count).above(0)
    })

    it('reads what was published in its absence, on three doors', async () => {
      const [own] = credentials as [Credentials]
      const messages = 3_000
      const target: CatchUpTarget = { url: server.urls.mqtt, credentials: own, topic: 'users/bench-0/#', messages, sizeBytes: 200 }
      await leaveSession(target, 'away')
      await publishCounted({ ...target, topic: 'users/bench-0/notes' }, 'writer', 64)
      await server.restart()
      const complete = { messages, received: messages, undelivered: 0, duplicates: 0, reordered: 0 }
      expect(await returnToSession(target, 'away')).include(complete)
      expect(await syncFromEarliest(target, 'sync')).include(complete)
      const place = { url: server.urls.http, token: own.password, stream: 'users/bench-0' }
      expect(await readHistory({ ...place, messages, pageEntries: 1_000 })).include(complete)
    })

    it('holds idle connections', async () => {
      const close = await openIdle({
        url: server.urls.mqtt,
        connections: 20,
        filter: 'users/bench-0/#',
        qos: 1,
        credentials: credentials.slice(0, 1),
      })
      close()
    })

    it('says why it is refused', async () => {
      await rejects(run({ credentials: [{ user: 'bench', password: 'no token' }] }), 'CONNACK 4')
      await rejects(run({ topic: 'users/somebody-else/{n}' }), 'refuses the filter')
    })
  })

  describe('against a broker that', () => {
    const against = async (deliver: Delivery): Promise<LoadResult> => {
      const broker = await faultyBroker(deliver)
      try {
        return await runLoad({ ...short, url: broker.url, publishers: 1, drainMs: 300 })
      } finally {
        await broker.stop()
      }
    }

    it('is without fault finds none', async () => faultless(await against((payload) => [payload])))

    it('drops a message counts a gap', async () => {
      const result = await against((payload, index) => (index === 5 ? [] : [payload]))
      expect(result).include({ gaps: 1, duplicates: 0, reordered: 0, undelivered: 0 })
    })

    it('drops the first message counts a gap', async () => {
      expect(await against((payload, index) => (index === 0 ? [] : [payload]))).include({ gaps: 1, undelivered: 0 })
    })

    it('stops delivering counts what is undelivered', async () => {
      const result = await against((payload, index) => (index < 100 ? [payload] : []))
      expect(result.gaps).equal(0)
      expect(result.undelivered).above(0)
    })

    it('doubles a message counts a duplicate', async () => {
      const result = await against((payload, index) => (index === 7 ? [payload, payload] : [payload]))
      expect(result).include({ gaps: 0, duplicates: 1, reordered: 0, undelivered: 0 })
    })

    it('swaps two messages counts the reordering', async () => {
      let held: Buffer | undefined
      const result = await against((payload, index) => {
        if (index === 9) {
          held = payload
          return []
        }
        return index === 10 ? [payload, held as Buffer] : [payload]
      })
      expect(result).include({ gaps: 1, duplicates: 0, reordered: 1, undelivered: 0 })
    })

    it('delivers what is not of this run counts it apart', async () => {
      const result = await against((payload, index) =>
        index === 3 ? [Buffer.from('something else, and long enough'), payload] : [payload],
      )
      expect(result).include({ gaps: 0, duplicates: 0, reordered: 0, undelivered: 0, foreign: 1 })
    })
  })

  it('finds percentiles within 2 %', () => {
    const histogram = new Histogram()
    for (let micros = 1; micros <= 1_000_000; micros += 7) histogram.add(micros)
    const { p50, p99, max, count } = histogram.percentiles()
    expect(count).equal(142_858)
    expect(p50).within(490, 510)
    expect(p99).within(970, 1_010)
    expect(max).within(999, 1_000)
  })
})

function faultless(result: LoadResult): void {
  const { gaps, duplicates, reordered, undelivered, unacknowledged, strayAcks, foreign } = result
  expect({ gaps, duplicates, reordered, undelivered, unacknowledged, strayAcks, foreign }).deep.equal({
    gaps: 0,
    duplicates: 0,
    reordered: 0,
    undelivered: 0,
    unacknowledged: 0,
    strayAcks: 0,
    foreign: 0,
  })
  expect(result.latencyMs.count).above(0)
}

async function rejects(promise: Promise<unknown>, text: string): Promise<void> {
  let message = 'nothing was refused'
  await promise.catch((error: Error) => (message = error.message))
  expect(message).contain(text)
}
