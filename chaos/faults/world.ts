/** All processes of a run: nodes, database, Redis, and a proxy on each way between them and the clients. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { audience, issuer, secret } from '../tokens.ts'
import { Aws } from './aws.ts'
import { Child } from './child.ts'
import { Power } from './power.ts'
import { FaultProxy } from './proxy.ts'
import type { StoreKind } from '../record.ts'
import { databaseChild, findDatabase, hasRedis, redisChild, stubChild } from './servers.ts'

const shiftedClock = fileURLToPath(new URL('shifted-clock.js', import.meta.url))

/** So short that what depends on them happens within a run. */
const limits = {
  cursorFlushMs: 600,
  snapshotEntriesMax: 300,
  snapshotChunkBytesMax: 8_192,
  appendTimeoutMs: 5_000,
  atIntervalMs: 2_000,
  headPollMs: 2_000,
  connectTimeoutMs: 30_000,
  authTimeoutMs: 30_000,
  nodeDeadMs: 8_000,
  stopTimeoutMs: 10_000,
  connectionsPerUserMax: 0,
  sessionsPerUserMax: 0,
  tailCacheBytesMax: 262_144,
  inflightMax: 4,
}

export interface WorldOptions {
  readonly folder: string
  readonly store: StoreKind
  readonly nodes: number
  /** The folder of the compiled servers. */
  readonly servers: string
}

export interface Node {
  readonly index: number
  readonly child: Child
  /** Between clients and this node. */
  readonly mqtt: FaultProxy
  readonly http: FaultProxy
  /** Between this node and what is behind it. */
  readonly back: readonly FaultProxy[]
  readonly data: string
  /** Of the next start. */
  clockShiftMs: number
}

export interface World {
  readonly options: WorldOptions
  readonly nodes: readonly Node[]
  readonly database: Child | undefined
  readonly redis: Child | undefined
  readonly power: Power | undefined
  /** Carries MQTT in place of the server. */
  readonly aws: Aws | undefined
  /** Everything runs, and nothing stands in the way. */
  mend(): Promise<void>
  /** Lets a stream of a stopped server with the embedded store begin later; resolves with what the command says where it fails. */
  trim(node: Node, stream: string, before: number): Promise<string | undefined>
  close(): Promise<void>
}

export async function openWorld(options: WorldOptions): Promise<World> {
  const { folder, store, servers } = options
  mkdirSync(folder, { recursive: true })
  const power = isEmbedded(store) ? Power.prepare(folder) : undefined
  const aws = store === 'aws-iot' ? await Aws.open() : undefined
  const database = await databaseOf(store, folder)
  const redis = !isEmbedded(store) && hasRedis() ? redisChild(folder, await freePort()) : undefined
  const children = [database, redis].filter((child) => child !== undefined)
  const nodes: Node[] = []
  for (let index = 0; index < options.nodes; index++)
    nodes.push(await makeNode({ index, folder, store, servers, database, redis, power, aws }))
  try {
    await Promise.all(children.map((child) => child.start()))
    // The first one makes what the store is known by.
    for (const node of nodes.slice(0, 1)) await startNode(node, power)
    await Promise.all(nodes.map((node) => startNode(node, power)))
    await aws?.bridged()
  } catch (error) {
    await Promise.all([...children, ...nodes.map((node) => node.child)].map((child) => child.stop()))
    await aws?.close()
    throw error
  }
  const proxies = nodes.flatMap(({ mqtt, http, back }) => [mqtt, http, ...back])
  return {
    options,
    nodes,
    database,
    redis,
    power,
    aws,
    async mend() {
      aws?.behave()
      for (const proxy of proxies) proxy.mend()
      for (const child of [...children, ...nodes.map((node) => node.child)]) child.resume()
      for (const child of children) await child.start()
      const setRight = async (node: Node): Promise<void> => {
        if (node.clockShiftMs !== 0) {
          node.clockShiftMs = 0
          await node.child.stop()
        }
        await startNode(node, power)
      }
      await Promise.all(nodes.map(setRight))
    },
    async trim(node, stream, before) {
      const words = [join(servers, 'bin/tidemark.js'), 'trim', stream, '--before', `${before}`, '--data', node.data]
      const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] })
      let said = ''
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
      const [code] = (await once(child, 'close')) as [number | null]
      return code === 0 ? undefined : said
    },
    async close() {
      await Promise.all(nodes.map(({ child }) => child.stop()))
      await Promise.all(children.map((child) => child.stop()))
      for (const proxy of proxies) proxy.close()
      await aws?.close()
    },
  }
}

