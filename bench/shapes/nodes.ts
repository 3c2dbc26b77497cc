/** One node and two nodes over MongoDB, next to the embedded store. */
import type { Broker } from '../brokers/broker.ts'
import { startDatabase, startStandIn, type Database } from '../brokers/databases.ts'
import { startRedis, type RedisProcess } from '../brokers/redis.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { median, milliseconds, spreadOf, thousands, times, two } from './figures.ts'
import { measureNodes, type MeasuredNodes } from './measure.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'
import { generatorNote } from './throughput.ts'

export const load = { window: 64 } as const

/** Against a real database, and against one in memory, which shows what the nodes could do. */
export const nodes: Shape = {
  names: ['mongo-one-node', 'mongo-two-nodes', 'stand-in-one-node', 'stand-in-two-nodes'],
  async run(context) {
    const redis = await startRedis(context.folder('nodes-redis'))
    try {
      const real = await startDatabase(context.folder('nodes-database'))
      const rows = real ? await compare(context, 'mongo', real, redis) : []
      return [...rows, ...(await compare(context, 'stand-in', await startStandIn('keep'), redis))]
    } finally {
      await redis?.stop()
    }
  },
}

interface Round {
  readonly embedded: MeasuredNodes
  readonly one: MeasuredNodes
  readonly both: MeasuredNodes | undefined
}

async function compare(context: Context, prefix: string, database: Database, redis: RedisProcess | undefined): Promise<Row[]> {
  const rounds: Round[] = []
  try {
    for (let round = 1; round <= context.rounds; round++) {
      const told = async (what: string, running: Promise<MeasuredNodes>): Promise<MeasuredNodes> => {
        const measured = await running
        context.say(`${prefix}, round ${round}, ${what}: ${figures([measured])}, ${two(measured.cpuMicrosPerEntry)} µs/entry`)
        return measured
      }
      rounds.push({
        embedded: await told('embedded', embeddedRun(context, `${prefix}-embedded-${round}`)),
        one: await told('one node', nodesRun(context, `${prefix}-one-${round}`, database)),
        both: redis && (await told('two nodes', nodesRun(context, `${prefix}-two-${round}`, database, redis))),
      })
    }
  } finally {
    await database.stop()
  }
  return [oneRow(prefix, database, rounds), ...(redis ? [twoRow(prefix, database, rounds)] : [])]
}

export async function embeddedRun(context: Context, name: string): Promise<MeasuredNodes> {
  const broker = await startTidemark({ folder: context.folder(name), dist: context.dist })
  try {
    return await measureNodes(context, [broker], load)
  } finally {
    await broker.stop()
  }
}

/** One node, or two where there is a Redis for their hints. Each run has a database of its own. */
async function nodesRun(context: Context, name: string, database: Database, redis?: RedisProcess): Promise<MeasuredNodes> {
  const store = database.freshUrl()
  const first = await startTidemark({ folder: context.folder(name), dist: context.dist, store, ...(redis ? { hints: redis.url } : {}) })
  const started: [Broker, ...Broker[]] = [first]
  try {
    if (redis) {
      const shared = { store, hints: redis.url, keyOf: context.folder(name) }
      started.push(await startTidemark({ folder: context.folder(`${name}-other`), dist: context.dist, ...shared }))
    }
    return await measureNodes(context, started, load)
  } finally {
    await Promise.all(started.map((node) => node.stop()))
  }
}

function oneRow(prefix: string, { name }: Database, rounds: readonly Round[]): Row {
  const own = rounds.map(({ one }) => one)
  const embedded = rounds.map((round) => round.embedded)
  const ratio = spreadOf(rounds.map((round) => acked(round.one) / acked(round.embedded)))
  return {
    name: `${prefix}-one-node`,
    title: `window-64 on one node over ${name}`,
    goal: '–',
    measured: `${times(ratio)} the appends of the embedded store`,
    reached: undefined,
    ours: figures(own),
    peer: `embedded store: ${figures(embedded)}`,
    cpu: cpuTexts(own, embedded),
    faults: faultsOf(own),
    notes: ['processor time is per entry', ...generatorNote('it', own)],
  }
}

function twoRow(prefix: string, { name }: Database, rounds: readonly Round[]): Row {
  const own = rounds.flatMap(({ both }) => (both ? [both] : []))
  const one = rounds.map((round) => round.one)
  const ratio = spreadOf(own.map((both, at) => acked(both) / acked(one[at] as MeasuredNodes)))
  return {
    name: `${prefix}-two-nodes`,
    title: `the same on two nodes over ${name}, each message published at one and delivered by the other`,
    goal: '–',
    measured: `${times(ratio)} the appends of one node`,
    reached: undefined,
    ours: figures(own),
    peer: `one node: ${figures(one)}`,
    cpu: cpuTexts(own, one),
    faults: faultsOf(own),
    notes: ['processor time is that of both nodes, per entry', ...generatorNote('them', own)],
  }
}

function acked({ load: { ackedPerSecond } }: MeasuredNodes): number {
  return ackedPerSecond
}

/** Rates, and percentiles of acknowledgement, delivery and commits; medians over the runs. */
export function figures(runs: readonly MeasuredNodes[]): string {
  const middle = (pick: (run: MeasuredNodes) => number): number => median(runs.map(pick))
  const told = (histogram: string, share: number): number => middle((run) => run.told.quantile(histogram, share))
  const ms = (share: number): string => milliseconds(told('tidemark_commit_duration_seconds', share) * 1000)
  const entries = (share: number): string => thousands(told('tidemark_commit_size_entries', share))
  const mean = middle((run) => run.told.growth('tidemark_committed_entries_total') / run.told.growth('tidemark_commits_total'))
  const ack = `PUBACK p50 ${milliseconds(middle((run) => run.load.ackMs.p50))}, p99 ${milliseconds(middle((run) => run.load.ackMs.p99))}`
  const receipt = `receipt p50 ${milliseconds(middle((run) => run.load.latencyMs.p50))}, p99 ${milliseconds(middle((run) => run.load.latencyMs.p99))}`
  const commits = `commits: ${thousands(mean)} entries on average, p50 ${entries(0.5)}, p99 ${entries(0.99)}, in ${ms(0.5)}, p99 ${ms(0.99)}`
  const rates = `${thousands(middle(acked))} appends/s, ${thousands(middle((run) => run.load.deliveredPerSecond))} deliveries/s`
  return `${rates}; ${ack}; ${receipt}; ${commits}`
}

function cpuTexts(...servers: (readonly MeasuredNodes[])[]): string {
  return servers.map((runs) => two(median(runs.map(({ cpuMicrosPerEntry }) => cpuMicrosPerEntry)))).join(' / ')
}

export function faultsOf(runs: readonly MeasuredNodes[]): Row['faults'] {
  return runs.reduce((sum, run) => addFaults(sum, run.load), noFaults)
}
