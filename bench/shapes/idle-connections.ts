/** Memory of connections that only are there. */
import type { Broker } from '../brokers/broker.ts'
import { residentBytes, settledResidentBytes } from '../brokers/process-figures.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { openIdle } from '../load/idle.ts'
import { absence, startPeer } from './peers.ts'
import type { Context, Row, Shape } from './shape.ts'

const name = 'idle-10000'
const connections = 10_000
const warmUpConnections = 200
const goalKilobytes = 16

export const idleConnections: Shape = { names: [name], run: async (context) => [await run(context)] }

interface Footprint {
  /** KB per connection, after the garbage was collected and as the process was left to itself. */
  readonly collected: number
  readonly asItIs: number
}

async function run(context: Context): Promise<Row> {
  const ours = await startTidemark({ folder: context.folder(`${name}-ours`), dist: context.dist, collectable: true })
  const peer = await startPeer('memory', context.folder(`${name}-peer`))
  try {
    const own = await footprintOf(ours)
    context.say(`${name}, tidemark: ${own.collected.toFixed(1)} KB each, ${own.asItIs.toFixed(1)} KB before collecting`)
    const rival = peer && (await footprintOf(peer))
    return {
      name,
      title: `${connections.toLocaleString('en')} idle connections of as many users, one subscription each`,
      goal: `≤ ${goalKilobytes} KB each`,
      measured: `${own.collected.toFixed(1)} KB each`,
      reached: own.collected <= goalKilobytes,
      ours: `${own.collected.toFixed(1)} KB after collecting garbage, ${own.asItIs.toFixed(1)} KB before`,
      peer: rival ? `${rival.asItIs.toFixed(1)} KB` : absence('memory'),
      cpu: '–',
      faults: undefined,
      notes: ['growth of the resident set over a server that has served 200 connections'],
    }
  } finally {
    await Promise.all([ours.stop(), peer?.stop()])
  }
}

async function footprintOf(broker: Broker): Promise<Footprint> {
  const credentials = await broker.credentials(connections)
  const open = (count: number): Promise<() => void> =>
    openIdle({ url: broker.mqttUrl, connections: count, filter: 'users/bench-{n}/#', qos: 1, credentials })
  const closeFew = await open(warmUpConnections)
  closeFew()
  await broker.collectGarbage()
  const before = await settledResidentBytes(broker.pid)
  const close = await open(connections)
  try {
    await settledResidentBytes(broker.pid)
    const asItIs = residentBytes(broker.pid)
    await broker.collectGarbage()
    const collected = await settledResidentBytes(broker.pid)
    const each = (bytes: number): number => (bytes - before) / connections / 1024
    return { collected: each(collected), asItIs: each(asItIs) }
  } finally {
    close()
  }
}
