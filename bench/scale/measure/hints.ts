/** What hints cost: the node that sends, Redis, and every node that hears them. A message and a head in it are told apart by messages of 1 and of many heads. */
import { randomUUID } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { HintBatch } from '../../../hints/message.ts'
import { RedisHints } from '../../../hints/redis.ts'
import { defaultLimits } from '../../../seams/limits.ts'
import { silentLogger } from '../../../seams/logger.ts'
import { noTelemetry } from '../../../seams/telemetry.ts'
import { cpuSeconds } from '../../brokers/process-figures.ts'
import type { Figure } from './figure.ts'
import { forked, type Forked } from './forked.ts'
import type { HintsHeard } from './hint-listener.ts'
import type { OwnRedis } from './redis.ts'
import { waitUntil } from './waiting.ts'

const manyHeads = 64
const rounds = { one: 15_000, many: 1_500 } as const
const manyListeners = 5

/** Processor time per message. */
interface Spent {
  readonly sender: number
  readonly redis: number
  readonly listener: number
}

export async function hintFigures(redis: OwnRedis): Promise<Figure[]> {
  const limits = { ...defaultLimits, hintsBytesMax: 64 * 1024 * 1024 }
  const sender = new RedisHints({ url: redis.url, prefix: 'scale', limits, logger: silentLogger, telemetry: noTelemetry })
  sender.start('measured')
  await waitUntil(() => sender.connected, 'the sender to connect')
  const spend = async (listeners: number, heads: number, messages: number): Promise<Spent> => {
    const nodes = await forked<HintsHeard>('hint-listener', [redis.url, String(listeners)])
    try {
      await send(sender, redis, nodes, { listeners, heads, messages: Math.ceil(messages / 5) })
      return await send(sender, redis, nodes, { listeners, heads, messages })
    } finally {
      await nodes.stop()
    }
  }
  const one = await spend(1, 1, rounds.one)
  const many = await spend(1, manyHeads, rounds.many)
  const fanned = await spend(manyListeners, 1, rounds.one)
  await sender.close()
  const perHead = (pick: (spent: Spent) => number): number => (pick(many) - pick(one)) / (manyHeads - 1)
  const perMessage = (pick: (spent: Spent) => number): number => pick(one) - perHead(pick)
  // The sender listens too, as every node does.
  const redisPerListener = (fanned.redis - one.redis) / (manyListeners - 1)
  return [
    {
      name: 'hintMessageSentMicros',
      value: perMessage(({ sender: spent }) => spent),
      unit: 'µs',
      what: 'a message of hints sent, and its echo dropped',
    },
    { name: 'hintHeadSentMicros', value: perHead(({ sender: spent }) => spent), unit: 'µs', what: 'a head in it' },
    { name: 'hintMessageHeardMicros', value: perMessage(({ listener }) => listener), unit: 'µs', what: 'a message heard' },
    { name: 'hintHeadHeardMicros', value: perHead(({ listener }) => listener), unit: 'µs', what: 'a head in it that nobody follows' },
    { name: 'redisMessageMicros', value: one.redis - 2 * redisPerListener, unit: 'µs', what: 'Redis: a message taken' },
    { name: 'redisListenerMicros', value: redisPerListener, unit: 'µs', what: 'Redis: a message written to one listener' },
    { name: 'hintMessageBytes', value: 2 * messageBytes(1) - messageBytes(2), unit: 'B', what: 'a message beside its heads' },
    { name: 'hintHeadBytes', value: messageBytes(2) - messageBytes(1), unit: 'B', what: 'a head in it' },
    { name: 'redisHeadMicros', value: perHead((spent) => spent.redis) / 2, unit: 'µs', what: 'Redis: a head in it, for each listener' },
  ]
}

interface Sending {
  readonly listeners: number
  readonly heads: number
  readonly messages: number
}

async function send(
  hints: RedisHints,
  redis: OwnRedis,
  nodes: Forked<HintsHeard>,
  { listeners, heads, messages }: Sending,
): Promise<Spent> {
  const before = await nodes.ask('cost')
  const redisBefore = cpuSeconds(redis.pid)
  const ownBefore = process.cpuUsage()
  for (let message = 0; message < messages; message++) {
    for (let head = 0; head < heads; head++)
      hints.send({ type: 'head', stream: `users/bench-${(message * heads + head) % 5_000}`, seq: message + 1 })
    await turn()
  }
  const { user, system } = process.cpuUsage(ownBefore)
  const expected = before.hints + messages * heads * listeners
  await waitUntil(async () => (await nodes.ask('cost')).hints >= expected, 'the hints to arrive')
  const after = await nodes.ask('cost')
  return {
    sender: (user + system) / messages,
    redis: ((cpuSeconds(redis.pid) - redisBefore) * 1e6) / messages,
    listener: (after.cpuMicros - before.cpuMicros) / messages / listeners,
  }
}

function messageBytes(heads: number): number {
  const batch = new HintBatch()
  for (let head = 0; head < heads; head++) batch.add({ type: 'head', stream: `users/bench-${1_234_567 + head}`, seq: 1_234 })
  return batch.encode(randomUUID()).length
}
