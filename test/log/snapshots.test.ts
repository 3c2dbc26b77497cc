import { expect } from 'chai'
import * as fc from 'fast-check'
import { Fold } from '../../log/fold.ts'
import { Snapshots } from '../../log/snapshots.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { SnapshotManifest, StreamRecord } from '../../log/stores/store.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { bucketOf, draftOf } from './buckets.ts'
import { naiveState, stateOf } from './naive-fold.ts'
import { bucketsFrom, logSteps } from './random-log.ts'

const stream = 'spaces/s'
const narrow: Limits = { ...defaultLimits, idWindowMs: 1_000, idWindowEntries: 10, idWindowBytesMax: 400, snapshotChunkBytesMax: 500 }

describe('snapshots of a state', () => {
  it('with the tail applied equal the fold of the whole log, wherever they were taken', async () => {
    let snapshots = 0
    let reused = 0
    let rolled = 0
    await fc.assert(
      fc.asyncProperty(fc.array(logSteps, { minLength: 1, maxLength: 6 }), fc.boolean(), async (rounds, keepFold) => {
        const store = new CountingStore()
        let record: StreamRecord | undefined
        let buckets = bucketsFrom([])
        let fold = new Fold(narrow)
        for (const steps of rounds) {
          const from = buckets.length
          buckets = bucketsFrom(steps, buckets)
          for (const bucket of buckets.slice(from)) fold.apply(bucket)
          const before = record?.snapshot ?? null
          const writer = new Snapshots(store, narrow)
          const snapshot = await writer.write(stream, fold, record)
          record = recordWith(snapshot)
          await writer.removeStale(stream, before, snapshot)
          const loaded = await new Snapshots(store, narrow).load(stream, record)
          expect(stateOf(loaded)).to.deep.equal(naiveState(buckets, narrow))
          expect(store.chunks()).to.deep.equal(namesOf(snapshot).toSorted())
          snapshots++
          reused += snapshot.chunks.filter(({ name }) => before?.chunks.some((chunk) => chunk.name === name)).length
          rolled += snapshot.chunks.filter(({ live, total }) => live < total).length
          if (!keepFold) fold = loaded
        }
        const late = bucketsFrom(rounds[0] as never, buckets)
        const loaded = await new Snapshots(store, narrow).load(stream, record)
        for (const bucket of late) loaded.apply(bucket) // Those before the snapshot have no effect.
        expect(stateOf(loaded)).to.deep.equal(naiveState(late, narrow))
      }),
      { numRuns: 100 },
    )
    expect(snapshots > 200 && reused > 50 && rolled > 20, `${snapshots} snapshots, ${reused} reused, ${rolled} rolled`).to.equal(true)
  })

  it('of a stream without one are empty', async () => {
    const fold = await new Snapshots(new MemoryStore(), defaultLimits).load(stream, undefined)
    expect(stateOf(fold)).to.deep.equal({ seq: 0, mark: '0000', states: [], ids: [], idsForgottenUpTo: 0 })
    expect(stateOf(await new Snapshots(new MemoryStore(), defaultLimits).load(stream, recordWith(null)))).to.deep.equal(stateOf(fold))
  })

  it('take the moment of the call, however the fold moves on while they are written', async () => {
    const world = new World()
    world.append(50, (index) => ({ topic: `t/${index}`, payload: 'x'.repeat(100), id: `id${index}` }))
    const expected = stateOf(world.fold)
    const writing = world.snapshots.write(stream, world.fold, undefined)
    world.append(50, (index) => ({ topic: `t/${index}`, payload: index % 2 ? '' : 'changed', id: `late${index}` }))
    expect(stateOf(await world.snapshots.load(stream, recordWith(await writing)))).to.deep.equal(expected)
  })

  it('write nothing where nothing was appended', async () => {
    const world = new World()
    world.append(5, (index) => ({ topic: `t/${index}` }))
    const first = await world.snapshot()
    world.store.puts.length = 0
    expect(await world.snapshots.write(stream, world.fold, recordWith(first))).to.deep.equal(first)
    expect(world.store.puts).to.deep.equal([])
  })

  it('write chunks no larger than the limit, but for one large entry', async () => {
    const world = new World()
    world.append(200, (index) => ({ topic: `t/${index}`, payload: 'x'.repeat((index * 37) % 400) }))
    world.append(1, () => ({ topic: 't/large', payload: 'x'.repeat(5_000) }))
    const { chunks } = await world.snapshot()
    let large = 0
    for (const { name, total } of chunks) {
      const { length } = (await world.store.getChunk(stream, name)) as Buffer
      if (length <= narrow.snapshotChunkBytesMax) continue
      expect(total).to.equal(1)
      large++
    }
    expect(large).to.equal(1)
    expect(chunks.length).to.be.within(80, 200)
  })

  it('use unchanged chunks again: a small change writes little', async () => {
    const world = new World({ ...narrow, snapshotChunkBytesMax: 10_000 })
    world.append(1_000, (index) => ({ topic: `t/${index}`, payload: 'x'.repeat(100) }))
    const first = await world.snapshot()
    expect(first.chunks.length).to.be.within(14, 20)
    for (let round = 0; round < 20; round++) {
      world.store.puts.length = 0
      world.append(3, (index) => ({ topic: `t/${(round * 131 + index * 311) % 1_000}`, payload: 'y'.repeat(100) }))
      const second = await world.snapshot()
      expect(world.store.puts.length, `round ${round}`).to.be.at.most(2)
      expect(world.store.puts.reduce((sum, { length }) => sum + length, 0)).to.be.at.most(22_000)
      expect(second.chunks.filter(({ name }) => first.chunks.some((chunk) => chunk.name === name)).length).to.be.at.least(
        first.chunks.length - 2,
      )
    }
  })

  it('write the remembered ids again only when they changed', async () => {
    const world = new World()
    world.append(3, (index) => ({ topic: `t/${index}`, id: `id${index}` }))
    const first = await world.snapshot()
    world.append(1, () => ({ topic: 't/4' }))
    const second = await world.snapshot()
    expect(second.ids).to.be.a('string').and.equal(first.ids)
    world.append(1, () => ({ topic: 't/4', id: 'id5' }))
    const third = await world.snapshot()
    expect(third.ids).to.not.equal(second.ids)
    expect(world.store.chunks()).to.deep.equal(namesOf(third).toSorted())
  })

  it('rewrite a chunk once less than half of it is live', async () => {
    const world = new World({ ...narrow, snapshotChunkBytesMax: 100_000 })
    world.append(100, (index) => ({ topic: `a/${index}` }))
    world.append(400, (index) => ({ topic: `b/${index}`, payload: 'x'.repeat(10) }))
    const [first] = (await world.snapshot()).chunks
    for (const [deleted, kept] of [
      [200, true],
      [260, false],
    ] as const) {
      world.append(deleted, (index) => ({ topic: index < 100 ? `a/${index}` : `b/${index}`, payload: '' }))
      const { chunks } = await world.snapshot()
      expect(chunks.map(({ name }) => name === first?.name)).to.deep.equal([kept])
      expect(chunks[0]?.live).to.equal(world.fold.states().length)
    }
  })

  it('stay few, however many are taken: small neighbours are merged', async () => {
    const chunkBytesMax = 20_000
    const world = new World({ ...narrow, snapshotChunkBytesMax: chunkBytesMax })
    let most = 0
    for (let round = 0; round < 600; round++) {
      world.append(4, (index) => ({ topic: `t/${(round * 4 + index) % 1_500}`, payload: 'x'.repeat(round % 40) }))
      const { chunks } = await world.snapshot()
      const bytes = world.fold.states().reduce((sum, { entry }) => sum + 50 + entry.topic.length + entry.payload.length, 0)
      const bound = 2 * Math.ceil(bytes / chunkBytesMax) + Math.ceil(Math.log2(chunkBytesMax)) + 2
      expect(chunks.length, `round ${round}`).to.be.at.most(bound)
      most = Math.max(most, chunks.length)
    }
    expect(most).to.be.greaterThan(5)
    // Every entry is written a logarithmic number of times, not once per snapshot.
    const written = world.store.puts.filter(({ name }) => name.startsWith('s')).reduce((sum, { length }) => sum + length, 0)
    expect(written / (600 * 4 * 80)).to.be.below(7)
  })

  it('that shrink to nothing name no chunk', async () => {
    const world = new World()
    world.append(100, (index) => ({ topic: `t/${index}`, payload: 'x'.repeat(50) }))
    await world.snapshot()
    world.append(100, (index) => ({ topic: `t/${index}`, payload: '' }))
    const { chunks, ids } = await world.snapshot()
    expect({ chunks, ids }).to.deep.equal({ chunks: [], ids: null })
    expect(world.store.chunks()).to.deep.equal([])
    expect((await world.snapshots.load(stream, world.record)).seq).to.equal(200)
  })

  it('say which stream and chunk is damaged, missing or not the one recorded', async () => {
    const world = new World()
    world.append(60, (index) => ({ topic: `t/${index}`, payload: 'x'.repeat(50), id: `id${index}` }))
    await world.snapshot()
    world.append(3, (index) => ({ topic: `t/${index * 7}`, payload: '' }))
    const manifest = await world.snapshot()
    let examined = 0
    for (const name of namesOf(manifest)) {
      const value = (await world.store.getChunk(stream, name)) as Buffer
      for (let at = 0; at < value.length; at += 7) {
        const flipped = Buffer.from(value)
        flipped[at] = (flipped[at] as number) ^ 4
        await world.store.putChunk(stream, name, flipped)
        await refusedNaming(world, name)
        examined++
      }
      await world.store.putChunk(stream, name, value.subarray(0, -1))
      await refusedNaming(world, name)
      await world.store.removeChunk(stream, name)
      await refusedNaming(world, name)
      await world.store.putChunk(stream, name, value)
    }
    expect(examined).to.be.greaterThan(500)
    const partly = manifest.chunks.find(({ live, total }) => live < total)?.name as string
    const other = manifest.chunks.find(({ name }) => name !== partly)?.name as string
    await world.store.putChunk(stream, partly, (await world.store.getChunk(stream, other)) as Buffer)
    await refusedNaming(world, partly)
  })

  it('begun and never recorded harm nobody', async () => {
    const world = new World()
    world.append(60, (index) => ({ topic: `t/${index}`, payload: 'x'.repeat(50) }))
    await world.snapshot()
    world.append(60, (index) => ({ topic: `t/${index}`, payload: 'y'.repeat(50) }))
    const before = world.record
    await world.snapshots.write(stream, world.fold, before)
    const loaded = await world.snapshots.load(stream, before)
    expect(loaded.seq).to.equal(60)
    await world.snapshot()
    expect(stateOf(await world.snapshots.load(stream, world.record))).to.deep.equal(stateOf(world.fold))
  })
})

