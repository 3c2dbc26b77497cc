/** Publishing with the SDK, whose outbox is on disk; beside it JetStream, on disk before it acknowledges and as it is by default. */
import { natsVersion, type NatsServer } from '../brokers/nats.ts'
import type { Publishing } from '../sdk/loads.ts'
import { natsTargets, startRig, timed, type PlaceName, type Rig } from '../sdk/rig.ts'
import { payloadBytes, type Target } from '../sdk/subject.ts'
import { cpuText, median, milliseconds, spreadOf, thousands, times } from './figures.ts'
import type { Context, Row, Shape } from './shape.ts'

const publishers = 4
const window = 64
const warmUpMs = 1_500
const goalRatio = 10

export function sdkPublish(place: PlaceName): Shape {
  const name = `sdk-publish-${place}`
  return { names: [name], run: (context) => run(context, name, place) }
}

interface Timed {
  readonly result: Publishing
  readonly cpuMicrosPerEvent: number
}

interface Round {
  readonly ours: Timed
  /** Of the rivals, durable first. */
  readonly peers: readonly Timed[]
}

async function run(context: Context, name: string, place: PlaceName): Promise<Row[]> {
  const rig = await startRig(context, name, place, ['always', 'default'])
  if (!rig) return []
  try {
    const rounds: Round[] = []
    for (let round = 1; round <= context.rounds; round++) {
      const from = round * publishers
      const ours = await publish(context, rig, rig.ours, await rig.ownTargets(from, publishers, 'kept'))
      const peers: Timed[] = []
      for (const rival of rig.rivals) peers.push(await publish(context, rig, rival, natsTargets(rival, from, publishers)))
      rounds.push({ ours, peers })
      const others = rig.rivals.map((rival, at) => `${rival.name} ${rate([peers[at] as Timed])}`)
      context.say(`${name}, round ${round}: ${[rate([ours]), ...others].join(', ')}`)
    }
    return [rowOf(rig, name, rounds)]
  } finally {
    await rig.stop()
  }
}

function publish({ seconds }: Context, rig: Rig, server: { readonly pid: number }, targets: readonly Target[]): Promise<Timed> {
  const countMs = seconds * 1000
  return rig.within((runner) =>
    timed(
      server,
      // The warm-up spends, too.
      ({ acknowledgedPerSecond }) => (acknowledgedPerSecond * (countMs + warmUpMs)) / 1000,
      () => runner.run({ do: 'publish', targets, window, warmUpMs, countMs }),
    ),
  )
}

function rowOf({ rivals, placeText }: Rig, name: string, rounds: readonly Round[]): Row {
  const own = rounds.map(({ ours }) => ours)
  const of = (at: number): Timed[] => rounds.flatMap(({ peers }) => peers[at] ?? [])
  const [durable, usual] = [of(0), of(1)]
  const ratioTo = (peer: readonly Timed[]): string => times(ratios(own, peer))
  return {
    name,
    title: `${publishers} publishers with the SDK in ${placeText}, ${window} publishes of ${payloadBytes} B in flight each, outbox on disk`,
    goal: `≥ ${goalRatio} × NATS with sync_interval: always`,
    measured: durable.length > 0 ? ratioTo(durable) : '–',
    reached: durable.length > 0 ? ratios(own, durable).median >= goalRatio : undefined,
    ours: details(own),
    peer: rivals.length > 0 ? `${natsVersion}: ${details(durable)}` : 'NATS is not to be had here',
    cpu: cpuText(own, durable),
    faults: undefined,
    notes: [
      'acknowledged publishes a second, and publish to acknowledgement; all clients in one process or page',
      'each publisher into a stream of its own, at both; ours is on disk in the outbox, then on the server’s, NATS keeps nothing at the client',
      ...(usual.length > 0 ? [`${(rivals[1] as NatsServer).name} as it is by default: ${details(usual)}, ours is ${ratioTo(usual)}`] : []),
    ],
  }
}

function ratios(own: readonly Timed[], peer: readonly Timed[]): ReturnType<typeof spreadOf> {
  return spreadOf(own.map(({ result }, at) => result.acknowledgedPerSecond / (peer[at] as Timed).result.acknowledgedPerSecond))
}

function rate(runs: readonly Timed[]): string {
  const { min, median: middle, max } = spreadOf(runs.map(({ result }) => result.acknowledgedPerSecond))
  return `${thousands(middle)}/s (${thousands(min)}–${thousands(max)})`
}

function details(runs: readonly Timed[]): string {
  const at = (name: 'p50' | 'p99'): string => milliseconds(median(runs.map(({ result }) => result.latencyMs[name])))
  return `${rate(runs)}, p50 ${at('p50')}, p99 ${at('p99')}`
}
