/** What goes into one commit: everything that waits, and for a moment the answers to what was just settled. */
import { expect } from 'chai'
import type { Bucket } from '../../log/bucket.ts'
import { encodeFrame, type Draft } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { CommitOutcome } from '../../log/stores/store.ts'
import type { SyncError } from '../../protocol/errors.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import { calls, GatedStore, type Gate } from '../support/gated-store.ts'
import { within } from '../support/waiting.ts'

class CountingStore extends MemoryStore {
  readonly commits: number[] = []

  override commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    this.commits.push(buckets.reduce((entries, { count }) => entries + count, 0))
    return super.commit(buckets)
  }
}

describe('group commit', () => {
  let log: Log
  let store: CountingStore

  async function open(commitPauseMs: number): Promise<void> {
    store = new CountingStore()
    log = await Log.open({ store, limits: { ...defaultLimits, commitPauseMs } })
  }

  afterEach(() => log.close())

  function publish(user: string): Promise<Draft> {
    const topic = `users/${user}/a`
    const frame = encodeFrame(topic, Buffer.from('x'))
    return log.publish(`users/${user}`, { ...frame, topic, qos: 1, retain: false, from: user, client: 'c', receivedMs: 0 })
  }

  const aTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

  it('waits for as many answers as it has settled, and no longer', async () => {
    await open(3_600_000)
    await Promise.all([publish('alice'), publish('bob'), publish('carol')])
    expect(store.commits, 'the first waits for nobody').to.deep.equal([3])
    const answers = [publish('alice')]
    for (let turn = 0; turn < 5; turn++) await aTurn()
    answers.push(publish('bob'))
    for (let turn = 0; turn < 5; turn++) await aTurn()
    expect(store.commits, 'two of three are there').to.deep.equal([3])
    answers.push(publish('carol'))
    await Promise.all(answers)
    expect(store.commits).to.deep.equal([3, 3])
  })

  it('waits no longer than the pause for answers that do not come', async () => {
    await open(20)
    await Promise.all([publish('alice'), publish('bob')])
    await publish('alice')
    expect(store.commits).to.deep.equal([2, 1])
  })

  it('waits for nobody after a large commit', async () => {
    await open(3_600_000)
    await Promise.all(Array.from({ length: 1_025 }, () => publish('alice')))
    await publish('alice')
    expect(store.commits).to.deep.equal([1_025, 1])
  })

  describe('where a commit takes long', () => {
    let gates: GatedStore

    async function openOn(inner: MemoryStore, limits: Partial<Limits> = {}): Promise<void> {
      gates = new GatedStore(inner)
      log = await Log.open({ store: gates, limits: { ...defaultLimits, headPollMs: 3_600_000, commitOverlapMs: 5, ...limits } })
    }

    /** Holds the commits that a bucket of the user is in; resolves when one has come. */
    const holdCommitOf = (user: string): Gate =>
      gates.hold(({ name, args }) => name === 'commit' && (args[0] as Bucket[]).some(({ stream }) => stream === `users/${user}`))

    it('[P-8.9] others start beside it, for other streams only, and each stream keeps its order', async () => {
      await openOn(new MemoryStore({ shared: true }))
      const gate = holdCommitOf('alice')
      const settled: string[] = []
      const first = publish('alice').then(({ seq }) => settled.push(`alice ${seq}`))
      await within(gate.reached, 'the commit that takes long')
      const second = publish('alice').then(({ seq }) => settled.push(`alice ${seq}`))
      for (const seq of [1, 2, 3]) expect((await within(publish('bob'), 'an append to another stream')).seq).to.equal(seq)
      expect(settled).to.deep.equal([])
      gate.release()
      await Promise.all([first, second])
      expect(settled).to.deep.equal(['alice 1', 'alice 2'])
    })

    it('not more than commitsInFlightMax of them', async () => {
      await openOn(new MemoryStore({ shared: true }), { commitsInFlightMax: 2 })
      const [one, two] = [holdCommitOf('alice'), holdCommitOf('bob')]
      const held = [publish('alice')]
      await within(one.reached, 'the first commit')
      held.push(publish('bob'))
      await within(two.reached, 'the second one')
      const third = publish('carol')
      const early = await Promise.race([third, new Promise((resolve) => void setTimeout(() => resolve('none'), 50))])
      expect(early).to.equal('none')
      two.release()
      expect((await within(third, 'the third one')).seq).to.equal(1)
      one.release()
      await Promise.all(held)
    })

    it('[P-15.4] not in a store that takes a commit as one', async () => {
      await openOn(new MemoryStore())
      const gate = holdCommitOf('alice')
      const held = publish('alice')
      await within(gate.reached, 'the commit that takes long')
      const other = publish('bob')
      const early = await Promise.race([other, new Promise((resolve) => void setTimeout(() => resolve('none'), 50))])
      expect(early).to.equal('none')
      gate.release()
      await Promise.all([held, other])
    })

    it('who waits behind a store that answers nothing is refused', async () => {
      await openOn(new MemoryStore({ shared: true }), { commitsInFlightMax: 2, appendTimeoutMs: 100 })
      const gate = gates.hold(calls('commit'))
      const refused = await within(
        Promise.all(['alice', 'bob', 'carol', 'alice'].map((user) => publish(user).catch((error: unknown) => (error as SyncError).code))),
        'all to be refused',
      )
      expect(refused).to.deep.equal(['store-unavailable', 'store-unavailable', 'store-unavailable', 'store-unavailable'])
      gate.release()
    })
  })
})