/** A stream with one fold that a test appends retained entries to. */
class World {
  readonly store = new CountingStore()
  readonly snapshots: Snapshots
  readonly fold: Fold
  record: StreamRecord | undefined = undefined

  constructor(limits: Limits = narrow) {
    this.snapshots = new Snapshots(this.store, limits)
    this.fold = new Fold(limits)
  }

  append(count: number, options: (index: number) => { topic: string; payload?: string; id?: string }): void {
    const drafts = Array.from({ length: count }, (_, index) => draftOf({ retain: true, ...options(index) }))
    this.fold.apply(bucketOf(drafts, { stream, firstSeq: this.fold.seq + 1, ts: 1_000_000 }))
  }

  async snapshot(): Promise<SnapshotManifest> {
    const old = this.record?.snapshot ?? null
    const snapshot = await this.snapshots.write(stream, this.fold, this.record)
    this.record = recordWith(snapshot)
    await this.snapshots.removeStale(stream, old, snapshot)
    return snapshot
  }
}

class CountingStore extends MemoryStore {
  readonly puts: { name: string; length: number }[] = []
  readonly #names = new Set<string>()

  override async putChunk(of: string, name: string, value: Buffer): Promise<void> {
    this.puts.push({ name, length: value.length })
    this.#names.add(name)
    await super.putChunk(of, name, value)
  }

  override async removeChunk(of: string, name: string): Promise<void> {
    this.#names.delete(name)
    await super.removeChunk(of, name)
  }

  chunks(): string[] {
    return [...this.#names].toSorted()
  }
}

async function refusedNaming(world: World, chunk: string): Promise<void> {
  const error = await world.snapshots.load(stream, world.record).then(
    () => undefined,
    (thrown: Error) => thrown,
  )
  expect(error?.message).to.include(stream).and.to.include(chunk)
}

function recordWith(snapshot: SnapshotManifest | null): StreamRecord {
  return { first: 1, markBefore: '0000', snapshot }
}

function namesOf({ chunks, ids }: SnapshotManifest): string[] {
  return [...chunks.map(({ name }) => name), ...(ids === null ? [] : [ids])]
}
