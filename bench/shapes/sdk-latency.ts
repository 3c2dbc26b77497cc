/** From one browser to another: from the call of publish to the app's loop of who reads. */
import { natsVersion } from '../brokers/nats.ts'
import type { Listening } from '../sdk/loads.ts'
import { natsTargets, startRig, timed, type Rig } from '../sdk/rig.ts'
import type { Target } from '../sdk/subject.ts'
import { cpuText, median, milliseconds } from './figures.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'

const name = 'sdk-latency'
const goalP99Ms = 30
const perSecond = 100
const warmUp = perSecond

export const sdkLatency: Shape = { names: [name], run }

interface Timed {
  readonly result: Listening
  readonly cpuMicrosPerEvent: number
}

async function run(context: Context): Promise<Row[]> {
  const rig = await startRig(context, name, 'chromium', ['default'])
  if (!rig) return []
  try {
    const own: Timed[] = []
    const rivals: Timed[] = []
    for (let round = 0; round < context.rounds; round++) {
      own.push(await send(context, rig, rig.ours, (await rig.ownTargets(round, 1))[0] as Target))
      for (const nats of rig.rivals) rivals.push(await send(context, rig, nats, natsTargets(nats, round, 1)[0] as Target))
      context.say(`${name}, round ${round + 1}: ${latency(own.slice(-1))}, NATS ${rivals.length > 0 ? latency(rivals.slice(-1)) : '–'}`)
    }
    return [rowOf(rig, own, rivals)]
  } finally {
    await rig.stop()
  }
}

/** Two pages, each in a profile of its own. */
function send({ seconds }: Context, rig: Rig, server: { readonly pid: number }, target: Target): Promise<Timed> {
  const count = warmUp + seconds * perSecond
  return rig.within((reader) =>
    rig.within((writer) =>
      timed(
        server,
        () => count,
        async () => {
          await reader.run({ do: 'listen', target, count, warmUp })
          await writer.run({ do: 'pace', target, count, perSecond })
          return await reader.run({ do: 'heard' })
        },
      ),
    ),
  )
}

function rowOf({ placeText }: Rig, own: readonly Timed[], rivals: readonly Timed[]): Row {
  return {
    name,
    title: `${perSecond} msg/s from one page to another, ${placeText}, the SDK with its outbox over WebSocket`,
    goal: `p99 < ${goalP99Ms} ms`,
    measured: latency(own),
    reached: median(own.map(({ result }) => result.latencyMs.p99)) < goalP99Ms,
    ours: latency(own),
    peer: rivals.length > 0 ? `${natsVersion}, which is not on disk: ${latency(rivals)}` : 'NATS is not to be had here',
    cpu: cpuText(own, rivals),
    faults: own.reduce((sum, { result }) => addFaults(sum, result), noFaults),
    notes: [
      'from the call of publish to the loop of the reader, median over the rounds; the outbox, the server’s disk and both pages are in it',
    ],
  }
}

function latency(runs: readonly Timed[]): string {
  const at = (share: 'p50' | 'p95' | 'p99'): string => `${share} ${milliseconds(median(runs.map(({ result }) => result.latencyMs[share])))}`
  return `${at('p50')}, ${at('p95')}, ${at('p99')}`
}
