/** Following what other nodes have appended, where hints tell of it. */
import { expect } from 'chai'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { hintHub, type HintHub } from '../support/hints.ts'
import { Inbox, within } from '../support/waiting.ts'

const name = 'users/alice'
const opened: Log[] = []

describe('Catching up by hints', () => {
  let store: MemoryStore
  let hub: HintHub

  beforeEach(() => {
    store = new MemoryStore({ shared: true })
    hub = hintHub()
  })
  afterEach(() => Promise.all(opened.splice(0).map((log) => log.close())))

  async function nodeOn(): Promise<{ log: Log; gates: GatedStore; heads: Inbox<number>; asked: string[] }> {
    const gates = new GatedStore(store)
    const log = await Log.open({ store: gates, hints: await hub.join(), limits: { ...defaultLimits, headPollMs: 3_600_000 } })
    opened.push(log)
    const heads = new Inbox<number>()
    await log.follow(name, { moved: ({ headSeq }) => heads.add(headSeq) })
    const asked: string[] = []
    gates.pause = async (call, way) => void (way === 'in' && asked.push(call.name))
    return { log, gates, heads, asked }
  }

  async function publish(log: Log, text: string): Promise<void> {
    const topic = `${name}/notes`
    const draft = { topic, ...encodeFrame(topic, Buffer.from(text)), qos: 1 as const, retain: false, from: 'alice', client: 'desk' }
    await log.publish(name, { ...draft, receivedMs: 0 })
  }

  it('[P-14.2] reads the entries that a hint speaks of, and asks nothing else', async () => {
    const [a, b] = [await nodeOn(), await nodeOn()]
    await publish(a.log, 'one')
    await b.heads.until(() => b.heads.all.includes(1), 'the entry at the other node')
    expect(b.asked).to.deep.equal(['read'])
  })

  it('[P-14.2] takes hints that come while it reads together', async () => {
    const [a, b] = [await nodeOn(), await nodeOn()]
    const gate = b.gates.hold(calls('read'))
    await publish(a.log, 'one')
    await within(gate.reached, 'the first read')
    for (const text of ['two', 'three', 'four']) await publish(a.log, text)
    await hub.settled()
    gate.release()
    await b.heads.until(() => b.heads.all.includes(4), 'all entries at the other node')
    expect(b.heads.all).to.deep.equal([1, 2, 3, 4])
    expect(b.asked.length).to.be.within(1, 2)
  })

  it('[P-14.2] believes no hint: what is not in the store is not there', async () => {
    const [a, b] = [await nodeOn(), await nodeOn()]
    const liar = await hub.join()
    const gate = b.gates.hold(calls('load'))
    liar.send({ type: 'head', stream: name, seq: 77 })
    await within(gate.reached, 'the node to make sure of the head')
    gate.release()
    await publish(a.log, 'one')
    await b.heads.until(() => b.heads.all.includes(1), 'the entry at the other node')
    expect(b.heads.all).to.deep.equal([1])
  })

  it('[P-14.2] makes sure of the head where a read fails, and goes on', async () => {
    const [a, b] = [await nodeOn(), await nodeOn()]
    const readAgain = b.gates.fail(calls('read'))
    const gate = b.gates.hold(calls('load'))
    await publish(a.log, 'one')
    await within(gate.reached, 'the node to make sure of the head')
    readAgain()
    gate.release()
    await b.heads.until(() => b.heads.all.includes(1), 'the entry at the other node')
    await publish(a.log, 'two')
    await b.heads.until(() => b.heads.all.includes(2), 'the next one')
  })
})
