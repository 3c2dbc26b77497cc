/** The server is killed at random moments under load: what it acknowledged is there, once, in order. */
import { expect } from 'chai'
import { amount } from '../support/amount.ts'
import { childServer, type ChildServer } from '../support/server.ts'
import { ExactlyOncePublisher, OncePublisher, Putter, Subscriber } from './crash-clients.ts'
import { pages, replay, type Place, type SeenEntry } from './support/history.ts'
import { seededRandom, testSeed } from './support/random.ts'
import { until } from './support/waiting.ts'

const rounds = amount(20, 8)
/** So many acknowledgements come in a round before the server may be killed. */
const acknowledgedPerRound = 50
const streams = ['users/alice', 'spaces/team'] as const

describe('a server that is killed', function () {
  this.timeout(480_000) // 60 s on a machine of its own.
  let server: ChildServer
  let token: string
  const once = [1, 2, 3].map((number) => new OncePublisher(`once${number}`, number === 3 ? ['spaces/team'] : streams, 24))
  const exactlyOnce = new ExactlyOncePublisher('exactly', streams, 8)
  const putter = new Putter('putter', streams, 8)
  const publishers = [...once, exactlyOnce, putter]
  const subscriber = new Subscriber(streams)
  /** The log as read so far. */
  const logs = new Map<string, SeenEntry[]>(streams.map((stream) => [stream, []]))

  before(async () => {
    server = await childServer({ settings: { limits: { cursorFlushMs: 150, snapshotEntriesMax: 400 } } })
    token = await server.token('alice', { spaces: { team: 'write' } })
  })

  after(async () => {
    await server?.kill('SIGKILL')
  })

  it(`loses nothing it acknowledged, ${rounds} times at random moments under load [P-8.1], [P-8.6], [P-8.8], [P-1.1]`, async () => {
    const random = seededRandom(testSeed('crash'))
    const acknowledged: number[] = []
    for (let round = 0; round < rounds; round++) {
      const before = countAcknowledged()
      await connectAll()
      const enough = (): boolean => countAcknowledged() >= before + acknowledgedPerRound
      await until(20_000, `${acknowledgedPerRound} acknowledgements in round ${round}`, enough)
      // The moment is random on purpose: nothing is expected of it.
      await new Promise((resolve) => setTimeout(resolve, random() * 400))
      await server.kill('SIGKILL')
      acknowledged.push(countAcknowledged() - before)
      await server.start()
      await verifyNew()
    }
    process.stdout.write(`      acknowledged before each kill: ${acknowledged.join(' ')}\n`)
    expect(acknowledged.length).to.equal(rounds)
    expect(Math.min(...acknowledged)).to.be.at.least(acknowledgedPerRound)
  })

  it('carries out what clients repeat exactly once: QoS 2 with DUP, puts with their id [P-4.3], [P-9.6]', async () => {
    for (const publisher of publishers) publisher.draining = true
    await connectAll()
    await until(20_000, 'the end of what was under way', () => publishers.every(({ underWay }) => underWay === 0))
    await verifyNew()
    expect(exactlyOnce.repeated).to.be.at.least(rounds)
    const counts = countTexts()
    for (const { sent } of [exactlyOnce, putter]) {
      expect(sent.size).to.be.greaterThan(rounds)
      expect([...sent.keys()].filter((text) => counts.get(text) !== 1)).to.deep.equal([])
    }
  })

  it('shows the same log by MQTT and by HTTP from the beginning [P-2.7], [P-3.20], [P-6.2], [P-11.2]', async () => {
    for (const stream of streams) {
      const place: Place = { ports: server.ports, token, stream }
      const [replayed, paged] = await Promise.all([replay(place, 'earliest'), pages(place, 'earliest')])
      expect(replayed.length).to.be.greaterThan(rounds * 10)
      expect(replayed).to.deep.equal(logs.get(stream))
      expect(paged).to.deep.equal(replayed)
    }
  })

  it('gives a kept session everything, in order; twice only with DUP [P-4.17], [P-4.20]', async () => {
    const complete = (): boolean =>
      streams.every((stream) => (subscriber.got.get(stream)?.size ?? 0) >= (logs.get(stream) as SeenEntry[]).length)
    await until(20_000, () => `the session to have everything: ${progress()}`, complete)
    let repeats = 0
    for (const stream of streams) {
      const places = new Map((logs.get(stream) as SeenEntry[]).map(({ text, seq }) => [text, seq]))
      let newest = 0
      for (const [index, connection] of subscriber.connections.entries()) {
        let previous: number | undefined
        for (const { text, dup } of connection.get(stream) ?? []) {
          const seq = places.get(text) as number
          if (previous === undefined) expect(seq, `the beginning of connection ${index}`).to.be.at.most(newest + 1)
          else expect(seq, `${text} in connection ${index}`).to.equal(previous + 1)
          if (seq <= newest) expect(dup, `${text} came before`).to.equal(true)
          if (seq <= newest) repeats++
          previous = seq
          newest = Math.max(newest, seq)
        }
      }
      expect(newest).to.equal(places.size)
    }
    process.stdout.write(`      ${repeats} deliveries came twice\n`)
  })

  async function connectAll(): Promise<void> {
    const door = { port: server.ports.mqtt, token }
    await subscriber.connect(door) // The first time before anything is published: it must get all of it.
    await Promise.all(publishers.map((client) => client.connect(door)))
  }

  function countAcknowledged(): number {
    return publishers.reduce((sum, publisher) => sum + publisher.acknowledged.size, 0)
  }

  function progress(): string {
    return streams.map((stream) => `${stream} ${subscriber.got.get(stream)?.size} of ${logs.get(stream)?.length}`).join(', ')
  }

  /** Reads on where the last look ended, by MQTT and by HTTP, and holds all of it to what was acknowledged. */
  async function verifyNew(): Promise<void> {
    for (const stream of streams) {
      const known = logs.get(stream) as SeenEntry[]
      const place: Place = { ports: server.ports, token, stream }
      const after = known.at(-1)?.pos ?? 'earliest'
      const [replayed, paged] = await Promise.all([replay(place, after), pages(place, after)])
      expect(paged).to.deep.equal(replayed)
      known.push(...replayed)
      known.forEach(({ seq }, index) => expect(seq, `${stream}: seqs are contiguous`).to.equal(index + 1))
    }
    const counts = countTexts()
    for (const publisher of publishers) {
      const lost = [...publisher.acknowledged].filter((text) => !counts.has(text))
      expect(lost, `acknowledged to ${publisher.name} and lost`).to.deep.equal([])
      const twice = [...publisher.sent.keys()].filter((text) => (counts.get(text) ?? 0) > 1)
      expect(twice, `of ${publisher.name}, twice in the log`).to.deep.equal([])
    }
    for (const stream of streams) verifyOrder(stream)
  }

  /** What one connection published to a stream stands in the order sent [P-8.9]. */
  function verifyOrder(stream: string): void {
    const newest = new Map<string, number>()
    for (const { text, pos } of logs.get(stream) as SeenEntry[]) {
      const publisher = publishers.find(({ sent }) => sent.has(text))
      expect(publisher?.sent.get(text)?.stream, text).to.equal(stream)
      const [name = '', number] = text.split('-')
      expect(Number(number), `${text} behind ${name}-${newest.get(name)}`).to.be.greaterThan(newest.get(name) ?? 0)
      newest.set(name, Number(number))
      const answered = putter.positions.get(text)
      if (answered !== undefined) expect(answered, `the position of ${text}`).to.equal(pos)
    }
  }

  function countTexts(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const log of logs.values()) for (const { text } of log) counts.set(text, (counts.get(text) ?? 0) + 1)
    return counts
  }
})
