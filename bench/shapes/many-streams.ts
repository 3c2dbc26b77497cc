/** A store with many streams: how long a start takes, what it holds in memory, what a first append costs. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Broker } from '../brokers/broker.ts'
import { settledResidentBytes } from '../brokers/process-figures.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import { childArguments, childModule } from '../load/child-modules.ts'
import { appendEach, type AppendGroup } from '../load/append.ts'
import { mebibytes, median, milliseconds, spreadOf } from './figures.ts'
import type { Context, Row, Shape } from './shape.ts'

const name = 'many-streams'
const sizes = { full: { streams: 1_000_000, messages: 10_000_000 }, short: { streams: 100_000, messages: 1_000_000 } } as const
const goal = { readyMs: 1_000, memoryRatio: 1.1 } as const
/** Streams that are appended to, so many per connection: a token names each of them. */
const groupCount = 5
const groupSize = 100

export const manyStreams: Shape = { names: [name], run: async (context) => [await run(context)] }

interface AtRest {
  readonly readyMs: number
  readonly bytes: number
}

async function run(context: Context): Promise<Row> {
  const { streams, messages } = context.full ? sizes.full : sizes.short
  const folder = context.folder(`${name}-full`)
  context.say(`${name}: building ${messages.toLocaleString('en')} messages in ${streams.toLocaleString('en')} streams`)
  await build(join(folder, 'log'), streams, messages)
  const small = await emptyAtRest(context)
  const filled = await startTidemark({ folder, dist: context.dist, collectable: true })
  try {
    const large = await atRest(context, filled)
    const groups = await groupsFor(filled, streams)
    const first = await appendEach(filled.mqttUrl, groups)
    const second = await appendEach(filled.mqttUrl, groups)
    context.say(`${name}: ready ${milliseconds(large.readyMs)} (empty ${milliseconds(small.readyMs)}), first append p50 ${first.p50} ms`)
    return {
      name,
      title: `a store with ${messages.toLocaleString('en')} messages in ${streams.toLocaleString('en')} streams`,
      goal: 'ready within 1 s, memory at rest independent of both, a first append to any stream costs one seek',
      measured: `ready ${milliseconds(large.readyMs - small.readyMs)} after an empty one; memory ${mebibytes(large.bytes)} against ${mebibytes(small.bytes)}; first append p50 ${milliseconds(first.p50)}, p99 ${milliseconds(first.p99)}`,
      reached: large.readyMs <= goal.readyMs && large.bytes <= small.bytes * goal.memoryRatio,
      ours: `process start to ready ${milliseconds(large.readyMs)}`,
      peer: `an empty store: ${milliseconds(small.readyMs)}; a second append to the same streams: p50 ${milliseconds(second.p50)}, p99 ${milliseconds(second.p99)}`,
      cpu: '–',
      faults: undefined,
      notes: [
        `started after SIGKILL${context.dist ? ', from dist/' : ', from the sources, whose compilation takes most of the start: --dist leaves it out'}`,
        `first append: the median and p99 of ${first.count} streams drawn at random, one message after the other`,
        ...(context.full ? [] : ['--full takes ten times as many of both']),
      ],
    }
  } finally {
    await filled.stop()
  }
}

async function emptyAtRest(context: Context): Promise<AtRest> {
  const broker = await startTidemark({ folder: context.folder(`${name}-empty`), dist: context.dist, collectable: true })
  try {
    return await atRest(context, broker)
  } finally {
    await broker.stop()
  }
}

async function atRest(context: Context, broker: Broker): Promise<AtRest> {
  const readyMs: number[] = []
  for (let round = 0; round < context.rounds; round++) {
    await broker.restart()
    readyMs.push(broker.readyMs)
  }
  await broker.collectGarbage()
  return { readyMs: spreadOf(readyMs).median, bytes: median([await settledResidentBytes(broker.pid)]) }
}

async function groupsFor(broker: Broker, streams: number): Promise<AppendGroup[]> {
  const groups: AppendGroup[] = []
  for (let group = 0; group < groupCount; group++) {
    const names = new Set<string>()
    while (names.size < groupSize) names.add(`users/s${Math.floor(Math.random() * streams)}`)
    const [credentials] = await broker.credentials(1, { grants: [...names].map((stream) => `publish:${stream}/#`) })
    if (!credentials) throw new Error('a server without credentials')
    groups.push({ credentials, topics: [...names].map((stream) => `${stream}/notes/first`) })
  }
  return groups
}

async function build(folder: string, streams: number, messages: number): Promise<void> {
  const module = childModule(new URL('../store/build', import.meta.url))
  const child = fork(module, [folder, String(streams), String(messages)], { execArgv: childArguments() })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error('the store could not be built')
}
