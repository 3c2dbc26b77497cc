/** Erasing a stream: what is left of it in the log and in the store. */
import { expect } from 'chai'
import { encodeFrame } from '../../log/draft.ts'
import { erase } from '../../log/erase.ts'
import { Log } from '../../log/log.ts'
import { mustBeMember, withdraw } from '../../log/members.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { SyncError } from '../../protocol/errors.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { within } from '../support/waiting.ts'

const stream = 'spaces/board'
const by = { uid: 'ops', client: 'desk' }
const opened: Log[] = []

/** Keeps count of what a snapshot has left behind. */
class ChunkStore extends MemoryStore {
  readonly chunks = new Map<string, Buffer>()

  override async putChunk(name: string, chunk: string, value: Buffer): Promise<void> {
    this.chunks.set(chunk, value)
    await super.putChunk(name, chunk, value)
  }
  override async removeChunk(name: string, chunk: string): Promise<void> {
    this.chunks.delete(chunk)
    await super.removeChunk(name, chunk)
  }
}

async function open(store: MemoryStore | GatedStore): Promise<Log> {
  const log = await Log.open({ store })
  opened.push(log)
  return log
}

async function publish(log: Log, text: string, id = text, since?: number): Promise<string> {
  const topic = `${stream}/${text}`
  const draft = {
    topic,
    ...encodeFrame(topic, Buffer.from(`secret ${text}`)),
    qos: 1 as const,
    retain: true,
    from: 'alice',
    client: 'desk',
    id,
  }
  try {
    const { seq, duplicate } = await log.publish(stream, { ...draft, since, receivedMs: 0 })
    return `${duplicate ? 'duplicate' : 'new'} ${seq}`
  } catch (error) {
    return error instanceof SyncError ? error.code : String(error)
  }
}

describe('Erasing a stream', () => {
  let store: ChunkStore

  beforeEach(() => (store = new ChunkStore({ shared: true })))
  afterEach(() => Promise.all(opened.splice(0).map((log) => log.close())))

  async function stored(): Promise<string> {
    const buckets = await store.read(stream, { from: 1, to: 1e9, bytesMax: 1e9 })
    return Buffer.concat([...buckets.map(({ value }) => value), ...store.chunks.values()]).toString('latin1')
  }

  it('[P-17.1, P-17.2] leaves no entry, no state and no id, and the stream goes on', async () => {
    const log = await open(store)
    for (const text of ['one', 'two']) await publish(log, text)
    await publish(log, 'three')
    await log.trim(stream, 4) // So that a snapshot reaches as far as the entry that erases.
    expect(await stored()).to.include('secret')
    const pos = await erase(log, stream, by)
    expect(await stored()).to.not.include('secret')
    const known = await log.stream(stream)
    expect([known.first, known.headSeq, pos.split('.')[1]]).to.deep.equal([4, 4, '4'])
    const state = await log.state(known)
    expect([state.states(), state.ids()]).to.deep.equal([[], []])
    expect(await publish(log, 'one')).to.equal('new 5')
    const again = await open(store)
    const states = (await again.state(await again.stream(stream))).states()
    expect(states.map(({ entry }) => entry.topic)).to.deep.equal([`${stream}/one`])
  })

  it('[P-17.2] leaves nothing of what was published in the same moment before it', async () => {
    const gates = new GatedStore(store)
    const log = await open(gates)
    await publish(log, 'first')
    const known = await log.stream(stream)
    const gate = gates.hold(calls('commit'))
    const busy = publish(log, 'busy')
    await within(gate.reached, 'a commit')
    const before = publish(log, 'just before')
    const erased = erase(log, stream, by)
    while (!known.pending.some(({ erases }) => erases)) await new Promise<void>((resolve) => void setImmediate(resolve))
    const behind = publish(log, 'first')
    gate.release()
    await Promise.all([busy, before, erased])
    expect(await behind).to.equal('new 5')
    const left = await stored()
    expect(left).to.not.include('secret just before')
    expect(left).to.include('secret first')
    const state = await log.state(known)
    expect(state.states().map(({ entry }) => entry.topic)).to.deep.equal([`${stream}/first`])
  })

  it('[P-17.3] a retry from before it is unknown, and withdrawn members stay withdrawn', async () => {
    const log = await open(store)
    await publish(log, 'one')
    await withdraw(log, stream, 'bob', { uid: 'alice', client: 'desk', issuedAtMs: Date.now() + 1_000 })
    await erase(log, stream, by)
    expect(await publish(log, 'one', 'one', 0)).to.equal('unknown-outcome')
    for (const node of [log, await open(store)]) {
      const refused: unknown = await mustBeMember(node, stream, { uid: 'bob', issuedAtMs: 0 }).catch((error: unknown) => error)
      expect(refused).to.have.property('code', 'forbidden')
    }
  })

  it('[P-17.1] a stream without entries stays one', async () => {
    const log = await open(store)
    expect(await erase(log, stream, by)).to.equal(`${log.epoch}.0.0000`)
    expect(await log.streams('', 10)).to.deep.equal([])
  })

  it('[P-17.5] interrupted, it leaves an empty state, and is completed when it is asked for again', async () => {
    const gates = new GatedStore(store)
    const log = await open(gates)
    await publish(log, 'one')
    const heal = gates.fail(calls('changeRecord'))
    const failed: unknown = await erase(log, stream, by).catch((error: unknown) => error)
    expect(failed).to.be.instanceOf(Error)
    heal()
    const other = await open(store)
    expect((await other.state(await other.stream(stream))).states()).to.deep.equal([])
    expect(await stored()).to.include('secret one')
    await erase(other, stream, by)
    expect(await stored()).to.not.include('secret one')
  })

  it('[P-17.2] holds for another node on the same store', async () => {
    const [log, other] = [await open(store), await open(store)]
    await publish(log, 'one')
    const known = await other.stream(stream)
    await other.state(known)
    await erase(log, stream, by)
    expect(await publish(other, 'two')).to.equal('new 3')
    await other.confirmHead(known)
    expect(known.first).to.equal(2)
    expect((await other.state(known)).states().map(({ entry }) => entry.topic)).to.deep.equal([`${stream}/two`])
  })
})
