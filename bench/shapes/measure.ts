/** One load run against one server or two nodes, with what their processes spent on it. */
import { cpuSeconds } from '../brokers/process-figures.ts'
import type { Broker, Rights } from '../brokers/broker.ts'
import { Between, scrape, type Scrape } from '../brokers/metrics.ts'
import { runLoad } from '../load/load.ts'
import { defaultLoad, type LoadObserver, type LoadOptions, type LoadResult } from '../load/options.ts'
import type { Context } from './shape.ts'

export type Door = 'mqtt' | 'ws'
export type LoadChoice = Partial<Omit<LoadOptions, 'url' | 'otherUrl' | 'credentials' | 'processes' | 'countMs'>>

export interface Measured {
  readonly load: LoadResult
  readonly cpuMicrosPerEvent: number
  /** Of a core. */
  readonly cpuShare: number
}

export interface MeasuredNodes extends Measured {
  /** Processor time of all nodes for each entry that was committed. */
  readonly cpuMicrosPerEntry: number
  readonly told: Between
}

/** Runs the load. The server must have the door. */
export async function measure(context: Context, broker: Broker, door: Door, choice: LoadChoice, rights?: Rights): Promise<Measured> {
  const url = (door === 'ws' ? broker.wsUrl : broker.mqttUrl) as string
  return await run(context, [broker], { ...(await optionsFor(context, broker, choice, rights)), url }, {})
}

/** Runs the load against nodes of ours: with two of them every message crosses from one to the other. */
export async function measureNodes(context: Context, nodes: readonly [Broker, ...Broker[]], choice: LoadChoice): Promise<MeasuredNodes> {
  const [{ mqttUrl: url }, other] = nodes
  const options = { ...(await optionsFor(context, nodes[0], choice)), url, ...(other ? { otherUrl: other.mqttUrl } : {}) }
  const look = (): Promise<Scrape> => scrape(nodes.map(({ httpUrl }) => httpUrl as string))
  const looks: Promise<Scrape>[] = []
  const measured = await run(context, nodes, options, { counting: () => looks.push(look()), counted: () => looks.push(look()) })
  const [before, after] = (await Promise.all(looks)) as [Scrape, Scrape]
  const told = new Between(before, after)
  const entries = told.growth('tidemark_committed_entries_total')
  return { ...measured, told, cpuMicrosPerEntry: (measured.cpuShare * context.seconds * 1e6) / Math.max(1, entries) }
}

async function run(context: Context, servers: readonly Broker[], options: LoadOptions, observer: LoadObserver): Promise<Measured> {
  const cpu = (): number => servers.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0)
  let [before, after] = [0, 0]
  const load = await runLoad(options, {
    counting: () => {
      before = cpu()
      observer.counting?.()
    },
    counted: () => {
      after = cpu()
      observer.counted?.()
    },
  })
  return { load, cpuMicrosPerEvent: ((after - before) * 1e6) / Math.max(1, load.events), cpuShare: (after - before) / context.seconds }
}

async function optionsFor(context: Context, broker: Broker, choice: LoadChoice, rights?: Rights): Promise<Omit<LoadOptions, 'url'>> {
  const publishers = choice.publishers ?? defaultLoad.publishers
  return {
    ...defaultLoad,
    ...choice,
    countMs: context.seconds * 1000,
    processes: Math.min(context.processes, publishers),
    credentials: await broker.credentials(publishers, rights),
  }
}
