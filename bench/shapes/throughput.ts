/** As fast as it goes: ours and the peer in turn, and the ratio of each pair. */
import type { Broker } from '../brokers/broker.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { cpuText, faultText, median, spreadOf, thousands, times, two } from './figures.ts'
import { measure, type Door, type LoadChoice, type Measured } from './measure.ts'
import { absence, startPeer, type PeerKind } from './peers.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'

export interface ThroughputChoice {
  readonly name: string
  readonly title: string
  /** Times what the peer delivers. */
  readonly goalRatio: number
  readonly peer: PeerKind
  readonly door: Door
  readonly load: LoadChoice
}

export function throughput(choice: ThroughputChoice): Shape {
  return { names: [choice.name], run: async (context) => [await compare(context, choice)] }
}

async function compare(context: Context, choice: ThroughputChoice): Promise<Row> {
  const { name, door, load } = choice
  const ours = await startTidemark({ folder: context.folder(`${name}-ours`), dist: context.dist })
  const peer = await startPeer(choice.peer, context.folder(`${name}-peer`))
  const rival = peer && (door === 'mqtt' || peer.wsUrl !== undefined) ? peer : undefined
  const runs: { ours: Measured; peer: Measured | undefined }[] = []
  const one = async (broker: Broker, round: number): Promise<Measured> => {
    const measured = await measure(context, broker, door, load)
    context.say(`${name}, round ${round}, ${broker.name}: ${sentence(measured)}`)
    return measured
  }
  try {
    for (let round = 1; round <= context.rounds; round++) {
      const first = await one(ours, round)
      runs.push({ ours: first, peer: rival && (await one(rival, round)) })
    }
  } finally {
    await Promise.all([ours.stop(), peer?.stop()])
  }
  return rowOf(choice, runs, peer)
}

type Pair = { readonly ours: Measured; readonly peer: Measured | undefined }

function rowOf({ name, title, goalRatio, peer: kind }: ThroughputChoice, runs: readonly Pair[], peer: Broker | undefined): Row {
  const pairs = runs.flatMap(({ ours, peer: rival }) => (rival ? [{ ours, rival }] : []))
  const ratios = pairs.map(({ ours, rival }) => ours.load.deliveredPerSecond / rival.load.deliveredPerSecond)
  const ratio = ratios.length === 0 ? undefined : spreadOf(ratios)
  const rivals = pairs.map(({ rival }) => rival)
  const own = runs.map(({ ours }) => ours)
  return {
    name,
    title,
    goal: `≥ ${goalRatio} × mosquitto${kind === 'sqlite' ? ' 2.1 with persist-sqlite at full sync' : ''}`,
    measured: ratio ? times(ratio) : '–',
    reached: ratio && ratio.median >= goalRatio,
    ours: rates(own),
    peer: rivals.length > 0 ? rates(rivals) : peer ? 'mosquitto here has no WebSocket' : absence(kind),
    cpu: cpuText(own, rivals),
    faults: own.reduce((sum, run) => addFaults(sum, run.load), noFaults),
    notes: [...generatorNote('ours', own), ...generatorNote('mosquitto', rivals), ...peerFaults(rivals)],
  }
}

function rates(runs: readonly Measured[]): string {
  const delivered = spreadOf(runs.map(({ load }) => load.deliveredPerSecond))
  const p99 = median(runs.map(({ load }) => load.latencyMs.p99))
  return `${thousands(delivered.median)}/s (${thousands(delivered.min)}–${thousands(delivered.max)}), p99 ${two(p99)} ms`
}

/** Says so where the generator had no time left: then the ratio says little. */
export function generatorNote(name: string, runs: readonly Measured[]): string[] {
  const busy = runs.filter(({ load }) => load.generator.bottleneck).length
  return busy === 0 ? [] : [`the generator was the bottleneck in ${busy} of ${runs.length} runs against ${name}`]
}

function peerFaults(runs: readonly Measured[]): string[] {
  const text = faultText(runs.reduce((sum, run) => addFaults(sum, run.load), noFaults))
  return text === undefined ? [] : [`mosquitto: ${text}`]
}

function sentence({ load, cpuMicrosPerEvent }: Measured): string {
  const { ackedPerSecond, deliveredPerSecond, latencyMs, generator } = load
  const rate = `${thousands(ackedPerSecond)} acked/s, ${thousands(deliveredPerSecond)} delivered/s, p99 ${two(latencyMs.p99)} ms`
  return `${rate}, ${two(cpuMicrosPerEvent)} µs/event, generator ${Math.round(generator.cpuShare * 100)} % of a core`
}
