/** What is done to the engine `aws-iot`: exchanges, messages to take in, messages there and back, and what a put and a silent reader cost in messages. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ClientError, connect } from '../../client/index.ts'
import type { DeviceGateway, Meter } from '../../test/support/aws/device-gateway.ts'
import { cpuSeconds } from '../brokers/process-figures.ts'
import { Histogram, type Percentiles } from '../load/histogram.ts'
import { noFaults, type Context } from '../shapes/shape.ts'
import type { Faults } from '../load/options.ts'
import type { CountedIdle, CountedPut } from './costs.ts'
import type { AwsRig } from './rig.ts'

export interface Timed {
  readonly perSecond: number
  readonly latencyMs: Percentiles
  readonly cpuMicrosPerEvent: number
  readonly faults: Faults
}

const warmUpMs = 1_500
const exchangesAtATime = 16
/** More than the bridge has in hand, so that it never waits for us. */
const waitingMax = 64
/** Below what one connection of the bridge publishes. */
export const relayedPerSecond = 40
const pollMs = 1
const settleMs = 10_000
/** Copies go last, and PUBACKs after what they are of. */
const lateMs = 500

/** Token exchanges of one user, several at a time. */
export async function exchange(
  { seconds }: Context,
  server: { readonly pid: number; readonly httpUrl: string | undefined },
  token: string,
): Promise<Timed> {
  const latencies = new Histogram()
  let count = 0
  let isCounting = false
  const over = new AbortController()
  const ask = async (client: number): Promise<void> => {
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      client_id: `client-${client}`,
    }
    while (!over.signal.aborted) {
      const beganMs = performance.now()
      const answer = await fetch(`${server.httpUrl}/v1/token`, { method: 'POST', body: new URLSearchParams(form) })
      const text = await answer.text()
      if (answer.status !== 200) throw new Error(text)
      if (!isCounting) continue
      count++
      latencies.add((performance.now() - beganMs) * 1000)
    }
  }
  const all = Promise.all(Array.from({ length: exchangesAtATime }, (_, client) => ask(client)))
  await Promise.race([all, sleep(warmUpMs)])
  isCounting = true
  const cpu = cpuSeconds(server.pid)
  await Promise.race([all, sleep(seconds * 1000)])
  isCounting = false
  const spent = cpuSeconds(server.pid) - cpu
  over.abort()
  await all
  return {
    perSecond: count / seconds,
    latencyMs: latencies.percentiles(),
    cpuMicrosPerEvent: (spent * 1e6) / Math.max(1, count),
    faults: noFaults,
  }
}

/** Plain messages at QoS 1, as many as one connection takes: until each is on disk and acknowledged to AWS. */
export async function takeIn({ seconds }: Context, { world, server }: AwsRig, number: number): Promise<Timed> {
  const { gateway } = world
  const topic = `acme/users/bench-${number}/load`
  const worker = 'svc.acme.bridge-in-1'
  const acknowledged = (): number => gateway.meters.get(worker)?.acknowledgements ?? 0
  const before = acknowledged()
  let sent = 0
  const feed = async (untilMs: number): Promise<void> => {
    while (performance.now() < untilMs) {
      while (sent - (acknowledged() - before) < waitingMax)
        gateway.publish({ topic, payload: Buffer.from(`${sent++} ${'x'.repeat(90)}`), qos: 1 })
      await sleep(pollMs)
    }
  }
  await feed(performance.now() + warmUpMs)
  const [from, cpu, beganMs] = [acknowledged(), cpuSeconds(server.pid), performance.now()]
  await feed(beganMs + seconds * 1000)
  const taken = acknowledged() - from
  const [spent, passedS] = [cpuSeconds(server.pid) - cpu, (performance.now() - beganMs) / 1000]
  for (const untilMs = performance.now() + settleMs; acknowledged() - before < sent && performance.now() < untilMs;) await sleep(pollMs)
  const undelivered = sent - (acknowledged() - before)
  // One after the other: each takes as long as it keeps the connection from the next.
  const ms = (passedS * 1000) / Math.max(1, taken)
  const latencyMs = { count: taken, p50: ms, p99: ms, p999: ms, max: ms }
  return {
    perSecond: taken / passedS,
    latencyMs,
    cpuMicrosPerEvent: (spent * 1e6) / Math.max(1, taken),
    faults: { ...noFaults, undelivered },
  }
}

/** Messages at a fixed rate, from AWS to the log and as an envelope back to AWS. */
export async function relay({ seconds }: Context, { world, server }: AwsRig, number: number): Promise<Timed> {
  const { gateway } = world
  const topic = `users/bench-${number}/relayed`
  const count = Math.round((warmUpMs / 1000 + seconds) * relayedPerSecond)
  const warm = Math.round((warmUpMs / 1000) * relayedPerSecond)
  const sentMs: number[] = []
  const seen = new Map<number, number>()
  const latencies = new Histogram()
  let looked = gateway.published.length
  const look = (): void => {
    for (; looked < gateway.published.length; looked++) {
      const message = gateway.published[looked]
      if (message?.topic !== `acme/sync/${topic}`) continue
      for (const { data } of [JSON.parse(message.payload.toString()) as { data: { n: number } }].flat()) {
        if (!seen.has(data.n) && data.n >= warm) latencies.add((performance.now() - (sentMs[data.n] as number)) * 1000)
        seen.set(data.n, (seen.get(data.n) ?? 0) + 1)
      }
    }
  }
  // Told of every message, and never content before the last.
  const all = gateway.when(() => {
    look()
    return seen.size === count
  })
  const beganMs = performance.now()
  let cpu = 0
  for (let n = 0; n < count; n++) {
    if (n === warm) cpu = cpuSeconds(server.pid)
    await sleep(Math.max(0, beganMs + (n * 1000) / relayedPerSecond - performance.now()))
    sentMs.push(performance.now())
    gateway.publish({ topic: `acme/${topic}`, payload: Buffer.from(JSON.stringify({ n })), qos: 1 })
  }
  await Promise.race([all, sleep(settleMs)])
  const spent = cpuSeconds(server.pid) - cpu
  const doubled = [...seen.values()].filter((times) => times > 1).length
  return {
    perSecond: relayedPerSecond,
    latencyMs: latencies.percentiles(),
    cpuMicrosPerEvent: (spent * 1e6) / Math.max(1, 2 * (count - warm)),
    faults: { ...noFaults, undelivered: count - seen.size, duplicates: doubled },
  }
}