/** One server with a log of its own on this disk. */
export function isEmbedded(store: StoreKind): boolean {
  return store === 'level' || store === 'aws-iot'
}

async function databaseOf(store: StoreKind, folder: string): Promise<Child | undefined> {
  if (isEmbedded(store)) return undefined
  const binary = store === 'mongo' ? findDatabase() : undefined
  if (store === 'mongo' && binary === undefined) throw new Error('there is no database: FerretDB was not built')
  return binary === undefined ? stubChild(folder, await freePort()) : databaseChild(binary, folder, await freePort())
}

/** The folder of the embedded store. */
export function storeFolder({ data }: Node): string {
  return join(data, 'log')
}

export async function startNode(node: Node, power: Power | undefined): Promise<void> {
  if (node.child.running) return
  power?.begin(storeFolder(node))
  await node.child.start()
}

/** Of a node to its database. FerretDB reads whole collections, and several at once bring it down; with one, few commits are on their way when answers are lost. */
const connectionsOf: Readonly<Record<StoreKind, number>> = { level: 0, 'aws-iot': 0, mongo: 1, 'mongo-stub': 4 }

interface NodeParts {
  readonly index: number
  readonly folder: string
  readonly store: StoreKind
  readonly servers: string
  readonly database: Child | undefined
  readonly redis: Child | undefined
  readonly power: Power | undefined
  readonly aws: Aws | undefined
}

async function makeNode({ index, folder, store, servers, database, redis, power, aws }: NodeParts): Promise<Node> {
  const data = join(folder, `node${index}`)
  mkdirSync(data, { recursive: true })
  const [mqttPort, httpPort] = [await freePort(), await freePort()]
  const back: FaultProxy[] = []
  const settings: Record<string, unknown> = { data, mqttPort, httpPort, audience, limits, logLevel: 'info' }
  settings['issuers'] = [{ issuer, algorithms: ['HS256'], secret, mayGrant: true }]
  const http = await FaultProxy.open(`requests to node ${index}`, httpPort)
  // The SDK goes where token exchange sends it.
  settings['publicHttpUrl'] = aws ? `http://127.0.0.1:${http.port}` : 'http://chaos.example'
  Object.assign(settings, aws?.settings)
  if (database) {
    const proxy = await FaultProxy.open(`node ${index} to database`, database.port)
    back.push(proxy)
    settings['store'] = `mongodb://127.0.0.1:${proxy.port}/chaos?maxPoolSize=${connectionsOf[store]}&directConnection=true`
  }
  if (redis) {
    const proxy = await FaultProxy.open(`node ${index} to redis`, redis.port)
    back.push(proxy)
    settings['hints'] = `redis://127.0.0.1:${proxy.port}`
  }
  const config = join(folder, `node${index}.json`)
  writeFileSync(config, JSON.stringify(settings))
  const node: Node = {
    index,
    data,
    clockShiftMs: 0,
    mqtt: aws?.proxy ?? (await FaultProxy.open(`clients to node ${index}`, mqttPort)),
    http,
    back,
    child: new Child({
      name: `node ${index}`,
      port: httpPort,
      outputFile: join(folder, `node${index}.log`),
      command: () => ({
        words: [process.execPath, '--import', shiftedClock, join(servers, 'bin/tidemark.js'), 'serve', '--config', config],
        env: { CHAOS_CLOCK_SHIFT_MS: `${node.clockShiftMs}`, ...power?.environment, ...aws?.environment },
      }),
    }),
  }
  return node
}

/** Below those the system gives to outgoing connections, so that nobody takes the port of a server that is down. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen({ port, host: '127.0.0.1' }, () => resolve(true))
    })
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
