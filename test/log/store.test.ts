import { join } from 'node:path'
import { LevelStore } from '../../log/stores/level.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Store } from '../../log/stores/store.ts'
import { silentLogger } from '../../seams/logger.ts'
import { tempFolder } from '../support/temp.ts'
import { storeContract } from './store-contract.ts'

storeContract('the memory store', { make: () => Promise.resolve(new MemoryStore()) })

storeContract('the shared memory store', { make: () => Promise.resolve(new MemoryStore({ shared: true })), shared: true })

const folders = new WeakMap<Store, string>()

storeContract('the embedded store', {
  make: async () => levelStore(join(await tempFolder(), 'log')),
  again: (store) => levelStore(folders.get(store) as string),
})

storeContract('the embedded store with a small write buffer', {
  make: async () => levelStore(join(await tempFolder(), 'log'), 64 * 1024),
  again: (store) => levelStore(folders.get(store) as string, 64 * 1024),
})

function levelStore(folder: string, writeBufferBytes?: number): Store {
  const store = new LevelStore({ folder, logger: silentLogger, ...(writeBufferBytes === undefined ? {} : { writeBufferBytes }) })
  folders.set(store, folder)
  return store
}
