/** What the rows about several nodes stand on: the stand-in for MongoDB, and figures from metrics. */
import { expect } from 'chai'
import { startStandIn, type StandIn } from '../../bench/brokers/databases.ts'
import { Between, scrape } from '../../bench/brokers/metrics.ts'
import { MongoStore } from '../../log/stores/mongo.ts'
import { silentLogger } from '../../seams/logger.ts'
import { plainBucket } from '../log/buckets.ts'
import { testServer } from '../support/server.ts'

const everything = { from: 1, to: Number.MAX_SAFE_INTEGER, bytesMax: Number.MAX_SAFE_INTEGER }

describe('the stand-in for MongoDB', function () {
  this.timeout(30_000)
  let standIn: StandIn
  let store: MongoStore

  async function openOn(kind: 'null' | 'keep'): Promise<void> {
    standIn = await startStandIn(kind)
    store = new MongoStore({ url: standIn.freshUrl(), logger: silentLogger })
    await store.open()
  }

  afterEach(async () => {
    await store.close()
    await standIn.stop()
  })

  it('keeps buckets in order and one at each place', async () => {
    await openOn('keep')
    const buckets = Array.from({ length: 20 }, (_, at) => plainBucket('users/alice', at * 3 + 1, 3))
    for (const bucket of buckets)
      expect(await store.commit([bucket, plainBucket('users/bob', bucket.firstSeq, 3)])).deep.equal(['stored', 'stored'])
    const other = new MongoStore({ url: standIn.freshUrl(), logger: silentLogger })
    await other.open()
    expect(await store.commit([plainBucket('users/alice', 4, 3)])).deep.equal(['taken'])
    expect((await store.load('users/alice')).last?.lastSeq).equal(60)
    expect((await store.read('users/alice', everything)).map(({ firstSeq }) => firstSeq)).deep.equal(
      buckets.map(({ firstSeq }) => firstSeq),
    )
    const backwards = await store.read('users/alice', { ...everything, from: 5, to: 11, reverse: true })
    expect(backwards.map(({ firstSeq }) => firstSeq)).deep.equal([10, 7, 4])
    const seenMs = performance.now()
    expect(
      await store.moved([
        { stream: 'users/alice', seq: 57, seenMs },
        { stream: 'users/bob', seq: 60, seenMs },
      ]),
    ).deep.equal(['users/alice'])
    await other.close()
  })

  it('says yes to everything and keeps nothing, and counts what it was sent', async () => {
    await openOn('null')
    for (const firstSeq of [1, 2, 3]) expect(await store.commit([plainBucket('users/alice', firstSeq)])).deep.equal(['stored'])
    expect(await store.read('users/alice', everything)).deep.equal([])
    expect((await standIn.commands())['insert buckets']).equal(3)
  })
})

describe('figures from metrics', () => {
  const histogram = (counts: Readonly<Record<string, number>>): Map<string, number> =>
    new Map([
      ...Object.entries(counts).map(([le, count]) => [`h_bucket{le="${le}"}`, count] as const),
      ['h_count', counts['+Inf'] as number],
    ])

  it('finds percentiles in what was added between two looks', () => {
    const before = histogram({ '1': 1_000, '2': 1_000, '4': 1_000, '+Inf': 1_000 })
    const between = new Between(before, histogram({ '1': 1_000, '2': 1_050, '4': 1_090, '+Inf': 1_100 }))
    expect(between.quantile('h', 0.25)).equal(1.5)
    expect(between.quantile('h', 0.5)).equal(2)
    expect(between.quantile('h', 0.7)).equal(3)
    expect(between.quantile('h', 0.99)).equal(4)
    expect(between.growth('h_count')).equal(100)
  })

  it('are there under the names that the rows use', async () => {
    const server = await testServer()
    try {
      const names = [...(await scrape([server.urls.http])).keys()]
      const wanted = [
        'committed_entries_total',
        'committed_buckets_total',
        'committed_bytes_total',
        'commits_total',
        'commit_size_entries_count',
      ]
      expect(names).include.members([...wanted, 'commit_duration_seconds_count'].map((name) => `tidemark_${name}`))
    } finally {
      await server.stop()
    }
  })
})
