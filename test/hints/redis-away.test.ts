/** Redis that is away, stands still, or does not let us in: nobody waits for it, nothing is kept for it, and it is found again. */
import { expect } from 'chai'
import type { Hint } from '../../seams/hints.ts'
import type { LogLine } from '../support/broker.ts'
import { freePorts } from '../support/server.ts'
import { closeRedisNodes, redisNode, redisProcess, RedisProcess, type RedisNode } from '../support/redis.ts'
import { need } from '../support/skipping.ts'
import { tempFolder } from '../support/temp.ts'
import { Inbox } from '../support/waiting.ts'

const head = (seq: number): Hint => ({ type: 'head', stream: `users/u${seq}`, seq })
const isHead = (seq: number) => (hint: Hint) => hint.type === 'head' && hint.seq === seq
const isDown = ({ level }: LogLine): boolean => level === 'warn'

function heardBy({ hints }: RedisNode): Inbox<Hint> {
  const inbox = new Inbox<Hint>()
  hints.listen((hint) => inbox.add(hint))
  return inbox
}

async function pairAt(url: string, limits = {}): Promise<[RedisNode, RedisNode]> {
  const pair: [RedisNode, RedisNode] = [redisNode({ url, limits }), redisNode({ url, limits })]
  await Promise.all(pair.map((node) => node.connected()))
  return pair
}

describe('Hints while Redis is away', () => {
  let redis: RedisProcess | undefined
  afterEach(async () => {
    await closeRedisNodes()
    redis?.resume()
    await redis?.stop()
    redis = undefined
  })

  it('are dropped and counted, which is said once; they come back by themselves', async function () {
    redis = await redisProcess(this)
    const pair = await pairAt(redis.url)
    const [a, b] = pair
    const heard = heardBy(b)
    for (let round = 1; round <= 2; round++) {
      await redis.stop()
      await Promise.all(pair.map(({ lines }) => lines.take(isDown, 'the word that Redis is away')))
      expect(pair.map(({ hints }) => hints.connected)).to.deep.equal([false, false])
      for (let seq = 1; seq <= 100; seq++) a.hints.send(head(seq))
      expect(a.counts).to.include({ sent: round - 1, dropped: 100 * round })
      await redis.start()
      await Promise.all(pair.map((node) => node.connected()))
      expect(pair.map(({ hints }) => hints.connected)).to.deep.equal([true, true])
      a.hints.send(head(1_000 + round))
      await heard.take(isHead(1_000 + round), 'a hint over Redis that has come back')
      expect(heard.all).to.have.length(round)
      expect(a.lines.all.filter(isDown)).to.have.length(round)
    }
  })

  it('begin to go when Redis is started after the node', async function () {
    need(this, 'redis-server', 'apt-get install redis-server')
    const [port] = (await freePorts(1)) as [number]
    redis = new RedisProcess(port, await tempFolder(), [])
    const [a, b] = [redisNode({ url: redis.url }), redisNode({ url: redis.url })]
    const heard = heardBy(b)
    const { message, fields } = await a.lines.take(isDown, 'the word that Redis is away')
    expect(message).to.include('seen by polling')
    expect(fields['redis']).to.equal(`127.0.0.1:${port}`)
    expect(fields['reason']).to.include('ECONNREFUSED')
    await redis.start()
    await Promise.all([a.connected(), b.connected()])
    a.hints.send(head(1))
    await heard.take(isHead(1), 'the hint')
  })

  it('are lost with a Redis that stands still with its connections open; no more wait for it than the bound', async function () {
    redis = await redisProcess(this)
    const limits = { hintsCheckMs: 150, hintsBytesMax: 10_000 }
    const pair = await pairAt(redis.url, limits)
    const [a, b] = pair
    const heard = heardBy(b)
    const payload = Buffer.alloc(1_000)
    const ephemeral: Hint = { type: 'ephemeral', stream: 'users/alice', topic: 'users/alice/live', payload, from: 'alice', client: 'phone' }
    redis.pause()
    // More in one turn than may wait, and again on later turns, when the first ones stand in the socket.
    for (let turn = 0; turn < 5; turn++) {
      for (let hint = 0; hint < 20; hint++) a.hints.send(ephemeral)
      await new Promise<void>((resolve) => void setImmediate(resolve))
    }
    expect(a.counts).to.include({ sent: 9, dropped: 91 })
    await Promise.all(pair.map(({ lines }) => lines.take(isDown, 'the word that nothing comes back')))
    expect(a.lines.all.find(isDown)?.fields['reason']).to.equal('nothing came back for 450 ms')
    a.hints.send(ephemeral)
    expect(a.counts).to.include({ sent: 9, dropped: 92 })
    redis.resume()
    await Promise.all(pair.map((node) => node.connected()))
    a.hints.send(head(1))
    await heard.take(isHead(1), 'a hint over Redis that goes on')
    expect(heard.all.length).to.be.at.most(10)
  })

  it('do not keep a node from closing', async function () {
    redis = await redisProcess(this)
    const { url } = redis
    const limits = { hintsCheckMs: 600_000 }
    const [standing, opening] = [redisNode({ url, limits }), redisNode({ url, limits })]
    await standing.connected()
    redis.pause()
    const later = redisNode({ url, limits })
    standing.hints.send(head(1))
    await Promise.all([standing, opening, later].map(({ hints }) => hints.close()))
    expect([standing, opening, later].map(({ hints }) => hints.connected)).to.deep.equal([false, false, false])
  })

  it('need the right credentials, which are never logged', async function () {
    redis = await redisProcess(this, [
      '--requirepass',
      'se cret/@1',
      '--user',
      'tide',
      'on',
      '>hu:sh2',
      'resetchannels',
      '&test:*',
      '+publish',
      '+subscribe',
    ])
    const at = redis.url.slice('redis://'.length)
    const words = ['se%20cret%2F%401', 'wrong%20one', 'tide', 'hu%3Ash2', 'se cret', 'wrong one', 'hu:sh2']
    const refused = ['', ':wrong%20one@', 'tide:wrong%20one@', 'nobody:hu%3Ash2@'].map((who) => redisNode({ url: `redis://${who}${at}` }))
    const reasons = await Promise.all(refused.map(async ({ lines }) => (await lines.take(isDown, 'the refusal')).fields['reason']))
    for (const reason of reasons) expect(reason).to.match(/NOAUTH|WRONGPASS/)
    const admitted = [`:se%20cret%2F%401@`, 'tide:hu%3Ash2@'].map((who) => redisNode({ url: `redis://${who}${at}` }))
    await Promise.all(admitted.map((node) => node.connected()))
    const heard = heardBy(admitted[1] as RedisNode)
    admitted[0]?.hints.send(head(1))
    await heard.take(isHead(1), 'the hint')
    expect(refused.map(({ hints }) => hints.connected)).to.not.include(true)
    const logged = JSON.stringify([...refused, ...admitted].map(({ lines }) => lines.all))
    for (const word of words) expect(logged).to.not.include(word)
  })
})
