/** AWS IoT Core as the engine, against the tests' stand-ins of it, next to this server carrying MQTT itself. */
import { awsPricesOf, costOfDevice, costOfPuts } from '../aws/costs.ts'
import { countIdle, countPuts, exchange, idleAtMs, relay, relayedPerSecond, takeIn, type Timed } from '../aws/loads.ts'
import { startAwsRig } from '../aws/rig.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { cpuText, median, milliseconds, thousands, two } from './figures.ts'
import { measure, type Measured } from './measure.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'

const standIn = 'STS and AWS IoT Core are the stand-ins of the tests, in the process of the load: the way to AWS is not in it'
const [exchangeName, ingestName, relayName, costName] = ['aws-exchange', 'aws-ingest', 'aws-relay', 'aws-cost'] as const
const putsCounted = 200
/** As they are by default. */
const [atEveryMs, tokenMs] = [31_000, 3_600_000]

export const awsEngine: Shape = { names: [exchangeName, ingestName, relayName], run }

async function run(context: Context): Promise<Row[]> {
  const each = ({ own }: { readonly own: Timed }): Timed => own
  // One connection of each kind: what is measured is a worker.
  const rig = await startAwsRig(context, 'engine', { connections: 1 })
  const self = await startTidemark({ folder: context.folder('aws-self'), dist: context.dist })
  const exchanges: { own: Timed; rival: Timed }[] = []
  const intakes: { own: Timed; rival: Measured }[] = []
  const relays: { own: Timed; rival: Measured }[] = []
  try {
    const [ownToken, selfToken] = [await rig.token(0), String((await self.credentials(1))[0]?.password)]
    for (let round = 0; round < context.rounds; round++) {
      const own = await relay(context, rig, 2 * round + 1)
      relays.push({ own, rival: await measure(context, self, 'mqtt', { publishers: 1, ratePerSecond: relayedPerSecond }) })
      exchanges.push({ own: await exchange(context, rig.server, ownToken), rival: await exchange(context, self, selfToken) })
      context.say(`${exchangeName} ${rate(exchanges.slice(-1).map(each))}; ${relayName} ${latency(relays.slice(-1).map(each))}`)
    }
    // After all that is relayed: what is taken in at full speed waits for minutes to be told at 80 a second.
    for (let round = 0; round < context.rounds; round++) {
      const own = await takeIn(context, rig, 2 * round + 2)
      intakes.push({ own, rival: await measure(context, self, 'mqtt', { publishers: 1, window: 1 }) })
      context.say(`${ingestName} ${rate([own])}`)
    }
  } finally {
    await Promise.all([rig.stop(), self.stop()])
  }
  const of = <Rival>(pairs: readonly { own: Timed; rival: Rival }[]): [Timed[], Rival[]] => [
    pairs.map(({ own }) => own),
    pairs.map(({ rival }) => rival),
  ]
  const [ownExchanges, selfExchanges] = of(exchanges)
  const [ownIntakes, selfIntakes] = of(intakes)
  const [ownRelays, selfRelays] = of(relays)
  const shared = { goal: '–', reached: undefined } as const
  const faults = (runs: readonly Timed[]): Row['faults'] => runs.reduce((sum, timed) => addFaults(sum, timed.faults), noFaults)
  return [
    {
      ...shared,
      name: exchangeName,
      title: 'token exchange for AWS IoT Core, 16 at a time: AssumeRole, session policy, signed URL',
      measured: `${rate(ownExchanges)}, ${latency(ownExchanges)}`,
      ours: `${rate(ownExchanges)}, ${latency(ownExchanges)}`,
      peer: `the engine tidemark: ${rate(selfExchanges)}, ${latency(selfExchanges)}`,
      cpu: cpuText(ownExchanges, selfExchanges),
      faults: undefined,
      notes: [standIn, 'the STS stub checks signature and policy of each request'],
    },
    {
      ...shared,
      name: ingestName,
      title: 'plain messages from AWS into the log, by one connection of the bridge: on disk, then PUBACK, one after the other',
      measured: `${rate(ownIntakes)}, ${milliseconds(median(ownIntakes.map(({ latencyMs }) => latencyMs.p50)))} each`,
      ours: rate(ownIntakes),
      peer: `the engine tidemark, one publisher with window 1, its message delivered too: ${thousands(median(selfIntakes.map(({ load }) => load.deliveredPerSecond)))}/s`,
      cpu: cpuText(ownIntakes, selfIntakes),
      faults: faults(ownIntakes),
      notes: [standIn, 'AWS itself hands at most 100 a second to one connection'],
    },
    {
      ...shared,
      name: relayName,
      title: `${relayedPerSecond} msg/s from AWS to the log and as envelopes back to AWS, by one connection each way`,
      measured: latency(ownRelays),
      ours: latency(ownRelays),
      peer: `the engine tidemark, publish to receipt: ${latency(selfRelays.map(({ load }) => ({ latencyMs: load.latencyMs })))}`,
      cpu: cpuText(ownRelays, selfRelays),
      faults: faults(ownRelays),
      notes: [standIn, 'a connection of the bridge publishes 80 a second at most [P-20.12]'],
    },
  ]
}

export const awsCost: Shape = { names: [costName], run: async (context) => [await runCost(context)] }

async function runCost(context: Context): Promise<Row> {
  const rig = await startAwsRig(context, 'cost', { atIntervalMs: idleAtMs })
  try {
    const idle = await countIdle(context, rig, 1)
    const put = await countPuts(rig, 2, putsCounted)
    const dollars = (amount: number): string => `$${two(amount)}`
    const [mqtt, sqs] = [costOfPuts(put, 'mqtt'), costOfPuts(put, 'sqs')]
    const device = costOfDevice(idle, { atEveryMs, tokenMs })
    const text = `${dollars(mqtt)} a million puts taken in over MQTT, ${dollars(sqs)} by rule and SQS; ${dollars(device)} a month for a connected device`
    const { clients, bridgeOut, bridgeIn, onDoors } = put
    return {
      name: costName,
      title:
        'what AWS would count and charge: puts of the SDK of 200 B that one other client reads, and a client that reads and hears nothing',
      goal: '–',
      measured: text,
      reached: undefined,
      ours: text,
      peer: '–',
      cpu: '–',
      faults: undefined,
      notes: [
        `messages for each put, counted by the stand-in: clients ${two(clients)}, from the bridge ${two(bridgeOut)}, to the bridge ${two(bridgeIn)}; ${two(onDoors)} set off a rule`,
        `messages for each \`at\` ${two(idle.perAt)}, for each connection ${two(idle.perConnection)}`,
        `prices of ${awsPricesOf}: inputs in bench/aws/costs.ts; rule and SQS are calculated, not counted`,
      ],
    }
  } finally {
    await rig.stop()
  }
}

function rate(runs: readonly Timed[]): string {
  return `${thousands(median(runs.map(({ perSecond }) => perSecond)))}/s`
}

function latency(runs: readonly { readonly latencyMs: { readonly p50: number; readonly p99: number } }[]): string {
  const [p50, p99] = [median(runs.map(({ latencyMs }) => latencyMs.p50)), median(runs.map(({ latencyMs }) => latencyMs.p99))]
  return `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}`
}
