/** At a fixed rate: latency and processor time. */
import type { Broker } from '../brokers/broker.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { cpuText, median, milliseconds, percent } from './figures.ts'
import { measure, type Measured } from './measure.ts'
import { absence, startPeer } from './peers.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'
import { generatorNote } from './throughput.ts'

const name = 'rate-5000'
const goal = { p50Ms: 1, p99Ms: 5, cpuShare: 0.35 } as const

export const fixedRate: Shape = { names: [name], run: async (context) => [await run(context)] }

async function run(context: Context): Promise<Row> {
  const ours = await startTidemark({ folder: context.folder(`${name}-ours`), dist: context.dist })
  const peer = await startPeer('memory', context.folder(`${name}-peer`))
  const own: Measured[] = []
  const rivals: Measured[] = []
  const one = async (broker: Broker): Promise<Measured> => {
    const measured = await measure(context, broker, 'mqtt', { ratePerSecond: 5_000 })
    context.say(`${name}, ${broker.name}: ${figures([measured])}`)
    return measured
  }
  try {
    for (let round = 0; round < context.rounds; round++) {
      own.push(await one(ours))
      if (peer) rivals.push(await one(peer))
    }
  } finally {
    await Promise.all([ours.stop(), peer?.stop()])
  }
  const { p50, p99, cpuShare, sent } = mediansOf(own)
  return {
    name,
    title: '5,000 msg/s, 4 publishers to 1 subscriber each',
    goal: `p50 < ${goal.p50Ms} ms, p99 < ${goal.p99Ms} ms, < ${percent(goal.cpuShare)} of a core`,
    measured: figures(own),
    reached: p50 < goal.p50Ms && p99 < goal.p99Ms && cpuShare < goal.cpuShare,
    ours: figures(own),
    peer: peer ? figures(rivals) : absence('memory'),
    cpu: cpuText(own, rivals),
    faults: own.reduce((sum, { load }) => addFaults(sum, load), noFaults),
    notes: [
      ...(sent < 4_900 ? [`only ${Math.round(sent)} msg/s could be sent`] : []),
      ...generatorNote('ours', own),
      'latency is publish to receipt, median over the rounds',
    ],
  }
}

function mediansOf(runs: readonly Measured[]): { p50: number; p99: number; cpuShare: number; sent: number } {
  return {
    p50: median(runs.map(({ load }) => load.latencyMs.p50)),
    p99: median(runs.map(({ load }) => load.latencyMs.p99)),
    cpuShare: median(runs.map((measured) => measured.cpuShare)),
    sent: median(runs.map(({ load }) => load.sentPerSecond)),
  }
}

function figures(runs: readonly Measured[]): string {
  const { p50, p99, cpuShare } = mediansOf(runs)
  return `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}, ${percent(cpuShare)} of a core`
}
