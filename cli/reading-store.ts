/** A store that a command only reads. The embedded one is read as it is at this moment, also while a server has it open. */
import { LevelStore } from '../log/stores/level.ts'
import { viewOf } from '../log/stores/level-view.ts'
import type { Store } from '../log/stores/store.ts'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { silentLogger } from '../seams/logger.ts'
import type { Config } from './config.ts'
import { openStore, publicName, storeFolder } from './store.ts'
import { UsageError } from './usage-error.ts'

export interface ReadingStore {
  readonly store: Store
  readonly name: string
  readonly epoch: string
}

/** Opens the store of the configuration for as long as `work` takes. What it rejects with names the store itself. */
export async function withReadingStore<Result>(config: Config, work: (reading: ReadingStore) => Promise<Result>): Promise<Result> {
  const name = publicName(config)
  if (config.store === 'memory:') throw new UsageError('a store in memory cannot be read from here')
  const folder = storeFolder(config)
  if (folder === undefined) return await withStore(openStore(config, silentLogger), name, work)
  const view = await viewOf(folder)
  try {
    return await withStore(new LevelStore({ folder: view.folder, logger: silentLogger }), name, work)
  } catch (error) {
    const { code, message } = asSyncError(error)
    throw new SyncError(code, message.replaceAll(view.folder, folder), {}, error)
  } finally {
    await view.remove()
  }
}

async function withStore<Result>(store: Store, name: string, work: (reading: ReadingStore) => Promise<Result>): Promise<Result> {
  const { epoch } = await store.open({ existing: true })
  try {
    return await work({ store, name, epoch })
  } finally {
    await store.close()
  }
}