const isBridge = (clientId: string): boolean => clientId.startsWith('svc.')
const isTaking = (clientId: string): boolean => clientId.startsWith('svc.acme.bridge-in-')

/** What AWS counts for each put of one client of the SDK, read by another. */
export async function countPuts({ world, token, server }: AwsRig, number: number, count: number): Promise<CountedPut> {
  const { gateway } = world
  const url = server.httpUrl as string
  const made = ['writer', 'reader'].map((name) =>
    connect({ url, name, getToken: () => token(number), transport: 'mqtt', onWarning: () => {} }),
  )
  const [writer, reader] = made as [(typeof made)[0], (typeof made)[0]]
  try {
    const stream = `users/bench-${number}`
    const read: string[] = []
    const reading = (async () => {
      for await (const entry of reader.stream(stream).entries({ from: 'earliest' })) read.push(entry.id)
    })()
    await writer.stream(stream).publish('first', 0)
    while (read.length < 1) await sleep(pollMs)
    await sleep(lateMs)
    const before = sums(gateway)
    for (let n = 0; n < count; n++) await writer.stream(stream).publish('n', { n, filler: 'x'.repeat(200) })
    while (read.length < count + 1) await sleep(pollMs)
    await sleep(lateMs)
    const after = sums(gateway)
    await reader.close()
    await reading.catch(() => {}) // Closed.
    const per = (pick: (sum: Sums) => number): number => (pick(after) - pick(before)) / count
    return {
      clients: per(({ clients }) => clients.publishes + clients.deliveries + clients.acknowledgements),
      bridgeOut: per(({ bridge }) => bridge.publishes),
      bridgeIn: per(({ taking }) => taking.deliveries + taking.acknowledgements),
      onDoors: per(({ onDoors }) => onDoors),
      taken: per(({ clients }) => clients.publishes),
    }
  } finally {
    for (const one of made) await one.close()
  }
}

/** What AWS counts for a reader in whose stream nothing happens. */
export async function countIdle({ seconds }: Context, { world, token, server }: AwsRig, number: number): Promise<CountedIdle> {
  const { gateway } = world
  const atMs = idleAtMs + 1_000
  const start = sums(gateway)
  const client = connect({ url: server.httpUrl as string, getToken: () => token(number), transport: 'mqtt', onWarning: () => {} })
  const isFollowing = (): boolean => gateway.connected('acme.').some((name) => gateway.filtersOf(name).length > 1)
  const reading = (async () => {
    for await (const entry of client.stream(`users/bench-${number}`).entries())
      throw new Error(`${entry.topic} came, and nobody had published it`)
  })().catch((error: unknown) => {
    if (!(error instanceof ClientError) || error.code !== 'closed') throw error
  })
  await gateway.when(isFollowing)
  await sleep(lateMs)
  const before = sums(gateway)
  const ats = Math.max(2, Math.round((seconds * 1000) / atMs))
  const told = (): number => sums(gateway).bridge.publishes - before.bridge.publishes
  while (told() < ats) await sleep(pollMs)
  await sleep(100)
  const after = sums(gateway)
  await client.close()
  await reading
  await sleep(lateMs)
  const end = sums(gateway)
  const all = ({ clients, bridge }: Sums): number => clients.deliveries + clients.acknowledgements + bridge.publishes
  const events = ({ bridge }: Sums): number => bridge.deliveries + bridge.acknowledgements
  return {
    perAt: (all(after) - all(before)) / (after.bridge.publishes - before.bridge.publishes),
    perConnection: events(end) - events(start),
  }
}

/** So short that some come within a run. */
export const idleAtMs = 500

interface Sums {
  readonly clients: Meter
  readonly bridge: Meter
  readonly taking: Meter
  readonly onDoors: number
}

function sums(gateway: DeviceGateway): Sums {
  const none = (): Meter => ({ publishes: 0, deliveries: 0, acknowledgements: 0, connects: 0 })
  const [clients, bridge, taking] = [none(), none(), none()]
  const add = (to: Meter, meter: Meter): void => {
    for (const what of ['publishes', 'deliveries', 'acknowledgements', 'connects'] as const) to[what] += meter[what]
  }
  for (const [clientId, meter] of gateway.meters) {
    add(isBridge(clientId) ? bridge : clients, meter)
    if (isTaking(clientId)) add(taking, meter)
  }
  const onDoors = gateway.published.filter(({ topic }) => /^acme\/(?:put|users|spaces|outbox)\//.test(topic)).length
  return { clients, bridge, taking, onDoors }
}
