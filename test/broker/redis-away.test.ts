/** Two brokers whose Redis goes away and comes back: what holds with it holds without it, later [P-14.2]. */
import { expect } from 'chai'
import type { LogLine } from '../support/broker.ts'
import type { HintHub } from '../support/hints.ts'
import { closeAllNodes, longMs, numbered, pairOf, publishAll, receive, texts } from '../support/nodes.ts'
import { closeRedisNodes, redisNode, redisProcess, type RedisNode, type RedisProcess } from '../support/redis.ts'

const isDown = ({ level }: LogLine): boolean => level === 'warn'

describe('Two nodes whose Redis goes away', function () {
  this.timeout(2 * longMs)
  let redis: RedisProcess
  let ends: RedisNode[]

  beforeEach(async function () {
    redis = await redisProcess(this)
    ends = []
  })
  afterEach(async () => {
    await closeAllNodes()
    await closeRedisNodes()
    await redis?.stop()
  })

  const hub = (): HintHub => ({
    async join() {
      const node = redisNode({ url: redis.url })
      ends.push(node)
      await node.connected()
      return node.hints
    },
    settled: () => Promise.resolve(),
  })
  async function lose(): Promise<void> {
    await redis.stop()
    await Promise.all(ends.map(({ lines }) => lines.take(isDown, 'the word that Redis is away')))
  }
  async function find(): Promise<void> {
    await redis.start()
    await Promise.all(ends.map((end) => end.connected()))
  }

  it('[P-4.11] [P-14.2] entries reach readers on the other node meanwhile, by polling, in order; afterwards QoS 0 crosses again', async () => {
    const { a, b } = await pairOf(hub())
    const reader = await b.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const desk = await a.client('alice', { clientId: 'desk' })
    const live = 'users/alice/live'
    const wanted: string[] = []
    for (let round = 0; round < 2; round++) {
      desk.publishNow(live, `live ${round}`, { qos: 0 })
      expect(texts(await receive(reader, 1)), 'with Redis').to.deep.equal([`live ${round}`])
      await lose()
      desk.publishNow(live, 'not heard by the other node', { qos: 0 })
      const all = numbered(`m${round}-`, 50)
      await publishAll(desk, all)
      wanted.push(...all)
      expect(texts(await receive(reader, all.length)), 'without Redis').to.deep.equal(all)
      await find()
    }
    desk.publishNow(live, 'at last', { qos: 0 })
    expect(texts(await receive(reader, 1))).to.deep.equal(['at last'])
    await reader.ping()
    expect(reader.unread()).to.deep.equal([])
  })
})
