/** `npm run scale -- --measure`: the costs that the simulation is fed with, measured on this machine; two minutes where nothing else runs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Context } from '../../shapes/shape.ts'
import { driverFigures } from './driver.ts'
import type { Figure } from './figure.ts'
import { forked } from './forked.ts'
import { hintFigures } from './hints.ts'
import { nodeFigures } from './node.ts'
import type { FromNullStore } from './null-store.ts'
import { startRedis } from './redis.ts'

/** Each as soon as it is known. Needs redis-server. */
export async function* measuredFigures(say: (text: string) => void): AsyncGenerator<Figure> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-scale-'))
  const context: Context = { rounds: 3, seconds: 2, full: false, dist: false, processes: 1, folder: (name) => join(folder, name), say }
  const redis = await startRedis(context.folder('redis'))
  const store = await forked<FromNullStore>('null-store')
  try {
    const { url: storeUrl } = store.first as { url: string }
    const drivers = await driverFigures(storeUrl.replace(/[^/]*$/, 'drivers'))
    yield* drivers
    const hints = await hintFigures(redis)
    yield* hints
    const known = new Map([...drivers, ...hints].map(({ name, value }) => [name, value]))
    yield* await nodeFigures({ context, store, storeUrl, redis, known })
  } finally {
    await store.stop()
    await redis.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
