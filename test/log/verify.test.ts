import { expect } from 'chai'
import { Bucket } from '../../log/bucket.ts'
import { erase } from '../../log/erase.ts'
import { Log } from '../../log/log.ts'
import { withdraw } from '../../log/members.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { SnapshotManifest, StreamRecord } from '../../log/stores/store.ts'
import { verifyStore, type Verdict } from '../../log/verify.ts'
import { sessionPlaces } from '../../broker/session-places.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { bucketOf, draftOf } from './buckets.ts'
import { emptiedStream, fillLimits, fillStore, publish, trimmedStream, wholeStream } from './filled-store.ts'
import { GatedStore } from '../support/gated-store.ts'

describe('verifying a store', () => {
  let store: MemoryStore

  beforeEach(async () => {
    store = new MemoryStore()
    await fillStore(store)
  })

  it('finds nothing wrong with one that is whole, and counts what it saw', async () => {
    const { counts, findings } = await verify(store)
    expect(findings).to.deep.equal([])
    expect(counts).to.include({ streams: 5, documents: 3, snapshots: 3, findings: 0 })
    expect(counts.entries).to.be.within(9 + 60 + 50 + 3 + 1, 9 + 60 + 56 + 3 + 7)
  })

  it('[P-1.1] finds a bucket that is missing, in the middle, at the beginning and at the end', async () => {
    await rebuilt(wholeStream, (buckets) => buckets.filter((_, at) => at !== 3))
    await rebuilt('open/-', (buckets) => buckets.slice(1))
    await rebuilt(trimmedStream, (buckets) => buckets.filter(({ lastSeq }) => lastSeq < 70))
    const { findings } = await verify(store)
    expect(findings.join('\n')).to.match(/spaces\/board-7: seq \d+ to \d+ are missing/)
    expect(findings.join('\n')).to.match(/open\/-: seq 1 to \d+ are missing/)
    expect(findings.join('\n')).to.match(/users\/alice: its snapshot stands at seq \d+, behind its head \d+: entries are missing/)
    expect(findings.join('\n')).to.match(/sessions alice\/phone: it stands at seq 70 of users\/alice, which ends at \d+/)
    expect(findings.filter((each) => /bob|carol/.test(each))).to.deep.equal([])
  })

  it('[P-3.20] finds a bucket with a flipped byte, and goes on with the next stream', async () => {
    await rebuilt(trimmedStream, (buckets) => buckets.filter(({ lastSeq }) => lastSeq < 70))
    const damaged = new GatedStore(store)
    const { value, firstSeq } = (await store.read(wholeStream, { from: 20, to: 20, bytesMax: 1 }))[0] as Bucket
    const flipped = Buffer.from(value)
    flipped[flipped.length - 1] = (flipped.at(-1) as number) ^ 1
    const read = damaged.read.bind(damaged)
    damaged.read = async (stream, range) =>
      (await read(stream, range)).map((bucket) =>
        bucket.stream === wholeStream && bucket.firstSeq === firstSeq ? new Bucket(stream, flipped) : bucket,
      )
    const { findings } = await verify(damaged as unknown as MemoryStore)
    expect(findings.join('\n')).to.include(`the bucket of ${wholeStream} that begins at seq ${firstSeq} fails its checksum`)
    expect(findings.join('\n')).to.match(/users\/alice: its snapshot stands at/)
  })

  it('[P-9.6] finds an id that stands twice, within one commit and in two', async () => {
    const head = (await store.load('users/bob')).last?.lastSeq as number
    const twice = (seq: number, ids: string[]): Bucket =>
      bucketOf(
        ids.map((id) => draftOf({ topic: 'users/bob/t', id, from: 'bob' })),
        { stream: 'users/bob', firstSeq: seq, ts: 4_000_000_000_000 },
      )
    await store.adopt([twice(head + 1, ['a', 'b', 'b']), twice(head + 4, ['a', 'c'])])
    const { findings } = await verify(store)
    expect(findings).to.deep.equal([
      `users/bob: the id b of bob stands at seq ${head + 2} and again at seq ${head + 3}`,
      `users/bob: the id a of bob stands at seq ${head + 1} and again at seq ${head + 4}`,
    ])
  })

  it('[P-9.1] finds a snapshot that is not the fold of the entries, also where those before it were trimmed', async () => {
    for (const stream of [wholeStream, trimmedStream]) {
      const { record } = await store.load(stream)
      const snapshot = record?.snapshot as SnapshotManifest
      const kept = snapshot.chunks.slice(0, -1)
      await store.changeRecord(stream, () => ({ ...(record as StreamRecord), snapshot: { ...snapshot, chunks: kept } }))
      const { findings } = await verify(store)
      expect(findings.filter((each) => each.startsWith(stream)).join('\n'), stream).to.match(
        /its snapshot at seq \d+ differs from its entries at the topic/,
      )
      await store.changeRecord(stream, () => record as StreamRecord)
    }
    expect((await verify(store)).findings).to.deep.equal([])
  })

  it('[P-9.5] finds a snapshot without the ids of the entries', async () => {
    const { record } = await store.load(wholeStream)
    const snapshot = record?.snapshot as SnapshotManifest
    expect(snapshot.ids).to.be.a('string')
    await store.changeRecord(wholeStream, () => ({ ...(record as StreamRecord), snapshot: { ...snapshot, ids: null } }))
    const { findings } = await verify(store)
    expect(findings.join('\n')).to.match(/remembers other ids|live entries instead of/)
  })

  it('[P-16.2] finds a snapshot that has forgotten who was withdrawn', async () => {
    const log = await Log.open({ store, limits: fillLimits })
    await withdraw(log, wholeStream, 'mallory', { uid: 'alice', issuedAtMs: 0, client: 'phone' })
    for (let number = 1; number <= 60; number++) await publish(log, wholeStream, 1_000 + number)
    await log.close()
    expect((await verify(store)).findings).to.deep.equal([])
    const { record } = await store.load(wholeStream)
    const snapshot = record?.snapshot as SnapshotManifest
    await store.changeRecord(wholeStream, () => ({ ...(record as StreamRecord), snapshot: { ...snapshot, ids: null } }))
    expect((await verify(store)).findings.join('\n')).to.include('knows other withdrawn members than its entries')
  })

  it('[P-17.2] finds nothing wrong with a stream that was erased and goes on', async () => {
    const log = await Log.open({ store, limits: fillLimits })
    await erase(log, wholeStream, { uid: 'alice', client: 'phone' })
    for (let number = 1; number <= 60; number++) await publish(log, wholeStream, number)
    await log.close()
    expect((await verify(store)).findings).to.deep.equal([])
  })

  it('finds a chunk that is damaged or missing, also of a snapshot without entries', async () => {
    const { record } = await store.load(emptiedStream)
    const name = record?.snapshot?.chunks[0]?.name as string
    const value = Buffer.from((await store.getChunk(emptiedStream, name)) as Buffer)
    value[20] = (value[20] as number) ^ 1
    await store.putChunk(emptiedStream, name, value)
    const missing = (await store.load(wholeStream)).record?.snapshot?.chunks[0]?.name as string
    await store.removeChunk(wholeStream, missing)
    const { findings } = await verify(store)
    expect(findings).to.deep.equal([
      `the snapshot of ${wholeStream} is damaged at chunk ${missing}: it is missing`,
      `the snapshot of ${emptiedStream} is damaged at chunk ${name}: it fails its checksum`,
    ])
  })

  it('[P-2.14] finds a beginning that the entries do not bear out', async () => {
    const { record } = await store.load(trimmedStream)
    await store.changeRecord('users/bob', () => ({ first: 9, markBefore: 'abcd', snapshot: null }))
    await store.changeRecord('open/-', () => ({ first: 3, markBefore: 'abcd', snapshot: null }))
    await store.changeRecord(trimmedStream, () => ({ ...(record as StreamRecord), first: 2 }))
    const { findings } = await verify(store)
    expect(findings.join('\n')).to.include('users/bob: it begins at seq 9 and ends at 3')
    expect(findings.join('\n')).to.include('open/-: it begins at seq 3, which no snapshot reaches')
    expect(findings.join('\n')).to.match(/open\/-: seq 2 has the mark .{4}, recorded is abcd/)
    expect(findings.join('\n')).to.match(/users\/alice: seq 2 to \d+ are missing/)
  })

  it('tells no damage where another node trims while it looks', async () => {
    const shared = new MemoryStore({ shared: true })
    await fillStore(shared)
    const gates = new GatedStore(shared)
    const log = await Log.open({ store: shared, limits: fillLimits })
    let trimmed = false
    gates.pause = async ({ name, args }, way) => {
      if (trimmed || name !== 'read' || args[0] !== wholeStream || way !== 'in') return
      trimmed = true
      for (let number = 61; number <= 90; number++) await publish(log, wholeStream, number)
      await log.trim(wholeStream, 80)
    }
    expect((await verify(gates as unknown as MemoryStore)).findings).to.deep.equal([])
    expect(trimmed).to.equal(true)
    await log.close()
  })

  it('ends when it is asked to', async () => {
    const controller = new AbortController()
    controller.abort(new Error('enough'))
    const ended = verifyStore(store, { limits: fillLimits, signal: controller.signal })
    expect(await ended.catch((error: Error) => error.message)).to.equal('enough')
  })

  /** The stream with other buckets in it. */
  async function rebuilt(stream: string, change: (buckets: Bucket[]) => Bucket[]): Promise<void> {
    const everything = { from: 1, to: Number.MAX_SAFE_INTEGER, bytesMax: Number.MAX_SAFE_INTEGER }
    const other = new MemoryStore()
    await other.open()
    for (const name of await store.streams('', 100)) {
      const buckets = await store.read(name, everything)
      await other.adopt(name === stream ? change(buckets) : buckets)
      const { record } = await store.load(name)
      if (!record) continue
      await other.changeRecord(name, () => record)
      for (const chunk of [...(record.snapshot?.chunks ?? []), { name: record.snapshot?.ids ?? 'none' }]) {
        const value = await store.getChunk(name, chunk.name)
        if (value) await other.putChunk(name, chunk.name, value)
      }
    }
    for (const document of await store.documents.list('sessions', { limit: 10 }))
      await other.documents.put('sessions', document.key, document.value)
    store = other
  }
})

async function verify(store: MemoryStore): Promise<Verdict> {
  return await verifyStore(store, { limits: { ...defaultLimits, ...fillLimits }, placesIn: sessionPlaces })
}
