/** Looking at the heads of followed streams, where nobody tells of what other nodes append. */
import { expect } from 'chai'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { KnownHead } from '../../log/stores/store.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { loggerTo, type LogLine } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import { Inbox, within } from '../support/waiting.ts'

const names = Array.from({ length: 100 }, (_, at) => `users/u${at}`)
const opened: Log[] = []

async function logOn(
  store: MemoryStore,
  limits: Partial<Limits> = {},
  lines = new Inbox<LogLine>(),
): Promise<{ log: Log; gates: GatedStore }> {
  const gates = new GatedStore(store)
  const log = await Log.open({ store: gates, logger: loggerTo(lines), limits: { ...defaultLimits, headPollMs: 3_600_000, ...limits } })
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

  it('[P-14.2] finds what another node has appended to any followed stream, never reading more at once than it may', async () => {
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
    await publish(a.log, names[0] as string)
    await within(gate.reached, 'the first head to be read')
    for (const name of names) await publish(a.log, name)
    gate.release()
    await moved.until(() => new Set(moved.all).size === names.length, 'all that was appended')
    expect(most).to.be.within(1, 7)
  })

  it('[P-14.2] asks about many streams with one question, one question after the other, and reads none that has not moved', async () => {
    const { log, gates } = await logOn(store, { headPollMs: 40, headsPerQuestionMax: 30 })
    await follow(log)
    const questions = new Inbox<string[]>()
    let asking = 0
    gates.pause = async ({ name, args }, way) => {
      if (name === 'load') throw new Error('a stream was read that has not moved')
      if (name !== 'moved') return
      asking += way === 'in' ? 1 : -1
      expect(asking).to.be.within(0, 1)
      if (way === 'in') questions.add((args[0] as KnownHead[]).map(({ stream }) => stream))
    }
    await questions.until(() => questions.all.length >= 12, 'three rounds')
    for (let round = 0; round < 12; round += 4) {
      const asked = questions.all.slice(round, round + 4)
      expect(asked.flat().toSorted()).to.deep.equal(names.toSorted())
      expect(asked.map(({ length }) => length)).to.deep.equal([25, 25, 25, 25])
    }
  })

  it('[P-14.2] says once that the store does not answer, and finds what was appended when it does', async () => {
    const lines = new Inbox<LogLine>()
    const [a, b] = [await logOn(store), await logOn(store, { headPollMs: 5 }, lines)]
    const moved = await follow(b.log)
    const failures = new Inbox<string>()
    b.gates.pause = async ({ name }) => failures.add(name)
    const answerAgain = b.gates.fail(calls('moved'))
    await publish(a.log, 'users/u5')
    await failures.until(() => failures.all.filter((name) => name === 'moved').length >= 3, 'three questions')
    expect(moved.all).to.deep.equal([])
    answerAgain()
    await moved.until(() => moved.all.includes('users/u5'), 'what was appended meanwhile')
    expect(lines.all.filter(({ message }) => message.startsWith('the heads of followed streams'))).to.have.length(1)
  })

  it('[P-14.2] tells the store since when it has known a head, which is later after every answer', async () => {
    const { log, gates } = await logOn(store, { headPollMs: 5 })
    await follow(log)
    const seen = new Inbox<KnownHead>()
    gates.pause = async ({ name, args }, way) => {
      if (name === 'moved' && way === 'in') for (const head of args[0] as KnownHead[]) seen.add(head)
    }
    await seen.until(() => seen.all.length >= 2 * names.length, 'two rounds')
    const [first, second] = seen.all.filter(({ stream }) => stream === 'users/u0') as [KnownHead, KnownHead]
    expect(first.seenMs).to.be.above(0)
    expect(second.seenMs).to.be.above(first.seenMs)
  })
})
