/** Hints over a real Redis: what is sent, what is dropped, what is not heard. That nodes do without it: redis-away.test.ts. */
import { expect } from 'chai'
import { Redis } from 'ioredis'
import type { Hint } from '../../seams/hints.ts'
import { anyRedis, closeRedisNodes, redisNode, type RedisNode } from '../support/redis.ts'
import { Inbox } from '../support/waiting.ts'

const head = (seq: number, stream = 'users/alice'): Hint => ({ type: 'head', stream, seq })
const message = (payload: string | Buffer, from = 'alice'): Hint => ({
  type: 'ephemeral',
  stream: 'users/alice',
  topic: 'users/alice/live',
  payload: Buffer.from(payload),
  from,
  client: 'phone',
})

/** What a node hears, in order. */
function heardBy({ hints }: RedisNode): Inbox<Hint> {
  const inbox = new Inbox<Hint>()
  hints.listen((hint) => inbox.add(hint))
  return inbox
}

const isHead = (seq: number) => (hint: Hint) => hint.type === 'head' && hint.seq === seq

describe('Hints over Redis', () => {
  let url = ''
  let prefix = ''
  let stop: () => Promise<void> = () => Promise.resolve()
  let other: Redis

  before(async function () {
    const redis = await anyRedis(this)
    url = redis.url
    stop = () => redis.stop()
    other = new Redis(url)
  })
  beforeEach(() => (prefix = `test-${process.pid}-${Math.random().toString(36).slice(2)}`))
  afterEach(closeRedisNodes)
  after(async () => {
    other?.disconnect()
    await stop()
  })

  async function open(epoch?: string, own = prefix): Promise<RedisNode> {
    const node = redisNode({ url, prefix: own, ...(epoch === undefined ? {} : { epoch }) })
    await node.connected()
    return node
  }

  /** What passes over the channel, to be seen by a program that is none of ours. */
  async function messages(): Promise<Inbox<Buffer>> {
    const inbox = new Inbox<Buffer>()
    const redis = new Redis(url)
    redis.on('messageBuffer', (_channel: Buffer, bytes: Buffer) => inbox.add(bytes))
    await redis.subscribe(channel())
    eavesdroppers.push(redis)
    return inbox
  }

  const eavesdroppers: Redis[] = []
  const channel = (epoch = 'epoch001'): string => `${prefix}:${epoch}:hints`
  afterEach(() => eavesdroppers.splice(0).forEach((redis) => redis.disconnect()))

  it('go as one message for all that one turn has to say, of each stream the newest head', async () => {
    const [a, b] = await Promise.all([open(), open()])
    const [passed, heard] = [await messages(), heardBy(b)]
    for (const seq of [1, 3, 2]) a.hints.send(head(seq))
    a.hints.send(head(7, 'users/bob'))
    a.hints.send(message('one'))
    a.hints.send({ type: 'takeover', session: 'alice phone', generation: 4 })
    a.hints.send(message(Buffer.from([0, 255, 10])))
    a.hints.send({ type: 'revoked' })
    await heard.until(() => heard.all.length >= 6, 'the hints of the turn')
    expect(heard.all).to.have.deep.members([
      { type: 'revoked' },
      { type: 'takeover', session: 'alice phone', generation: 4 },
      head(3),
      head(7, 'users/bob'),
      message('one'),
      message(Buffer.from([0, 255, 10])),
    ])
    await passed.until(() => passed.all.length > 0, 'the message')
    a.hints.send(head(8))
    await heard.take(isHead(8), 'the hint of a later turn')
    await passed.until(() => passed.all.length > 1, 'the second message')
    expect(passed.all).to.have.length(2)
    expect(a.counts).to.deep.equal({ sent: 9, received: 0, dropped: 0, ignored: 0 })
    expect(b.counts).to.deep.equal({ sent: 0, received: 7, dropped: 0, ignored: 0 })
  })

  it('of another deployment are not heard: neither those of another prefix nor those of another epoch', async () => {
    const [a, sibling, otherEpoch, otherPrefix] = await Promise.all([open(), open(), open('epoch002'), open('epoch001', `${prefix}-copy`)])
    const [atSibling, atEpoch, atPrefix] = [heardBy(sibling), heardBy(otherEpoch), heardBy(otherPrefix)]
    for (let seq = 1; seq <= 20; seq++) a.hints.send(head(seq))
    otherEpoch.hints.send(head(101))
    otherPrefix.hints.send(head(102))
    await atSibling.take(isHead(20), 'the hint of its sibling')
    // Each has a sibling of its own that shows that its hints do go somewhere.
    const pairs = await Promise.all([open('epoch002'), open('epoch001', `${prefix}-copy`)])
    pairs[0]?.hints.send(head(201))
    pairs[1]?.hints.send(head(202))
    await Promise.all([atEpoch.take(isHead(201), 'its own'), atPrefix.take(isHead(202), 'its own')])
    expect([atEpoch.all, atPrefix.all]).to.deep.equal([[head(201)], [head(202)]])
    expect(atSibling.all.filter((hint) => hint.type === 'head' && hint.seq > 100)).to.deep.equal([])
  })

  it('are all that is heard: what somebody else publishes there is ignored, counted, and said once', async () => {
    const [a, b] = await Promise.all([open(), open()])
    const heard = heardBy(b)
    const rows = (member: string, value: unknown): string => `${JSON.stringify({ v: 1, node: 'x', [member]: value })}\n`
    const garbage: (string | Buffer)[] = [
      '',
      'hello',
      '\n',
      'null\n',
      '[]\n',
      '{"v":1,"node":"x"',
      '{"v":2,"node":"x","heads":[["users/alice",5]]}\n',
      '{"v":1,"heads":[["users/alice",5]]}\n',
      '{"v":1,"node":"x","heads":[["users/alice",5]]}\ntrailing',
      rows('revoked', 'yes'),
      rows('heads', 'users/alice'),
      rows('heads', { length: 1 }),
      rows('heads', [['users/alice', 1.5]]),
      rows('heads', [['users/alice', -1]]),
      rows('heads', [['users/alice', '5']]),
      rows('heads', [['users/alice', 5, 6]]),
      rows('heads', ['ab']),
      rows('takeovers', [[7, 7]]),
      rows('takeovers', [null]),
      rows('ephemerals', [['users/alice', 'a', 'b', 'c', 3]]),
      `${rows('ephemerals', [['users/alice', 'a', 'b', 'c', 3]])}toolong`,
      rows('ephemerals', [['users/alice', 'a'.repeat(65_536), 'b', 'c', 0]]),
      rows('ephemerals', [['users/alice', 'a', 'b', 'c']]),
      rows('ephemerals', [['users/alice', 'a', 'b', 'c', Number.MAX_SAFE_INTEGER]]),
      Buffer.from([0xff, 0xfe, 0, 10, 10]),
      Buffer.alloc(9 * 1024 * 1024, 0x20),
    ]
    for (const bytes of garbage) await other.publish(channel(), bytes)
    a.hints.send(head(9))
    await heard.take(isHead(9), 'a hint after the garbage')
    expect(heard.all).to.deep.equal([head(9)])
    expect(b.counts).to.include({ received: 1, ignored: garbage.length })
    expect(b.lines.all.filter(({ level }) => level === 'warn').map(({ message: text }) => text)).to.deep.equal([
      'something that is no hint comes over Redis; it is ignored, and further ones are only counted',
    ])
  })

  it('are taken from a node of a later release that says more', async () => {
    const heard = heardBy(await open())
    await other.publish(channel(), '{"v":1,"node":"x","more":[[1]],"heads":[["users/alice",5]]}\n')
    await heard.take(isHead(5), 'the hint')
    expect(heard.all).to.deep.equal([head(5)])
  })
})
