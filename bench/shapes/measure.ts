/** One load run against one server, with what the server's process spent on it. */
import { cpuSeconds } from '../brokers/process-figures.ts'
import type { Broker, Rights } from '../brokers/broker.ts'
import { runLoad } from '../load/load.ts'
import { defaultLoad, type LoadOptions, type LoadResult } from '../load/options.ts'
import type { Context } from './shape.ts'

export type Door = 'mqtt' | 'ws'
export type LoadChoice = Partial<Omit<LoadOptions, 'url' | 'credentials' | 'processes' | 'countMs'>>

export interface Measured {
  readonly load: LoadResult
  readonly cpuMicrosPerEvent: number
  /** Of a core. */
  readonly cpuShare: number
}

/** Runs the load. The server must have the door. */
export async function measure(context: Context, broker: Broker, door: Door, choice: LoadChoice, rights?: Rights): Promise<Measured> {
  const options: LoadOptions = {
    ...defaultLoad,
    ...choice,
    url: (door === 'ws' ? broker.wsUrl : broker.mqttUrl) as string,
    countMs: context.seconds * 1000,
    processes: Math.min(context.processes, choice.publishers ?? defaultLoad.publishers),
    credentials: await broker.credentials(choice.publishers ?? defaultLoad.publishers, rights),
  }
  let [before, after] = [0, 0]
  const load = await runLoad(options, {
    counting: () => (before = cpuSeconds(broker.pid)),
    counted: () => (after = cpuSeconds(broker.pid)),
  })
  return { load, cpuMicrosPerEvent: ((after - before) * 1e6) / Math.max(1, load.events), cpuShare: (after - before) / context.seconds }
}
