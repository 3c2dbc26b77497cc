/** From the setting `store` to a store. */
import { join } from 'node:path'
import { LevelStore } from '../log/stores/level.ts'
import { MemoryStore } from '../log/stores/memory.ts'
import type { Store } from '../log/stores/store.ts'
import type { Logger } from '../seams/logger.ts'
import type { Config } from './config.ts'

export function openStore(config: Config, logger: Logger): Store {
  const folder = storeFolder(config)
  return folder === undefined ? new MemoryStore() : new LevelStore({ folder, logger })
}

/** The folder of the embedded store; undefined where the store is in memory. */
export function storeFolder({ store, data }: Pick<Config, 'store' | 'data'>): string | undefined {
  if (store === 'memory:') return undefined
  return store === 'level:' ? join(data, 'log') : store.slice('level:'.length)
}

/** The store as sentences may call it: without credentials. */
export function publicName(config: Pick<Config, 'store' | 'data'>): string {
  return storeFolder(config) ?? withoutSecrets(config.store)
}

export function withoutSecrets(store: string): string {
  return store.replace(/\/\/[^@/]*@/, '//…@')
}
