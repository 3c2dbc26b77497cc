/** What a whole node costs, as users run it, on a store and a Redis that cost it nothing but their drivers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { cpuSeconds } from '../../brokers/process-figures.ts'
import { startTidemark } from '../../brokers/tidemark.ts'
import type { Broker } from '../../brokers/broker.ts'
import { Client } from '../../load/client.ts'
import { openIdle } from '../../load/idle.ts'
import { inGroups } from '../../load/load-run.ts'
import { Wire } from '../../load/wire.ts'
import type { Context } from '../../shapes/shape.ts'
import { median } from '../../shapes/figures.ts'
import { measure, type Measured } from '../../shapes/measure.ts'
import type { Figure } from './figure.ts'
import type { Forked } from './forked.ts'
import type { Counts, FromNullStore } from './null-store.ts'
import type { OwnRedis } from './redis.ts'

const publishers = 100
const ratePerSecond = 1_000
const fanOut = 3
const connections = 200
const pings = 4_000
const pingClients = 100
const idleSeconds = 5

interface Parts {
  readonly context: Context
  readonly store: Forked<FromNullStore>
  readonly storeUrl: string
  readonly redis: OwnRedis
  /** What the drivers cost, by name. */
  readonly known: ReadonlyMap<string, number>
}

export async function nodeFigures({ context, store, storeUrl, redis, known }: Parts): Promise<Figure[]> {
  // Looks at heads are a cost of their own.
  const env = { TIDEMARK_STORE: storeUrl, TIDEMARK_HINTS: redis.url, TIDEMARK_LIMITS_HEAD_POLL_MS: '3600000' }
  const broker = await startTidemark({ folder: join(context.folder('scale'), 'node'), dist: context.dist, env })
  const counts = async (): Promise<Counts> => ((await store.ask('counts')) as { counts: Counts }).counts
  try {
    const before = [await counts(), cpuSeconds(broker.pid)] as const
    await sleep(idleSeconds * 1000)
    const idle = [await counts(), cpuSeconds(broker.pid)] as const
    const idleShare = (idle[1] - before[1]) / idleSeconds
    const reads = (operations(idle[0], 'find') - operations(before[0], 'find')) / idleSeconds
    const rounds: { appends: Measured; deliveries: Measured }[] = []
    for (let round = 0; round < context.rounds; round++) {
      rounds.push({ appends: await loaded(context, broker, 0), deliveries: await loaded(context, broker, fanOut) })
    }
    const committed = await counts()
    const lives = await connectionLives(broker, counts)
    const inserts = delta(idle[0], committed, 'insert buckets')
    const documents = delta(idle[0], committed, 'documents buckets')
    const cost = (name: string): number => known.get(name) ?? Number.NaN
    // One message of hints tells of one commit.
    const perCommit = cost('commitMicros') + cost('hintMessageSentMicros')
    const drivers = (inserts / documents) * perCommit + cost('documentMicros') + cost('hintHeadSentMicros')
    const microsPer = ({ cpuShare, load }: Measured): number => ((cpuShare - idleShare) * 1e6) / load.ackedPerSecond
    const append = median(rounds.map(({ appends }) => microsPer(appends)))
    const delivery = median(rounds.map(({ appends, deliveries }) => (microsPer(deliveries) - microsPer(appends)) / fanOut))
    return [
      {
        name: 'appendMicros',
        value: append - drivers,
        unit: 'µs',
        what: 'a PUBLISH from its socket to its PUBACK, without its part of commit and hint',
      },
      { name: 'deliveryMicros', value: delivery, unit: 'µs', what: 'a delivery and its PUBACK' },
      {
        name: 'commitsPerSecond',
        value: (inserts / documents) * ratePerSecond,
        unit: '1/s',
        what: `commits at ${ratePerSecond} messages/s`,
      },
      { name: 'idleNodeShare', value: idleShare * 1e6, unit: 'µs', what: 'a second of a node that does nothing' },
      { name: 'idleNodeReads', value: reads, unit: '1/s', what: 'reads of the store by a node that does nothing' },
      ...lives,
    ]
  } finally {
    await broker.stop()
  }
}

async function loaded(context: Context, broker: Broker, subscribers: number): Promise<Measured> {
  const measured = await measure(context, broker, 'mqtt', { publishers, subscribers, ratePerSecond, window: 1 })
  const { ackedPerSecond, deliveredPerSecond } = measured.load
  context.say(`${ackedPerSecond} acked/s, ${deliveredPerSecond} delivered/s, ${(measured.cpuShare * 100).toFixed(0)} % of a core`)
  return measured
}

/** Connections that come, subscribe, ping and go. */
async function connectionLives(broker: Broker, counts: () => Promise<Counts>): Promise<Figure[]> {
  const credentials = await broker.credentials(connections)
  const come = (): Promise<() => void> => openIdle({ url: broker.mqttUrl, connections, filter: 'users/bench-{n}/#', qos: 1, credentials })
  const leave = await come()
  leave()
  await sleep(1_000)
  const before = [await counts(), cpuSeconds(broker.pid)] as const
  const close = await come()
  const opened = cpuSeconds(broker.pid)
  close()
  await sleep(1_000)
  const after = await counts()
  const pinged: Client[] = []
  const jobs = credentials.slice(0, pingClients).map((own, number) => async () => {
    const client = new Client(await Wire.open(broker.mqttUrl))
    pinged.push(client)
    await client.connect({ clientId: `ping-${number}`, clean: true, credentials: own })
  })
  await inGroups(jobs, 50)
  const pingsBegan = cpuSeconds(broker.pid)
  for (let round = 0; round < pings / pingClients; round++) {
    for (const { wire } of pinged) {
      wire.put(pingRequest)
      wire.flush()
    }
    await sleep(5)
  }
  await sleep(100)
  const ping = ((cpuSeconds(broker.pid) - pingsBegan) * 1e6) / pings
  for (const client of pinged) client.leave()
  const each = (verb: string): number => (operations(after, verb) - operations(before[0], verb)) / connections
  return [
    { name: 'connectMicros', value: ((opened - before[1]) * 1e6) / connections, unit: 'µs', what: 'CONNECT with a token, and SUBSCRIBE' },
    { name: 'connectReads', value: each('find'), unit: 'each', what: 'reads of the store for a connection, from CONNECT to its end' },
    { name: 'connectWrites', value: each('insert') + each('update') + each('delete'), unit: 'each', what: 'writes for it' },
    { name: 'pingMicros', value: ping, unit: 'µs', what: 'a PINGREQ and its answer' },
  ]
}

function operations(counts: Counts, verb: string): number {
  return Object.entries(counts).reduce((sum, [what, count]) => sum + (what.startsWith(`${verb} `) ? count : 0), 0)
}

function delta(before: Counts, after: Counts, what: string): number {
  return (after[what] ?? 0) - (before[what] ?? 0)
}

const pingRequest = Buffer.from([0xc0, 0])
