/** What goes into one commit: everything that waits, and for a moment the answers to what was just settled. */
import { expect } from 'chai'
import type { Bucket } from '../../log/bucket.ts'
import { encodeFrame, type Draft } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { CommitOutcome } from '../../log/stores/store.ts'
import { defaultLimits } from '../../seams/limits.ts'

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
})
