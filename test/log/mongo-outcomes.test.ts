/** What becomes of an entry when MongoDB gives no answer, a half one or one that is taken back: once, or not at all. */
import { expect } from 'chai'
import type { Document } from 'mongodb'
import { SyncError } from '../../protocol/errors.ts'
import { closeLogs, entriesOf, logOn, publish } from '../support/mongo/log-on.ts'
import { MongoStub, type StubAnswer, type StubCommand } from '../support/mongo/stub.ts'
import { within } from '../support/waiting.ts'

describe('MongoDB without a clear answer', function () {
  this.timeout(30_000)
  let stub: MongoStub

  beforeEach(async () => {
    stub = await MongoStub.start()
  })

  afterEach(async () => {
    stub.answer = undefined
    stub.isPrimary = true
    stub.data.commitAll()
    await closeLogs()
    await stub.stop()
  })

  /** Answers for the inserts of the first bucket of `text` that comes by; `turn` counts them from 1. */
  function answerFor(
    text: string,
    answer: (turn: number, command: StubCommand) => Promise<StubAnswer | undefined> | StubAnswer | undefined,
  ): void {
    let nonce: unknown
    let turn = 0
    stub.answer = (command) => {
      if (command.name !== 'insert' || command.collection !== 'buckets') return undefined
      const [bucket] = command.body['documents'] as { w: string; b: Buffer }[]
      if (nonce === undefined && bucket?.b.includes(text)) nonce = bucket.w
      return nonce !== undefined && bucket?.w === nonce ? answer(++turn, command) : undefined
    }
  }

  describe('an insert that lands after its client was cut off', () => {
    it('[P-8.8] before it is sent again: it is found by its nonce', async () => {
      const log = await logOn(stub.url)
      answerFor('one', (turn, command) => {
        if (turn > 1) return undefined
        stub.run(command)
        return 'cut'
      })
      expect((await publish(log, 'one')).seq).to.equal(1)
      expect(await published(() => publish(log, 'two'))).to.equal(2)
      expect(await entriesOf(stub.url)).to.deep.equal(['one', 'two'])
    })

    it('[P-8.8] after it was sent again: its place is taken, by itself', async () => {
      const log = await logOn(stub.url)
      let late: StubCommand | undefined
      answerFor('one', (turn, command) => {
        if (turn > 1) return undefined
        late = command
        return 'cut'
      })
      expect((await publish(log, 'one')).seq).to.equal(1)
      expect(stub.run(late as StubCommand)).to.have.property('writeErrors')
      expect(await published(() => publish(log, 'two'))).to.equal(2)
      expect(await entriesOf(stub.url)).to.deep.equal(['one', 'two'])
    })

    it('[P-8.8] after another node wrote at its place: it is appended behind that', async () => {
      const [a, b] = [await logOn(stub.url), await logOn(stub.url)]
      let late: StubCommand | undefined
      answerFor('one', async (turn, command) => {
        if (turn > 1) return undefined
        late = command
        await publish(b, 'other')
        return 'cut'
      })
      expect((await publish(a, 'one')).seq).to.equal(2)
      stub.run(late as StubCommand)
      expect(await entriesOf(stub.url)).to.deep.equal(['other', 'one'])
    })

    it('[P-8.8] before another node wrote behind it: it keeps its place', async () => {
      const [a, b] = [await logOn(stub.url), await logOn(stub.url)]
      answerFor('one', async (turn, command) => {
        if (turn > 1) return undefined
        stub.run(command)
        await publish(b, 'other')
        return 'cut'
      })
      expect((await publish(a, 'one')).seq).to.equal(1)
      expect(await entriesOf(stub.url)).to.deep.equal(['one', 'other'])
    })

    it('[P-8.8] while the server cannot be reached: refused, and there at most once', async () => {
      const log = await logOn(stub.url)
      let late: StubCommand | undefined
      stub.answer = (command) => {
        if (command.name === 'insert' && command.collection === 'buckets') late ??= command
        return command.name === 'insert' ? 'cut' : undefined
      }
      expect(await refusal(publish(log, 'one'))).to.equal('store-unavailable')
      stub.run(late as StubCommand)
      stub.answer = undefined
      expect(await published(() => publish(log, 'two'))).to.equal(2)
      expect(await entriesOf(stub.url)).to.deep.equal(['one', 'two'])
    })
  })

  describe('a write that no majority has yet', () => {
    const wtimeout = { code: 64, codeName: 'WriteConcernFailed', errmsg: 'waiting for replication timed out' }

    it('[P-8.2] is acknowledged when a majority has it', async () => {
      const log = await logOn(stub.url)
      let turns = 0
      answerFor('one', (turn, command) => {
        turns = turn
        if (turn === 1) return { ...stub.run(command, { committed: false }), writeConcernError: wtimeout }
        if (turn === 3) stub.data.commitAll()
        return undefined
      })
      expect((await publish(log, 'one')).seq).to.equal(1)
      expect(turns).to.equal(3)
      expect(await entriesOf(stub.url)).to.deep.equal(['one'])
    })

    it('[P-8.7] is not acknowledged while none has it', async () => {
      const log = await logOn(stub.url)
      answerFor('one', (turn, command) =>
        turn === 1 ? { ...stub.run(command, { committed: false }), writeConcernError: wtimeout } : undefined,
      )
      expect(await refusal(publish(log, 'one'))).to.equal('store-unavailable')
      expect(await entriesOf(stub.url)).to.deep.equal([])
    })

    it('[P-8.8] is inserted again when it was rolled back', async () => {
      const log = await logOn(stub.url)
      answerFor('one', (turn, command) => {
        if (turn === 1) return { ...stub.run(command, { committed: false }), writeConcernError: wtimeout }
        if (turn === 2) stub.data.rollBack()
        return undefined
      })
      expect((await publish(log, 'one')).seq).to.equal(1)
      expect(await entriesOf(stub.url)).to.deep.equal(['one'])
    })

    it('[P-1.1] does not push the entry of another node behind it: it may be rolled back', async () => {
      const [a, b] = [await logOn(stub.url), await logOn(stub.url)]
      await a.stream('users/alice')
      let local: StubCommand | undefined
      answerFor('other', (turn, command) => {
        local = command
        return turn === 1 ? { ...stub.run(command, { committed: false }), writeConcernError: wtimeout } : 'cut'
      })
      expect(await refusal(publish(b, 'other'))).to.equal('store-unavailable')
      expect(local).to.not.equal(undefined)
      const answering = stub.answer
      answerFor('one', (turn) => {
        if (turn === 2) stub.data.rollBack()
        return undefined
      })
      const answeringOne = stub.answer
      stub.answer = async (command) => (await answeringOne?.(command)) ?? (await answering?.(command))
      expect((await publish(a, 'one')).seq).to.equal(1)
      expect(await entriesOf(stub.url)).to.deep.equal(['one'])
    })
  })

  it('[P-8.2] a URL that asks for less does not get it', async () => {
    const seen: Document[] = []
    stub.answer = ({ name, body }) => {
      if (['insert', 'update', 'delete', 'find'].includes(name)) seen.push({ name, ...body })
      return undefined
    }
    const less = 'w=1&journal=false&readConcernLevel=local&readPreference=secondaryPreferred&retryWrites=true'
    const log = await logOn(`${stub.url}&${less}`)
    await publish(log, 'one')
    await log.documents.put('sessions', 'a', 1)
    await log.documents.put('sessions', 'a', 2)
    await log.documents.remove('sessions', 'a')
    const writes = seen.filter(({ name }) => name !== 'find')
    expect(new Set(writes.map(({ name }) => name as string))).to.deep.equal(new Set(['insert', 'update', 'delete']))
    for (const { writeConcern, txnNumber } of writes) {
      expect(writeConcern).to.include({ w: 'majority', j: true })
      expect(txnNumber).to.equal(undefined)
    }
    const reads = seen.filter(({ name }) => name === 'find')
    expect(reads.length).to.be.greaterThan(3)
    for (const read of reads) {
      expect(read['readConcern']).to.deep.equal({ level: 'majority' })
      expect((read['$readPreference'] as Document | undefined)?.['mode'] ?? 'primary').to.equal('primary')
    }
  })

  it('[P-8.8] a primary that steps down takes the answer with it: found out when there is one again', async () => {
    const log = await logOn(stub.url)
    answerFor('one', (turn, command) => {
      if (turn > 1) return undefined
      const answer: Document = stub.run(command, { committed: false })
      stub.isPrimary = false
      return { ...answer, writeConcernError: { code: 11_602, codeName: 'InterruptedDueToReplStateChange', errmsg: 'stepped down' } }
    })
    const answering = stub.answer
    let greetings = 0
    stub.answer = (command) => {
      if (command.name === 'hello' && !stub.isPrimary && ++greetings === 3) {
        stub.data.rollBack()
        stub.isPrimary = true
      }
      return answering?.(command)
    }
    await publish(log, 'one').catch(refusedFor)
    expect(await published(() => publish(log, 'two'))).to.equal(2)
    expect(await entriesOf(stub.url)).to.deep.equal(['one', 'two'])
  })

  it('[P-8.7] a slow primary: who waits too long is refused, and the late answer is true', async () => {
    const log = await logOn(stub.url, { appendTimeoutMs: 500 })
    let answerNow = (): void => {}
    const open = new Promise<void>((resolve) => (answerNow = resolve))
    answerFor('one', async () => {
      await open
      return undefined
    })
    expect(await refusal(publish(log, 'one'))).to.equal('store-unavailable')
    answerNow()
    expect(await published(() => publish(log, 'two'))).to.equal(2)
    expect(await entriesOf(stub.url)).to.deep.equal(['one', 'two'])
  })

  it('[P-8.14] a full disk: nothing is acknowledged, and it goes on by itself when there is room', async () => {
    const log = await logOn(stub.url)
    await publish(log, 'before')
    stub.answer = ({ name, body }) => {
      if (name === 'insert') return { n: 0, ok: 1, writeErrors: (body['documents'] as unknown[]).map((_, index) => ({ index, ...full })) }
      return name === 'update' ? { n: 0, nModified: 0, ok: 1, writeErrors: [{ index: 0, ...full }] } : undefined
    }
    expect(await refusal(publish(log, 'one'))).to.equal('store-unavailable')
    expect(log.failure?.code).to.equal('store-unavailable')
    expect(await refusal(publish(log, 'two'))).to.equal('store-unavailable')
    stub.answer = undefined
    await published(() => publish(log, 'three'))
    expect(log.failure).to.equal(undefined)
    expect(await entriesOf(stub.url)).to.deep.equal(['before', 'one', 'three'])
  })
})

const full = { code: 14_031, codeName: 'OutOfDiskSpace', errmsg: 'no space left on device' }

async function refusal(publishing: Promise<unknown>): Promise<string> {
  return await within(
    publishing.then(() => 'it was stored', refusedFor),
    'a refusal',
    20_000,
  )
}

function refusedFor(error: unknown): string {
  if (error instanceof SyncError) return error.code
  throw error
}

/** Tries until the store takes it, as a client does that connects again; resolves with its seq. */
async function published(attempt: () => Promise<{ seq: number }>): Promise<number> {
  const deadlineMs = Date.now() + 20_000
  for (;;) {
    try {
      return (await attempt()).seq
    } catch (error) {
      refusedFor(error)
      if (Date.now() > deadlineMs) throw error
      await new Promise<void>((resolve) => void setImmediate(resolve))
    }
  }
}
