/** Two logs on one store: what one trims, snapshots or has no answer for must not lead the other astray [P-14.2]. */
import { expect } from 'chai'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { Reader } from '../../log/reader.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { SyncError } from '../../protocol/errors.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { within } from '../support/waiting.ts'

const stream = 'users/alice'
const opened: Log[] = []

interface Node {
  readonly log: Log
  readonly gates: GatedStore
}

async function nodeOn(store: MemoryStore, limits: Partial<Limits> = {}): Promise<Node> {
  const gates = new GatedStore(store)
  const log = await Log.open({ store: gates, limits: { ...defaultLimits, headPollMs: 3_600_000, ...limits } })
  opened.push(log)
  return { log, gates }
}

async function publish(log: Log, text: string, name = text): Promise<void> {
  await log.publish(stream, draftOf(`${stream}/${name}`, text))
}

function draftOf(topic: string, text: string): Parameters<Log['publish']>[1] {
  const frame = encodeFrame(topic, Buffer.from(text))
  return { topic, ...frame, qos: 1, retain: true, from: 'alice', client: 'desk', receivedMs: 0 }
}

/** Holds the answer of the next call of a method; resolves when it is there. */
function holdAnswer({ gates }: Node, name: string): { reached: Promise<void>; release(): void } {
  let [arrived, release] = [(): void => {}, (): void => {}]
  const reached = new Promise<void>((resolve) => (arrived = resolve))
  const open = new Promise<void>((resolve) => (release = resolve))
  gates.pause = async (call, way) => {
    if (call.name !== name || way !== 'out') return
    gates.pause = undefined
    arrived()
    await open
  }
  return { reached, release }
}

describe('Two logs on one store', () => {
  let store: MemoryStore

  beforeEach(() => (store = new MemoryStore({ shared: true })))
  afterEach(() => Promise.all(opened.splice(0).map((log) => log.close())))

  it('[P-2.12] a late answer of the store does not take back what was trimmed meanwhile', async () => {
    const a = await nodeOn(store)
    for (const text of ['one', 'two', 'three']) await publish(a.log, text)
    const known = await a.log.stream(stream)
    const gate = a.gates.hold((call) => call.name === 'changeRecord' && known.record?.snapshot?.seq === 3)
    const trimming = a.log.trim(stream, 3)
    await within(gate.reached, 'the trim to be recorded')
    const answer = holdAnswer(a, 'load')
    const confirming = a.log.confirmHead(known)
    await within(answer.reached, 'the older record')
    gate.release()
    expect(await trimming).to.equal(3)
    answer.release()
    await confirming
    expect(known.first).to.equal(3)
  })

  it('[P-2.12] a snapshot of one does not take back what the other has trimmed meanwhile', async () => {
    const a = await nodeOn(store)
    for (const text of ['one', 'two', 'three']) await publish(a.log, text)
    const b = await nodeOn(store, { snapshotEntriesMax: 1 })
    const gate = b.gates.hold(calls('changeRecord'))
    await publish(b.log, 'four')
    await within(gate.reached, 'the snapshot to be recorded')
    await a.log.trim(stream, 3)
    gate.release()
    await b.log.close()
    expect((await store.load(stream)).record?.first).to.equal(3)
  })

  it('[P-9.1] of two snapshots at the same time one counts, and the state can be read', async () => {
    const a = await nodeOn(store)
    for (const text of ['one', 'two', 'three']) await publish(a.log, text)
    await a.log.trim(stream, 2)
    const b = await nodeOn(store, { snapshotEntriesMax: 1 })
    const gate = b.gates.hold(calls('changeRecord'))
    // It keeps the chunk of the snapshot before it, which the one of the other log makes stale.
    await publish(b.log, 'four')
    await within(gate.reached, 'the snapshot to be recorded')
    for (const name of ['one', 'two', 'three']) await publish(a.log, 'changed', name)
    await a.log.trim(stream, 5)
    gate.release()
    await b.log.close()
    const c = await nodeOn(store)
    const state = await c.log.state(await c.log.stream(stream))
    expect(state.states().map(({ entry }) => entry.seq)).to.deep.equal([4, 5, 6, 7])
  })

  it('[P-9.1] a state is read again when its snapshot is replaced meanwhile', async () => {
    const a = await nodeOn(store)
    for (const text of ['one', 'two', 'three']) await publish(a.log, text)
    await a.log.trim(stream, 2)
    const b = await nodeOn(store)
    const known = await b.log.stream(stream)
    for (const name of ['one', 'two', 'three']) await publish(a.log, 'changed', name)
    await a.log.trim(stream, 5)
    const state = await b.log.state(known)
    expect(state.states().map(({ entry }) => entry.seq)).to.deep.equal([4, 5, 6])
  })

  it('[P-6.20] a reader behind what the other has trimmed learns where the stream begins before it reads again', async () => {
    const [a, b] = [await nodeOn(store), await nodeOn(store)]
    for (const text of ['one', 'two', 'three', 'four', 'five']) await publish(a.log, text)
    const known = await b.log.stream(stream)
    await a.log.trim(stream, 4)
    expect(known.first).to.equal(1)
    const begins = await within(
      new Promise<number>((resolve, reject) => {
        const reader = new Reader(b.log, known, { kick: () => resolve(known.first), fail: (_reason, error) => reject(error) })
        expect(reader.at(2)).to.equal(undefined)
      }),
      'the reader to have read',
    )
    expect(begins).to.equal(4)
  })

  it('[P-2.18] [P-9.16] a refusal is not final where the head moved between the judgement and the end of a commit of other streams', async () => {
    const a = await nodeOn(store)
    const b = await nodeOn(store)
    await publish(a.log, 'old', 'topic')
    const known = await b.log.stream(stream)
    await b.log.state(known)
    await b.log.stream('users/other')
    await publish(a.log, 'new', 'topic')
    const { headSeq, headMark } = await a.log.stream(stream)
    const gate = b.gates.hold(calls('commit'))
    const other = b.log.publish('users/other', draftOf('users/other/x', 'x'))
    const condition = { is: 'position', seq: headSeq, mark: headMark, epoch: b.log.epoch } as const
    const conditional = b.log.publish(stream, { ...draftOf(`${stream}/topic`, 'newer'), condition })
    await within(gate.reached, 'the commit of the other stream')
    // A hint, or a reader of this node, brings in what the other one has written.
    await b.log.refresh(known)
    gate.release()
    expect((await within(conditional, 'the conditional publish')).seq).to.equal(3)
    await within(other, 'the other publish')
  })

  it('[P-8.8] an entry whose outcome stays unknown until it is trimmed is not appended again', async () => {
    const a = await nodeOn(store)
    const b = await nodeOn(store)
    a.gates.committing = async (_buckets, commit) => {
      await commit()
      throw new Error('the answer is lost')
    }
    const gate = a.gates.hold(calls('settle'))
    const refused = publish(a.log, 'once').catch((error: unknown) => error)
    await within(gate.reached, 'the log to ask what became of the commit')
    for (const text of ['one', 'two']) await publish(b.log, text)
    await b.log.trim(stream, 3)
    a.gates.committing = undefined
    gate.release()
    expect(await refused)
      .to.be.instanceOf(SyncError)
      .with.property('code', 'store-unavailable')
    await publish(a.log, 'three')
    expect((await store.load(stream)).last?.lastSeq).to.equal(4)
  })
})
