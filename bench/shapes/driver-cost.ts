/** What a node over MongoDB spends itself: its processor time against a database that costs nothing, less what the driver alone spends. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { startStandIn, type StandIn } from '../brokers/databases.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { childArguments, childModule } from '../load/child-modules.ts'
import type { FromDriverLoop } from '../mongo/driver-loop.ts'
import { spreadOf, times, two } from './figures.ts'
import { measureNodes, type MeasuredNodes } from './measure.ts'
import { embeddedRun, faultsOf, figures, load } from './nodes.ts'
import type { Context, Row, Shape, Spread } from './shape.ts'
import { generatorNote } from './throughput.ts'

const name = 'driver-cost'
const goalRatio = 1.5

export const driverCost: Shape = { names: [name], run: async (context) => [await run(context)] }

interface Round {
  readonly embedded: MeasuredNodes
  readonly node: MeasuredNodes
  /** Of the driver alone, for the inserts that the node made, µs for each entry. */
  readonly driverMicros: number
}

async function run(context: Context): Promise<Row> {
  const standIn = await startStandIn('null')
  const rounds: Round[] = []
  try {
    for (let round = 1; round <= context.rounds; round++) {
      const embedded = await embeddedRun(context, `${name}-embedded-${round}`)
      const node = await nodeRun(context, `${name}-node-${round}`, standIn)
      const driverMicros = await driverRun(context, standIn, node)
      rounds.push({ embedded, node, driverMicros })
      context.say(
        `${name}, round ${round}: embedded ${two(embedded.cpuMicrosPerEntry)} µs, node ${two(node.cpuMicrosPerEntry)} µs, of it the driver ${two(driverMicros)} µs`,
      )
    }
  } finally {
    await standIn.stop()
  }
  return rowOf(rounds)
}

async function nodeRun(context: Context, folder: string, standIn: StandIn): Promise<MeasuredNodes> {
  const node = await startTidemark({ folder: context.folder(folder), dist: context.dist, store: standIn.freshUrl() })
  try {
    return await measureNodes(context, [node], load)
  } finally {
    await node.stop()
  }
}

/** Inserts as many buckets and bytes as the node did on average, as often. */
async function driverRun({ seconds }: Context, standIn: StandIn, { told }: MeasuredNodes): Promise<number> {
  const [entries = 0, buckets = 0, bytes = 0, commits = 0] = ['entries', 'buckets', 'bytes']
    .map((what) => told.growth(`tidemark_committed_${what}_total`))
    .concat(told.growth('tidemark_commits_total'))
  const numbers = [Math.round(buckets / commits), Math.round(bytes / buckets), commits / seconds, seconds]
  const module = childModule(new URL('../mongo/driver-loop', import.meta.url))
  const child = fork(module, [standIn.freshUrl(), ...numbers.map(String)], { execArgv: childArguments() })
  const ended = once(child, 'exit')
  const [answer] = (await Promise.race([once(child, 'message'), ended])) as [FromDriverLoop | number]
  await ended
  if (typeof answer === 'number') throw new Error(`the driver's loop ended with ${answer}`)
  return (answer.cpuMicrosPerCommand * commits) / entries
}

function rowOf(rounds: readonly Round[]): Row {
  const own = spreadOf(rounds.map(({ node, driverMicros }) => node.cpuMicrosPerEntry - driverMicros))
  const ratio = spreadOf(
    rounds.map(({ embedded, node, driverMicros }) => (node.cpuMicrosPerEntry - driverMicros) / embedded.cpuMicrosPerEntry),
  )
  const whole = spreadOf(rounds.map(({ embedded, node }) => node.cpuMicrosPerEntry / embedded.cpuMicrosPerEntry))
  const nodes = rounds.map(({ node }) => node)
  const embedded = rounds.map((round) => round.embedded)
  const micros = (spread: Spread): string => `${two(spread.median)} µs`
  return {
    name,
    title: 'processor time of a node for each entry, window-64, over a server that says yes to every bucket and keeps none',
    goal: `our own share ≤ ${goalRatio} × that of the embedded store`,
    measured: `${times(ratio)}; with the driver ${times(whole)}`,
    reached: ratio.median <= goalRatio,
    ours: `${micros(spreadOf(nodes.map(({ cpuMicrosPerEntry }) => cpuMicrosPerEntry)))}: ours ${micros(own)}, the driver ${micros(spreadOf(rounds.map(({ driverMicros }) => driverMicros)))}; ${figures(nodes)}`,
    peer: `embedded store: ${figures(embedded)}`,
    cpu: `${two(own.median)} / ${two(spreadOf(embedded.map(({ cpuMicrosPerEntry }) => cpuMicrosPerEntry)).median)}`,
    faults: faultsOf(nodes),
    notes: ['processor time is per entry, without the driver', ...generatorNote('it', nodes)],
  }
}
