/** Readers that were away: catch-up by the plain door, by the sync door, and history over HTTP, of the same log. */
import type { Broker } from '../brokers/broker.ts'
import { cpuSeconds } from '../brokers/process-figures.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import {
  leaveSession,
  publishCounted,
  returnToSession,
  syncFromEarliest,
  type CatchUpResult,
  type CatchUpTarget,
} from '../load/catch-up.ts'
import { readHistory } from '../load/history.ts'
import { cpuText, faultText, milliseconds, spreadOf, thousands, times, two } from './figures.ts'
import { absence, startPeer } from './peers.ts'
import { addFaults, noFaults, type Context, type Row, type Shape } from './shape.ts'

const messages = 100_000
const sizeBytes = 200
const window = 64
const goal = { plain: 0.7, sync: 0.4, history: 0.5, firstMs: 100 } as const

export const absentReaders: Shape = { names: ['catch-up', 'catch-up-sync', 'history'], run }

export interface Reading {
  readonly result: CatchUpResult
  readonly cpuMicrosPerEvent: number
}

interface Round {
  readonly plain: Reading
  readonly sync: Reading
  readonly history: Reading
  readonly peer: Reading | undefined
}

async function run(context: Context): Promise<Row[]> {
  const ours = await startTidemark({ folder: context.folder('catch-up-ours'), dist: context.dist })
  const peer = await startPeer('memory, raised limits', context.folder('catch-up-peer'))
  const rounds: Round[] = []
  try {
    for (let number = 0; number < context.rounds; number++) {
      const own = await ownRound(context, ours, number)
      rounds.push({ ...own, peer: peer && (await plainRound(context, peer, number, false)) })
    }
  } finally {
    await Promise.all([ours.stop(), peer?.stop()])
  }
  return [plainRow(rounds), syncRow(rounds), historyRow(rounds)]
}

/** Each round has a user of its own, so that it begins with an empty stream. */
async function targetOf(broker: Broker, number: number, many: number): Promise<CatchUpTarget> {
  const credentials = (await broker.credentials(number + 1)).at(-1)
  return { url: broker.mqttUrl, credentials, topic: `users/bench-${number}/#`, messages: many, sizeBytes }
}

async function plainRound(context: Context, broker: Broker, number: number, restarts: boolean, many = messages): Promise<Reading> {
  const target = await targetOf(broker, number, many)
  await leaveSession(target, `away-${number}`)
  const perSecond = await publishCounted({ ...target, topic: `users/bench-${number}/notes` }, `writer-${number}`, window)
  if (restarts) await broker.restart()
  const reading = await timed(broker, () => returnToSession(target, `away-${number}`))
  context.say(`catch-up, ${broker.name}: published ${thousands(perSecond)}/s, ${sentence(reading)}`)
  return reading
}

/** Plain door after a kill, sync door, HTTP, of the same entries. */
export async function ownRound(context: Context, ours: Broker, number: number, many = messages): Promise<Omit<Round, 'peer'>> {
  const plain = await plainRound(context, ours, number, true, many)
  const target = await targetOf(ours, number, many)
  const sync = await timed(ours, () => syncFromEarliest(target, `sync-${number}`))
  context.say(`catch-up-sync: ${sentence(sync)}`)
  const place = { url: ours.httpUrl as string, token: target.credentials?.password as string, stream: `users/bench-${number}` }
  const history = await timed(ours, () => readHistory({ ...place, messages: many, pageEntries: 1_000 }))
  context.say(`history: ${sentence(history)}`)
  return { plain, sync, history }
}

async function timed(broker: Broker, read: () => Promise<CatchUpResult>): Promise<Reading> {
  const before = cpuSeconds(broker.pid)
  const result = await read()
  return { result, cpuMicrosPerEvent: ((cpuSeconds(broker.pid) - before) * 1e6) / Math.max(1, result.received) }
}

function plainRow(rounds: readonly Round[]): Row {
  const pairs = rounds.flatMap(({ plain, peer }) => (peer ? [{ plain, peer }] : []))
  const ratio = pairs.length === 0 ? undefined : spreadOf(pairs.map(({ plain, peer }) => rate(plain) / rate(peer)))
  const own = rounds.map(({ plain }) => plain)
  const first = spreadOf(own.map(({ result }) => result.firstMs))
  const rivals = pairs.map(({ peer }) => peer)
  const quick = first.median <= goal.firstMs
  return {
    name: 'catch-up',
    title: `catch-up, ${messages.toLocaleString('en')} × ${sizeBytes} B, clean=0, after SIGKILL and restart`,
    goal: `≥ ${goal.plain} × mosquitto from memory with raised limits; first message within ${goal.firstMs} ms of CONNECT`,
    measured: `${ratio ? times(ratio) : '–'}; first after ${milliseconds(first.median)} (${milliseconds(first.min)}–${milliseconds(first.max)})`,
    reached: ratio ? ratio.median >= goal.plain && quick : quick ? undefined : false,
    ours: readings(own),
    peer: rivals.length > 0 ? readings(rivals) : absence('memory'),
    cpu: cpuText(own, rivals),
    faults: faultsOf(own),
    notes: ['ours is read from disk by a process that has just started; mosquitto goes on running', ...peerFaults(rivals)],
  }
}

function syncRow(rounds: readonly Round[]): Row {
  const own = rounds.map(({ sync }) => sync)
  const plain = rounds.map((round) => round.plain)
  const ratio = spreadOf(rounds.map((round) => rate(round.sync) / rate(round.plain)))
  return {
    name: 'catch-up-sync',
    title: 'the same by the sync door, from `earliest`',
    goal: `≥ ${goal.sync} × the plain door`,
    measured: times(ratio),
    reached: ratio.median >= goal.sync,
    ours: readings(own),
    peer: `plain door: ${readings(plain)}`,
    cpu: cpuText(own),
    faults: faultsOf(own),
    notes: ['payloads are JSON; read right after the plain door'],
  }
}

function historyRow(rounds: readonly Round[]): Row {
  const own = rounds.map(({ history }) => history)
  const sync = rounds.map((round) => round.sync)
  const ratio = spreadOf(rounds.map((round) => rate(round.history) / rate(round.sync)))
  return {
    name: 'history',
    title: 'history by HTTP, pages of 1,000',
    goal: `≥ ${goal.history} × the sync door`,
    measured: times(ratio),
    reached: ratio.median >= goal.history,
    ours: readings(own),
    peer: `sync door: ${readings(sync)}`,
    cpu: cpuText(own),
    faults: faultsOf(own),
    notes: ['one client, one page after the other'],
  }
}

export function rate({ result }: Reading): number {
  return result.perSecond
}

export function readings(runs: readonly Reading[]): string {
  const { min, median: middle, max } = spreadOf(runs.map(rate))
  return `${thousands(middle)}/s (${thousands(min)}–${thousands(max)})`
}

export function faultsOf(runs: readonly Reading[]): Row['faults'] {
  return runs.reduce((sum, { result }) => addFaults(sum, result), noFaults)
}

function peerFaults(runs: readonly Reading[]): string[] {
  const text = faultText(runs.reduce((sum, { result }) => addFaults(sum, result), noFaults))
  return text === undefined ? [] : [`mosquitto: ${text}`]
}

function sentence({ result, cpuMicrosPerEvent }: Reading): string {
  const { perSecond, firstMs, received } = result
  return `${received} read at ${thousands(perSecond)}/s, first after ${milliseconds(firstMs)}, ${two(cpuMicrosPerEvent)} µs each`
}
