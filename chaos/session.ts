/** One run: servers, clients and faults, from the first connection to a record on disk. */
import { Context } from './clients/context.ts'
import { Workload } from './clients/workload.ts'
import { Nemesis, pause } from './faults/nemesis.ts'
import { findDatabase } from './faults/servers.ts'
import { missingParts, openWorld } from './faults/world.ts'
import { seededRandom } from './random.ts'
import { Recorder } from './record.ts'

export interface SessionOptions {
  readonly minutes: number
  readonly seed: number
  readonly nodes: number | undefined
  readonly store: 'mongo' | 'level' | undefined
  readonly plant: string | undefined
  readonly folder: string
  readonly sources: string
  readonly file: string
}

/** Resolves with lines about what was done. */
export async function runChaos(options: SessionOptions): Promise<string[]> {
  const { seed, minutes, folder, sources, file, plant } = options
  const store = options.store ?? (findDatabase() === undefined ? 'level' : 'mongo')
  const nodes = options.nodes ?? (store === 'mongo' ? 3 : 1)
  if (store === 'level' && nodes > 1) throw new Error('the embedded store serves one node')
  if (store === 'mongo' && findDatabase() === undefined) throw new Error('there is no database: FerretDB was not built')
  console.log(`chaos: seed ${seed}, ${minutes} min, ${nodes} nodes, store ${store}${plant === undefined ? '' : `, planted: ${plant}`}`)
  const recorder = new Recorder(file)
  const world = await openWorld({ folder, store, nodes, sources })
  try {
    recorder.add({ k: 'run', seed, minutes, nodes, store, planted: plant ?? null, without: missingParts(world.options) })
    const context = new Context(world, recorder, seed)
    const workload = new Workload(context)
    await pause(1_500) // A moment without faults, for sessions to begin.
    const readUpTo = (stream: string): number => context.followed.get(stream) ?? 0
    const nemesis = new Nemesis({ world, recorder, readUpTo, random: seededRandom(seed, 'faults') })
    try {
      await nemesis.run(performance.now() + minutes * 60_000)
      await world.mend()
    } catch (error) {
      // A server that does not start again is a finding, and what was recorded until then is judged.
      recorder.add({ k: 'settled', missing: [error instanceof Error ? error.message : String(error)] })
      await workload.abandon()
      return []
    }
    recorder.add({ k: 'settled', missing: await workload.finish() })
    return [`faults: ${[...nemesis.counts].map(([kind, count]) => `${kind} ${count}`).join(', ')}`]
  } finally {
    await world.close()
    await recorder.close()
  }
}
