/** A device that has nothing reads a whole stream with the SDK; beside it an ordered consumer of NATS from the first message on. */
import { natsVersion } from '../brokers/nats.ts'
import { fillNats, fillTidemark } from '../sdk/fill.ts'
import type { Reading } from '../sdk/loads.ts'
import { natsTargets, startRig, timed, type PlaceName, type Rig } from '../sdk/rig.ts'
import { payloadBytes, type OwnTarget, type Target } from '../sdk/subject.ts'
import { cpuText, faultText, median, spreadOf, times, two } from './figures.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'

const entries = 20_000
const goal = { ratio: 1, chromiumSeconds: 3 } as const

export function sdkFirstSync(place: PlaceName): Shape {
  const name = `sdk-first-sync-${place}`
  return { names: [name], run: (context) => run(context, name, place) }
}

interface Timed {
  readonly result: Reading
  readonly cpuMicrosPerEvent: number
}

interface Pair {
  readonly ours: Timed
  readonly peer: Timed | undefined
}

async function run(context: Context, name: string, place: PlaceName): Promise<Row[]> {
  const rig = await startRig(context, name, place, ['default'])
  if (!rig) return []
  try {
    const own = (await rig.ownTargets(0, 1))[0] as OwnTarget
    await fillTidemark(rig.ours.mqttUrl, own.stream, own.token, entries)
    const [nats] = rig.rivals
    const peer = nats && { pid: nats.pid, target: natsTargets(nats, 0, 1)[0] as Target }
    if (peer) {
      await rig.aside((runner) => runner.run({ do: 'prepare', targets: [peer.target] }))
      await fillNats(nats.port, peer.target.stream, entries)
    }
    const pairs: Pair[] = []
    for (let round = 1; round <= context.rounds; round++) {
      const ours = await read(rig, rig.ours, own)
      pairs.push({ ours, peer: peer && (await read(rig, peer, peer.target)) })
      const rivals = pairs.slice(-1).flatMap((pair) => pair.peer ?? [])
      context.say(`${name}, round ${round}: ${seconds([ours])}, NATS ${rivals.length > 0 ? seconds(rivals) : '–'}`)
    }
    return [rowOf(rig, name, place, pairs)]
  } finally {
    await rig.stop()
  }
}

function read(rig: Rig, server: { readonly pid: number }, target: Target): Promise<Timed> {
  return rig.within((runner) =>
    timed(
      server,
      ({ received }) => received,
      () => runner.run({ do: 'first-sync', target, count: entries }),
    ),
  )
}

function rowOf({ placeText }: Rig, name: string, place: PlaceName, pairs: readonly Pair[]): Row {
  const own = pairs.map(({ ours }) => ours)
  const rivals = pairs.flatMap(({ peer }) => (peer ? [peer] : []))
  const ratio = rivals.length === 0 ? undefined : spreadOf(pairs.map(({ ours, peer }) => (peer?.result.lastMs ?? 0) / ours.result.lastMs))
  const isQuick = place === 'node' || median(own.map(({ result }) => result.lastMs)) < goal.chromiumSeconds * 1000
  return {
    name,
    title: `first sync of ${entries.toLocaleString('en')} × ${payloadBytes} B with the SDK in ${placeText}`,
    goal: `${place === 'chromium' ? `< ${goal.chromiumSeconds} s; ` : ''}at least as fast as NATS`,
    measured: `${seconds(own)}; ${ratio ? times(ratio) : '–'}`,
    reached: ratio ? isQuick && ratio.median >= goal.ratio : isQuick ? undefined : false,
    ours: details(own),
    peer: rivals.length > 0 ? `${natsVersion}, ordered consumer: ${details(rivals)}` : 'NATS is not to be had here',
    cpu: cpuText(own, rivals),
    faults: own.reduce((sum, { result }) => addFaults(sum, result), noFaults),
    notes: [
      'from before connecting, in a fresh process or page, to the app’s loop having all',
      ...(place === 'chromium' ? ['ours loads mqtt.js within that time'] : []),
      ...rivals.flatMap(({ result }) => {
        const text = faultText(result)
        return text === undefined ? [] : [`NATS: ${text}`]
      }),
    ],
  }
}

function seconds(runs: readonly Timed[]): string {
  return `${two(median(runs.map(({ result }) => result.lastMs)) / 1000)} s`
}

function details(runs: readonly Timed[]): string {
  const last = spreadOf(runs.map(({ result }) => result.lastMs / 1000))
  const first = median(runs.map(({ result }) => result.firstMs))
  return `${two(last.median)} s (${two(last.min)}–${two(last.max)}), the first after ${Math.round(first)} ms`
}
