/** A subscriber that never reads, beside clients that do. */
import { residentBytes, watchResident } from '../brokers/process-figures.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { openStalled } from '../load/idle.ts'
import type { Rights } from '../brokers/broker.ts'
import { median, mebibytes, milliseconds, spreadOf, times, two } from './figures.ts'
import { measure, type LoadChoice, type Measured } from './measure.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'

const name = 'stalled-reader'
const space = 'bench'
const rights: Rights = { spaces: { [space]: 'write' } }
/** Enough to fill the sockets' own buffers within the first second. */
const load: LoadChoice = { publishers: 20, ratePerSecond: 5_000, sizeBytes: 1_000, topic: `spaces/${space}/{n}` }
/** What the pairs of runs of an idle machine differ by. */
const noiseRatio = 1.25

export const stalledReader: Shape = { names: [name], run: async (context) => [await run(context)] }

interface Sample extends Measured {
  readonly mostBytes: number
}

async function run(context: Context): Promise<Row> {
  const ours = await startTidemark({ folder: context.folder(name), dist: context.dist })
  const without: Sample[] = []
  const beside: Sample[] = []
  const [credentials] = await ours.credentials(1, rights)
  const sample = async (): Promise<Sample> => {
    const watched = watchResident(ours.pid)
    const measured = await measure(context, ours, 'mqtt', load, rights)
    return { ...measured, mostBytes: watched() }
  }
  try {
    await sample() // Memory and code settle in the first run, which does not count.
    const atRest = residentBytes(ours.pid)
    for (let round = 1; round <= context.rounds; round++) {
      without.push(await sample())
      const release = await openStalled(ours.mqttUrl, `spaces/${space}/#`, credentials)
      beside.push(await sample())
      release()
      context.say(`${name}, round ${round}: ${figures(without.slice(-1))} without, ${figures(beside.slice(-1))} beside it`)
    }
    return rowOf(without, beside, atRest)
  } finally {
    await ours.stop()
  }
}

function rowOf(without: readonly Sample[], beside: readonly Sample[], atRest: number): Row {
  const ratio = spreadOf(beside.map((sample, at) => p99(sample) / p99(without[at] as Sample)))
  const alone = spreadOf(without.map(p99))
  const noise = Math.max(noiseRatio, alone.max / alone.min)
  return {
    name,
    title: 'a subscriber that never reads, 20 publishers writing 5 MB/s to its stream, 20 others reading',
    goal: `p99 of the others unchanged within noise; memory within the budget`,
    measured: `p99 ${times(ratio)}; most memory ${mebibytes(most(beside))}, without it ${mebibytes(most(without))}`,
    reached: ratio.median <= noise,
    ours: `beside it: ${figures(beside)}`,
    peer: `without it: ${figures(without)}`,
    cpu: two(median(beside.map((sample) => sample.cpuMicrosPerEvent))),
    faults: [...without, ...beside].reduce((sum, sample) => addFaults(sum, sample.load), noFaults),
    notes: [`noise: up to ${two(noise)} × between runs without it`, `memory between the runs: ${mebibytes(atRest)}`],
  }
}

function p99({ load: { latencyMs } }: Measured): number {
  return latencyMs.p99
}

function most(samples: readonly Sample[]): number {
  return Math.max(...samples.map(({ mostBytes }) => mostBytes))
}

function figures(samples: readonly Sample[]): string {
  return `p50 ${milliseconds(median(samples.map((sample) => sample.load.latencyMs.p50)))}, p99 ${milliseconds(median(samples.map(p99)))}`
}
