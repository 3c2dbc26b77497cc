/** What followed streams cost in which nothing happens, where a node has to ask the store about them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker } from '../brokers/broker.ts'
import { startStandIn, type StandIn } from '../brokers/databases.ts'
import { cpuSeconds } from '../brokers/process-figures.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { openFollowers, type IdleFollower } from '../load/idle.ts'
import { percent } from './figures.ts'
import type { Context, Row, Shape } from './shape.ts'

const name = 'followed-50000'
const connections = 1_000
/** As many as a connection may have. */
const filtersEach = 50
/** Several rounds of the poll, and until what belongs to subscribing has passed. */
const settleMs = 6_000
const watchMs = 10_000

export const followed: Shape = { names: [name], run: async (context) => [await run(context)] }

async function run(context: Context): Promise<Row> {
  const standIn = await startStandIn('keep')
  try {
    const node = await idleShare(context, `${name}-node`, standIn)
    const embedded = await idleShare(context, `${name}-embedded`)
    const micros = ((node.share - embedded.share) * 1e6) / (connections * filtersEach)
    return {
      name,
      title: `${(connections * filtersEach).toLocaleString('en')} streams followed by ${connections.toLocaleString('en')} connections, nothing happening, no hints`,
      goal: '–',
      measured: `${percent(node.share - embedded.share)} of a core beyond the embedded store, ${micros.toFixed(2)} µs per stream and second; ${node.questionsPerSecond.toFixed(0)} questions/s`,
      reached: undefined,
      ours: `${(node.share * 100).toFixed(1)} % of a core`,
      peer: `embedded store, which asks nobody: ${(embedded.share * 100).toFixed(1)} % of a core`,
      cpu: '–',
      faults: undefined,
      notes: [`over the stand-in for MongoDB, ${watchMs / 1000} s; each stream is asked about once in 2 s`],
    }
  } finally {
    await standIn.stop()
  }
}

async function idleShare(context: Context, folder: string, standIn?: StandIn): Promise<{ share: number; questionsPerSecond: number }> {
  // Nobody is closed for the haste in which all of them come.
  const slow = { TIDEMARK_LIMITS_AUTH_TIMEOUT_MS: '120000', TIDEMARK_LIMITS_HOLD_TIMEOUT_MS: '120000' }
  const env = { ...slow, TIDEMARK_LIMITS_CONNECTIONS_PER_USER_MAX: '0', TIDEMARK_LIMITS_SESSIONS_PER_USER_MAX: '0' }
  const store = standIn ? { store: standIn.freshUrl() } : {}
  const broker = await startTidemark({ folder: context.folder(folder), dist: context.dist, env, ...store })
  try {
    const close = await openFollowers(broker.mqttUrl, await followersOf(broker))
    await sleep(settleMs)
    const asked = await questions(standIn)
    const before = cpuSeconds(broker.pid)
    await sleep(watchMs)
    const share = (cpuSeconds(broker.pid) - before) / (watchMs / 1000)
    const questionsPerSecond = ((await questions(standIn)) - asked) / (watchMs / 1000)
    context.say(`${folder}: ${(share * 100).toFixed(1)} % of a core, ${questionsPerSecond.toFixed(1)} questions/s`)
    close()
    return { share, questionsPerSecond }
  } finally {
    await broker.stop()
  }
}

async function followersOf(broker: Broker): Promise<IdleFollower[]> {
  return await Promise.all(
    Array.from({ length: connections }, async (_, number) => {
      const spaces = Array.from({ length: filtersEach }, (_space, at) => `b${number * filtersEach + at}`)
      const [credentials] = await broker.credentials(1, { spaces: Object.fromEntries(spaces.map((space) => [space, 'read'])) })
      return { credentials, filters: spaces.map((space) => `spaces/${space}/#`) }
    }),
  )
}

async function questions(standIn: StandIn | undefined): Promise<number> {
  return (await standIn?.commands())?.['find buckets'] ?? 0
}
