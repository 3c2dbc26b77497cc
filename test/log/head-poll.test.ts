/** Looking at the heads of followed streams, where nobody tells of what other nodes append. */
import { expect } from 'chai'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { Inbox, within } from '../support/waiting.ts'

const names = Array.from({ length: 100 }, (_, at) => `users/u${at}`)
const opened: Log[] = []

async function logOn(store: MemoryStore, limits: Partial<Limits> = {}): Promise<{ log: Log; gates: GatedStore }> {
  const gates = new GatedStore(store)
  const log = await Log.open({ store: gates, limits: { ...defaultLimits, headPollMs: 3_600_000, ...limits } })
  opened.push(log)
  return { log, gates }
}

async function publish(log: Log, name: string): Promise<void> {
  const topic = `${name}/notes`
  const draft = { topic, ...encodeFrame(topic, Buffer.from('hello')), qos: 1 as const, retain: false, from: 'alice', client: 'desk' }
  await log.publish(name, { ...draft, receivedMs: 0 })
}

/** Follows all streams; what comes is the names of those that have moved. */
async function follow(log: Log): Promise<Inbox<string>> {
  const moved = new Inbox<string>()
  for (const name of names) await log.follow(name, { moved: (stream) => moved.add(stream.name) })
  return moved
}

describe('Polling of heads', () => {
  let store: MemoryStore

  beforeEach(() => (store = new MemoryStore({ shared: true })))
  afterEach(() => Promise.all(opened.splice(0).map((log) => log.close())))

  it('[P-14.2] finds what another node has appended to any followed stream, never asking for more at once than it may', async () => {
    const [a, b] = [await logOn(store), await logOn(store, { headPollMs: 20, headReadsMax: 7 })]
    const moved = await follow(b.log)
    let asked = 0
    let most = 0
    b.gates.pause = async ({ name }, way) => {
      if (name !== 'load') return
      asked += way === 'in' ? 1 : -1
      most = Math.max(most, asked)
    }
    const gate = b.gates.hold(calls('load'))
    await within(gate.reached, 'the first head to be read')
    for (const name of names) await publish(a.log, name)
    gate.release()
    await moved.until(() => new Set(moved.all).size === names.length, 'all that was appended')
    expect(most).to.be.within(1, 7)
  })

  it('[P-14.2] does not come to all streams in one turn', async () => {
    const { log, gates } = await logOn(store, { headPollMs: 200, headReadsMax: 1_000 })
    await follow(log)
    const round = new Inbox<string>()
    let inTurn = 0
    let most = 0
    gates.pause = async ({ name, args }, way) => {
      if (name !== 'load' || way !== 'in') return
      if (inTurn++ === 0) setImmediate(() => (inTurn = 0))
      most = Math.max(most, inTurn)
      round.add(args[0] as string)
    }
    await round.until(() => new Set(round.all).size === names.length, 'all streams to be looked at')
    expect(most).to.be.within(1, names.length / 10)
  })
})
