import { expect } from 'chai'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { Retention, type RetentionParts, type RetentionPolicy } from '../../log/retention.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { silentLogger } from '../../seams/logger.ts'
import { noTelemetry } from '../../seams/telemetry.ts'
import { TestClock } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { within } from '../support/waiting.ts'
import { stateOf } from './naive-fold.ts'

const payload = Buffer.alloc(1_000, 0x61)

describe('retention', () => {
  const opened: Log[] = []
  let inner: MemoryStore
  let store: GatedStore
  let clock: TestClock
  let log: Log
  let work: { looks: number; trims: number; entries: number; held: number }

  beforeEach(async () => {
    inner = new MemoryStore({ shared: true })
    store = new GatedStore(inner)
    clock = new TestClock(1_000_000)
    work = { looks: 0, trims: 0, entries: 0, held: 0 }
    log = await node()
  })

  afterEach(() => Promise.all(opened.splice(0).map((each) => each.close())))

  async function node(on = store): Promise<Log> {
    const made = await Log.open({ store: on, clock, limits: { ...defaultLimits, headPollMs: 3_600_000 } })
    opened.push(made)
    return made
  }

  function retention(
    policies: Record<string, RetentionPolicy>,
    parts: Partial<RetentionParts> & { limit?: Partial<Limits> } = {},
  ): Retention {
    const { limit = {}, ...rest } = parts
    const telemetry: RetentionParts['telemetry'] = {
      ...noTelemetry,
      swept: (more) => {
        for (const name of Object.keys(more) as (keyof typeof work)[]) work[name] += more[name]
      },
    }
    const places = async (): Promise<Map<string, number>> => new Map()
    return new Retention({
      store,
      log,
      policies,
      clock,
      limits: { ...defaultLimits, ...limit },
      logger: silentLogger,
      telemetry,
      places,
      ...rest,
    })
  }

  /** One commit each, ten seconds apart. */
  async function publish(name: string, count: number, on = log): Promise<void> {
    for (let number = 1; number <= count; number++) {
      clock.ms += 10_000
      const topic = `${name}/t/${number % 4}`
      await on.publish(name, { ...encodeFrame(topic, payload), topic, qos: 1, retain: true, from: 'alice', client: 'c', receivedMs: 0 })
    }
  }

  async function firstOf(name: string): Promise<number> {
    return (await store.load(name)).record?.first ?? 1
  }

  it('[P-2.19] trims each kind by its own policy, and leaves the others alone', async () => {
    for (const name of ['users/alice', 'users/bob', 'spaces/board', 'inbox/alice', 'usersx/alice']) await publish(name, 10)
    await retention({ users: { entries: 3 }, spaces: { entries: 8 }, outbox: { entries: 1 } }).sweep()
    expect(await Promise.all(['users/alice', 'users/bob', 'spaces/board', 'inbox/alice', 'usersx/alice'].map(firstOf))).to.deep.equal([
      8, 8, 3, 1, 1,
    ])
    expect(work).to.deep.equal({ looks: 3, trims: 3, entries: 16, held: 0 })
  })

  it('[P-2.19] by age: what is older goes, to the entry, and no more when it is looked at again', async () => {
    await publish('users/alice', 10)
    const sweeper = retention({ users: { ageMs: 45_000 } })
    await sweeper.sweep()
    expect(await firstOf('users/alice')).to.equal(6)
    clock.ms += 9_000
    await sweeper.sweep()
    expect(await firstOf('users/alice')).to.equal(7)
    clock.ms += 500
    await sweeper.sweep()
    expect(work).to.include({ trims: 2, entries: 6 })
    clock.ms += 1_000_000
    await sweeper.sweep()
    expect(await firstOf('users/alice')).to.equal(11)
    await publish('users/alice', 1)
    expect((await log.stream('users/alice')).headSeq).to.equal(11)
  })

  it('[P-2.19] by bytes: no more than so many stay, the newest commit always; each commit is counted once', async () => {
    await publish('users/alice', 20)
    const reads = countReads()
    const sweeper = retention({ users: { bytes: 5_500 } })
    await sweeper.sweep()
    expect(await firstOf('users/alice')).to.equal(16)
    reads.seqs.length = 0
    await sweeper.sweep()
    expect(reads.seqs).to.deep.equal([])
    const held = retention({ users: { bytes: 3_500 } }, { places: async () => new Map([['users/alice', 1]]) })
    await held.sweep()
    reads.seqs.length = 0
    await held.sweep()
    expect(reads.seqs).to.deep.equal([])
    expect(await firstOf('users/alice')).to.equal(16)
    await publish('users/alice', 3)
    reads.seqs.length = 0
    await sweeper.sweep()
    expect(await firstOf('users/alice')).to.equal(19)
    expect(reads.seqs.filter((seq) => seq > 20)).to.deep.equal([21, 22, 23])
    await retention({ users: { bytes: 1 } }).sweep()
    expect(await firstOf('users/alice')).to.equal(23)
  })

  it('[P-2.19] takes the narrowest of several rules, in whole commits', async () => {
    await publish('users/alice', 10)
    await retention({ users: { entries: 9, ageMs: 45_000, bytes: 1_000_000 } }).sweep()
    expect(await firstOf('users/alice')).to.equal(6)
    const topic = 'users/bob/t'
    const draft = { ...encodeFrame(topic, payload), topic, qos: 1 as const, retain: false, from: 'bob', client: 'c', receivedMs: 0 }
    await log.publish('users/bob', draft)
    await Promise.all(Array.from({ length: 9 }, () => log.publish('users/bob', draft)))
    const { firstSeq } = (await store.read('users/bob', { from: 10, to: 10, bytesMax: 1 }))[0] as { firstSeq: number }
    expect(firstSeq).to.be.below(10)
    await retention({ users: { entries: 1 } }).sweep()
    expect(await firstOf('users/bob')).to.equal(firstSeq)
  })

  it('[P-2.14], [P-9.1] keeps the state, and the mark before the first entry', async () => {
    await publish('users/alice', 10)
    const stream = await log.stream('users/alice')
    const before = stateOf(await log.state(stream))
    const mark = await log.markOf(stream, 9)
    await retention({ users: { entries: 1 } }).sweep()
    const other = await node()
    expect(stateOf(await other.state(await other.stream('users/alice')))).to.deep.equal(before)
    expect((await store.load('users/alice')).record).to.include({ first: 10, markBefore: mark })
  })

  it('[P-2.20] does not pass the place of a reader to wait for, and says so', async () => {
    await publish('users/alice', 10)
    await publish('users/bob', 10)
    const asked: string[][] = []
    let place = 4
    const places: RetentionParts['places'] = async (streams) => {
      asked.push([...streams])
      return new Map([['users/alice', place]])
    }
    const sweeper = retention({ users: { entries: 2 } }, { places })
    await sweeper.sweep()
    expect([await firstOf('users/alice'), await firstOf('users/bob')]).to.deep.equal([5, 9])
    expect(work).to.deep.equal({ looks: 2, trims: 2, entries: 12, held: 1 })
    place = 10
    await sweeper.sweep()
    expect(await firstOf('users/alice')).to.equal(9)
    expect(asked).to.deep.equal([['users/alice', 'users/bob'], ['users/alice']])
  })

  it('[P-2.20] asks for places batch by batch, so that what it holds is bounded', async () => {
    for (let number = 100; number < 350; number++) await publish(`users/u${number}`, 2)
    const sizes: number[] = []
    const places: RetentionParts['places'] = async (streams) => {
      sizes.push(streams.size)
      return new Map()
    }
    const limit = { retentionTrimsMax: 100, retentionStreamsPerSecondMax: 1_000_000 }
    await retention({ users: { entries: 1 } }, { places, limit }).sweep()
    expect(sizes).to.deep.equal([100, 100, 50])
    expect(work).to.deep.equal({ looks: 250, trims: 250, entries: 250, held: 0 })
  })

  it('pauses once it has looked at as many streams as a moment allows, and ends at once when it is closed', async () => {
    for (let number = 100; number < 130; number++) await publish(`users/u${number}`, 2)
    const sweeper = retention({ users: { entries: 1 } }, { limit: { retentionStreamsPerSecondMax: 100 } })
    const loads: string[] = []
    store.pause = async ({ name }, way) => void (name === 'load' && loads.push(way))
    const sweeping = sweeper.sweep()
    while (loads.length < 20) await new Promise<void>((resolve) => void setImmediate(resolve))
    for (let turn = 0; turn < 20; turn++) await new Promise<void>((resolve) => void setImmediate(resolve))
    expect(loads, 'calls of load on the way in and out').to.have.length(20)
    await within(sweeper.close(), 'the end of the sweep')
    await sweeping
    expect(work.trims).to.equal(0)
  })

  it('goes on with the others where one stream cannot be read or trimmed, and tries that again', async () => {
    for (const name of ['users/a', 'users/b', 'users/c']) await publish(name, 5)
    const mend = [store.fail(calls('load', 'users/a')), store.fail(calls('changeRecord', 'users/b'))]
    const sweeper = retention({ users: { entries: 2 } })
    await sweeper.sweep()
    for (const undo of mend) undo()
    expect(await Promise.all(['users/a', 'users/b', 'users/c'].map(firstOf))).to.deep.equal([1, 1, 4])
    await sweeper.sweep()
    expect(await Promise.all(['users/a', 'users/b', 'users/c'].map(firstOf))).to.deep.equal([4, 4, 4])
  })

  it('[P-1.1], [P-8.6] leaves no hole where a node was frozen with an old head, whether that appends or sweeps next', async () => {
    await publish('users/alice', 5)
    const gates = new GatedStore(inner)
    const frozen = await node(gates)
    const stream = await frozen.stream('users/alice')
    // The second one records where the stream begins; the first one was for the snapshot in front of that.
    let changes = 0
    const gate = gates.hold(({ name }) => name === 'changeRecord' && ++changes === 2)
    const sweeping = retention({ users: { entries: 2 } }, { log: frozen, store: gates }).sweep()
    await within(gate.reached, 'the frozen node to record where the stream begins')
    await publish('users/alice', 20)
    await retention({ users: { entries: 2 } }).sweep()
    gate.release()
    await sweeping
    expect(stream.headSeq).to.equal(5)
    expect(await firstOf('users/alice')).to.equal(24)
    await publish('users/alice', 1, frozen)
    expect(stream.headSeq).to.equal(26)
    const left = await store.read('users/alice', { from: 1, to: 99, bytesMax: Number.MAX_SAFE_INTEGER })
    expect(left.map(({ firstSeq }) => firstSeq)).to.deep.equal([24, 25, 26])
  })

  /** The seqs of the commits read from now on. */
  function countReads(): { seqs: number[] } {
    const reads = { seqs: [] as number[] }
    const read = store.read.bind(store)
    store.read = async (stream, range) => {
      const buckets = await read(stream, range)
      reads.seqs.push(...buckets.map(({ firstSeq }) => firstSeq))
      return buckets
    }
    return reads
  }
})
