/** How long a message takes from one node to another, by hints over Redis. */
import type { Broker } from '../brokers/broker.ts'
import { startStandIn } from '../brokers/databases.ts'
import { startRedis } from '../brokers/redis.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { cpuText, median, milliseconds } from './figures.ts'
import { measureNodes, type MeasuredNodes } from './measure.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'
import { generatorNote } from './throughput.ts'

const name = 'hints-1000'
const goalP99Ms = 10
const rate = { ratePerSecond: 1_000 } as const

export const hints: Shape = { names: [name], run: async (context) => await run(context) }

interface Round {
  /** QoS 0 from node to node: its way is the hint and nothing else. */
  readonly hinted: MeasuredNodes
  /** The same on one node. */
  readonly local: MeasuredNodes
  /** QoS 1 from node to node: committed, hinted, read. */
  readonly durable: MeasuredNodes
}

async function run(context: Context): Promise<Row[]> {
  const redis = await startRedis(context.folder(`${name}-redis`))
  if (!redis) {
    context.say(`${name}: there is no redis-server here`)
    return []
  }
  const standIn = await startStandIn('keep')
  const shared = { dist: context.dist, store: standIn.freshUrl(), hints: redis.url }
  const keyOf = context.folder(`${name}-one`)
  const started: Broker[] = []
  try {
    const one = await startTidemark({ ...shared, folder: keyOf })
    started.push(one)
    const other = await startTidemark({ ...shared, folder: context.folder(`${name}-other`), keyOf })
    started.push(other)
    const rounds: Round[] = []
    for (let round = 1; round <= context.rounds; round++) {
      const hinted = await measureNodes(context, [one, other], { ...rate, qos: 0 })
      const local = await measureNodes(context, [one], { ...rate, qos: 0 })
      const durable = await measureNodes(context, [one, other], rate)
      rounds.push({ hinted, local, durable })
      context.say(
        `${name}, round ${round}: ${latency([hinted])} from node to node, ${latency([local])} on one, QoS 1 ${latency([durable])}`,
      )
    }
    return [rowOf(rounds)]
  } finally {
    await Promise.all(started.map((node) => node.stop()))
    await Promise.all([redis.stop(), standIn.stop()])
  }
}

function rowOf(rounds: readonly Round[]): Row {
  const hinted = rounds.map((round) => round.hinted)
  const local = rounds.map((round) => round.local)
  const durable = rounds.map((round) => round.durable)
  const p99 = median(hinted.map(({ load }) => load.latencyMs.p99))
  return {
    name,
    title: '1,000 msg/s of QoS 0 from one node to the other, which is the way of a hint over Redis',
    goal: `p99 < ${goalP99Ms} ms`,
    measured: latency(hinted),
    reached: p99 < goalP99Ms,
    ours: latency(hinted),
    peer: `the same on one node: ${latency(local)}`,
    cpu: cpuText(hinted, local),
    faults: [...hinted, ...durable].reduce((sum, { load }) => addFaults(sum, load), noFaults),
    notes: [
      'publish to receipt; both nodes over the stand-in for MongoDB',
      `the same at QoS 1, which is committed, hinted and then read: ${latency(durable)}`,
      ...generatorNote('them', hinted),
    ],
  }
}

function latency(runs: readonly MeasuredNodes[]): string {
  const middle = (pick: (run: MeasuredNodes) => number): string => milliseconds(median(runs.map(pick)))
  return `p50 ${middle(({ load }) => load.latencyMs.p50)}, p99 ${middle(({ load }) => load.latencyMs.p99)}`
}
