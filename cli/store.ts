/** From the setting `store` to a store. */
import { join } from 'node:path'
import { LevelStore } from '../log/stores/level.ts'
import { MemoryStore } from '../log/stores/memory.ts'
import { MongoStore } from '../log/stores/mongo.ts'
import type { Store } from '../log/stores/store.ts'
import type { Logger } from '../seams/logger.ts'
import type { Config } from './config.ts'
import { withoutPassword } from './config-values.ts'

export function openStore(config: Config, logger: Logger): Store {
  const { store, strict, limits } = config
  if (isMongo(store)) return new MongoStore({ url: store, logger, strict, clockSkewMs: limits.clockSkewMs })
  const folder = storeFolder(config)
  return folder === undefined ? new MemoryStore() : new LevelStore({ folder, logger })
}

/** The folder of the embedded store; undefined where the store is another one. */
export function storeFolder({ store, data }: Pick<Config, 'store' | 'data'>): string | undefined {
  if (store === 'memory:' || isMongo(store)) return undefined
  return store === 'level:' ? join(data, 'log') : store.slice('level:'.length)
}

/** The store as sentences may call it: without credentials. */
export function publicName(config: Pick<Config, 'store' | 'data'>): string {
  return storeFolder(config) ?? withoutPassword(config.store)
}

/** Where what is acknowledged stands, for a person [P-8.1]. */
export function describeStore(config: Pick<Config, 'store' | 'data'>): string {
  if (isMongo(config.store)) return withoutPassword(config.store)
  return storeFolder(config) ?? 'in memory: what is acknowledged is gone when this process ends'
}

function isMongo(store: string): boolean {
  return /^mongodb(\+srv)?:/.test(store)
}
