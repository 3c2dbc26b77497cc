/** Writes that reach MongoDB after the world has moved on, and buckets that are deleted late for that. */
import { expect } from 'chai'
import { MongoStore } from '../../log/stores/mongo.ts'
import { silentLogger } from '../../seams/logger.ts'
import { MongoStub, type StubCommand } from '../support/mongo/stub.ts'
import { plainBucket } from './buckets.ts'

const stream = 'users/alice'
const everything = { from: 1, to: Number.MAX_SAFE_INTEGER, bytesMax: Number.MAX_SAFE_INTEGER }

describe('MongoDB and what comes late', function () {
  this.timeout(20_000)
  let stub: MongoStub
  let store: MongoStore
  let nowMs: number

  beforeEach(async () => {
    stub = await MongoStub.start()
    nowMs = Date.now()
    store = await opened()
  })

  afterEach(async () => {
    stub.answer = undefined
    await store.close()
    await stub.stop()
  })

  async function opened(trimGraceMs?: number): Promise<MongoStore> {
    const clock = { now: () => nowMs }
    const made = new MongoStore({ url: stub.url, logger: silentLogger, clock, ...(trimGraceMs === undefined ? {} : { trimGraceMs }) })
    await made.open()
    return made
  }

  /** Cuts off the client at the next such command, which is kept. */
  function cutAt(name: string, collection: string): { late: StubCommand | undefined } {
    const cut: { late: StubCommand | undefined } = { late: undefined }
    stub.answer = (command) => {
      if (cut.late || command.name !== name || command.collection !== collection) return undefined
      cut.late = command
      return 'cut'
    }
    return cut
  }

  async function failing(work: Promise<unknown>): Promise<void> {
    const error: unknown = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).to.be.instanceOf(Error)
  }

  it('[P-14.2] a head not seen for half of the time that trimmed entries stay is looked up, others by the place behind them', async () => {
    const asked: StubCommand[] = []
    await store.commit([plainBucket(stream, 1, 3)])
    stub.answer = (command) => {
      if (command.collection === 'buckets') asked.push(command)
      return undefined
    }
    const now = performance.now()
    const head = { stream, seq: 3 }
    expect(await store.moved([{ ...head, seenMs: now - 299_000 }])).to.deep.equal([])
    expect(asked.map(({ body }) => body['filter'] as object)).to.deep.equal([{ _id: { $in: [`${stream}\u0001${'4'.padStart(16, '0')}`] } }])
    expect(await store.moved([{ ...head, seenMs: now - 300_000 }])).to.deep.equal([stream])
    expect(asked).to.have.length(1)
  })

  it('a document that was given up does not come back over a newer one', async () => {
    const { documents } = store
    await documents.put('sessions', 'a', 'first')
    const cut = cutAt('update', 'documents.sessions')
    await failing(documents.put('sessions', 'a', 'given up'))
    expect(await documents.put('sessions', 'a', 'newer')).to.equal('stored')
    stub.run(cut.late as StubCommand)
    expect((await documents.get('sessions', 'a'))?.value).to.equal('newer')
  })

  it('a write of an owner that was fenced meanwhile changes nothing', async () => {
    const { documents } = store
    const { generation } = await documents.claim('sessions', 'a', 'node-1')
    await documents.put('sessions', 'a', 'first', generation)
    const cut = cutAt('update', 'documents.sessions')
    await failing(documents.put('sessions', 'a', 'late', generation))
    const other = await opened()
    expect((await other.documents.claim('sessions', 'a', 'node-2')).value).to.equal('first')
    stub.run(cut.late as StubCommand)
    expect((await other.documents.get('sessions', 'a'))?.value).to.equal('first')
    expect(await documents.put('sessions', 'a', 'later', generation)).to.equal('fenced')
    await other.close()
  })

  it('a write that lands when another node has claimed is told to be fenced', async () => {
    const { documents } = store
    const { generation } = await documents.claim('sessions', 'a', 'node-1')
    const other = await opened()
    let claiming: Promise<unknown> | undefined
    stub.answer = async ({ name, collection }) => {
      if (name !== 'update' || collection !== 'documents.sessions' || claiming) return undefined
      // The first update is the put; while it waits here the other node claims from beginning to end.
      claiming = other.documents.claim('sessions', 'a', 'node-2')
      await claiming
      return undefined
    }
    expect(await documents.put('sessions', 'a', 'too late', generation)).to.equal('fenced')
    expect((await other.documents.get('sessions', 'a'))?.value).to.equal(null)
    await other.close()
  })

  it('a record that was changed by another node meanwhile is changed again from there', async () => {
    const other = await opened()
    const counted = (stored: { first: number } | undefined): { first: number; markBefore: string; snapshot: null } => ({
      first: (stored?.first ?? 0) + 1,
      markBefore: '0000',
      snapshot: null,
    })
    let isFirst = true
    stub.answer = async ({ name, collection }) => {
      if (name !== 'insert' || collection !== 'records' || !isFirst) return undefined
      isFirst = false
      await other.changeRecord(stream, counted)
      return undefined
    }
    expect((await store.changeRecord(stream, counted)).first).to.equal(2)
    expect((await other.load(stream)).record?.first).to.equal(2)
    await other.close()
  })

  it('[P-8.8] a bucket that lands where others were trimmed is not told to be stored', async () => {
    // So short a grace that every answer comes late.
    const hasty = await opened(2)
    expect(await hasty.commit([plainBucket(stream, 1)])).to.deep.equal(['stored'])
    stub.answer = async ({ name, collection }) => {
      if (name !== 'insert' || collection !== 'buckets') return undefined
      stub.answer = undefined
      await store.changeRecord(stream, () => ({ first: 9, markBefore: 'abcd', snapshot: null }))
      return undefined
    }
    const bucket = plainBucket(stream, 2)
    expect(await hasty.commit([bucket])).to.deep.equal(['unknown'])
    expect(await hasty.settle(bucket)).to.equal('taken')
    await hasty.close()
  })

  it('trimmed buckets stay for the time of grace, so that an old head is not taken for the newest', async () => {
    for (let seq = 1; seq <= 4; seq++) await store.commit([plainBucket(stream, seq)])
    await store.removeBelow(stream, 4)
    await store.sweep()
    expect((await store.read(stream, everything)).length).to.equal(4)
    expect(await store.commit([plainBucket(stream, 2)])).to.deep.equal(['taken'])
    nowMs += 600_001
    await store.sweep()
    expect((await store.read(stream, everything)).map(({ firstSeq }) => firstSeq)).to.deep.equal([4])
    expect(stub.data.documents('trims')).to.deep.equal([])
  })
})
