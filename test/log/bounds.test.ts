/** What the log keeps to whatever is published. */
import { expect } from 'chai'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { encodeFrame } from '../../log/draft.ts'
import { systemClock } from '../../seams/clock.ts'

const stream = 'users/alice'
const topic = 'users/alice/a'

describe('the log', () => {
  let log: Log
  afterEach(() => log.close())

  async function open(limits: Partial<Limits>): Promise<MemoryStore> {
    const store = new MemoryStore()
    log = await Log.open({ store, clock: systemClock, limits: { ...defaultLimits, ...limits } })
    return store
  }

  /** All at once, so that they meet in as few buckets as may be. */
  async function publish(payloads: readonly Buffer[], to = stream): Promise<void> {
    await Promise.all(
      payloads.map((payload) =>
        log.publish(to, {
          topic: `${to}/a`,
          ...encodeFrame(topic, payload),
          qos: 1,
          retain: false,
          from: 'alice',
          client: 'phone',
          receivedMs: 1,
        }),
      ),
    )
  }

  const buckets = (store: MemoryStore): ReturnType<MemoryStore['read']> => store.read(stream, { from: 1, to: Infinity, bytesMax: Infinity })
  const payloads = (count: number, bytes: number): Buffer[] => Array.from({ length: count }, (_unused, at) => Buffer.alloc(bytes, at))

  it('[P-13.19] puts at most bucketEntriesMax entries into one commit of a stream, in order', async () => {
    const store = await open({ bucketEntriesMax: 4 })
    await publish(payloads(30, 10))
    const got = await buckets(store)
    expect(Math.max(...got.map(({ count }) => count))).to.equal(4)
    const firstBytes = got.flatMap((bucket) => Array.from({ length: bucket.count }, (_unused, at) => bucket.payload(at)[0]))
    expect(firstBytes).to.deep.equal(Array.from({ length: 30 }, (_unused, at) => at))
  })

  it('[P-13.18] keeps a commit of a stream to bucketBytesMax, but for one large entry', async () => {
    const store = await open({ bucketBytesMax: 4_000 })
    await publish([...payloads(30, 500), ...payloads(2, 9_000), ...payloads(3, 500)])
    const got = await buckets(store)
    expect(got.reduce((sum, { count }) => sum + count, 0)).to.equal(35)
    expect(got.some(({ count }) => count > 1)).to.equal(true)
    for (const { count, value } of got) if (count > 1) expect(value.length).to.be.at.most(4_000)
    expect(got.filter(({ value }) => value.length > 4_000).map(({ count }) => count)).to.deep.equal([1, 1])
  })

  it('[P-13.20] keeps at most tailCacheBytesMax of the newest entries of all streams in memory', async () => {
    const tailCacheBytesMax = 20_000
    await open({ tailCacheBytesMax, bucketEntriesMax: 1 })
    const streams = ['users/alice', 'spaces/board', 'spaces/other']
    let most = 0
    for (let round = 0; round < 20; round++) {
      await publish(payloads(1, 1_000), streams[round % streams.length])
      most = Math.max(most, log.inMemory.tailBytes)
      const held = await Promise.all(streams.map(async (name) => (await log.stream(name)).tail))
      const bytes = held.flat().reduce((sum, bucket) => sum + bucket.bytes, 0)
      expect(bytes, 'what is counted is what is held').to.equal(log.inMemory.tailBytes)
      expect(bytes).to.be.at.most(tailCacheBytesMax)
    }
    expect(most, 'it is used').to.be.at.least(tailCacheBytesMax / 2)
    // What has left memory is read from the store.
    const [first] = await log.read(await log.stream(stream), 1, 1)
    expect(first?.firstSeq).to.equal(1)
  })
})
