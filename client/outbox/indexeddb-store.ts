/** What waits, in the browser's IndexedDB; in memory where the browser does not let us. */
import { openDB, unwrap, type DBSchema, type IDBPDatabase, type IDBPObjectStore } from 'idb'
import { asClientError, ClientError } from '../errors.ts'
import type { Timers } from '../seams.ts'
import { MemoryStore } from './memory-store.ts'
import type { OutboxStore, Waiting } from './store.ts'

export interface IndexedDbOptions {
  /** Of the database; another one for each account. */
  readonly name: string
  readonly timers: Timers
  readonly openTimeoutMs: number
  /** Told once, where memory has to do. */
  readonly onWarning: (warning: ClientError) => void
}

interface Schema extends DBSchema {
  waiting: { readonly key: number; readonly value: Waiting }
}

type Database = IDBPDatabase<Schema>
type Writable = IDBPObjectStore<Schema, ['waiting'], 'waiting', 'readwrite'>

/** A later one has to go on with the records of this one: pages of two releases may share them. */
const version = 1
/** No record of the database has a key from here on, so what is left of it is never taken for one in memory. */
const memoryKeys = 2 ** 50

export class IndexedDbStore implements OutboxStore {
  readonly #options: IndexedDbOptions
  #database: Promise<Database> | undefined = undefined
  /** From the moment on when the browser has refused; for as long as the page lives. */
  #memory: MemoryStore | undefined = undefined

  constructor(options: IndexedDbOptions) {
    this.#options = options
  }

  get durable(): boolean {
    return !this.#memory
  }

  load(): Promise<readonly Waiting[]> {
    return this.#with(
      (database) => database.getAll('waiting'),
      (memory) => memory.load(),
    )
  }

  add(items: readonly Omit<Waiting, 'key'>[]): Promise<readonly number[]> {
    return this.#with(
      async (database) => {
        const transaction = database.transaction('waiting', 'readwrite')
        // Without a promise for each: they are many, and the transaction says it for all.
        const waiting = unwrap(transaction.store)
        const requests = items.map((item) => {
          const { key: _, ...unkeyed } = item as Waiting
          return waiting.add(unkeyed)
        })
        await transaction.done
        return requests.map(({ result }) => result as number)
      },
      (memory) => memory.add(items),
    )
  }

  replace(items: readonly Waiting[]): Promise<void> {
    return this.#with(
      async (database) => {
        await written(database, (waiting) => items.map(async (item) => (await waiting.count(item.key)) > 0 && waiting.put(item)))
      },
      (memory) => memory.replace(items),
    )
  }

  remove(keys: readonly number[]): Promise<void> {
    return this.#with(
      async (database) => {
        await written(database, (waiting) => rangesOf(keys).map(([first, last]) => waiting.delete(IDBKeyRange.bound(first, last))))
      },
      (memory) => memory.remove(keys),
    )
  }

  async close(): Promise<void> {
    const database = this.#database
    this.#database = undefined
    if (!this.#memory) (await database)?.close()
  }

  async #with<T>(use: (database: Database) => Promise<T>, instead: (memory: MemoryStore) => Promise<T>): Promise<T> {
    for (let attempt = 1; !this.#memory; attempt++) {
      const database = await this.#open()
      if (!database) break
      try {
        return await use(database)
      } catch (error) {
        if ((error as Error).name === 'QuotaExceededError') throw new ClientError('storage-full', undefined, {}, error)
        if (attempt > 1) throw asClientError(error, 'storage-unavailable')
        // Browsers close databases that are in nobody's way: it may be there again.
        this.#database = undefined
      }
    }
    return await instead(this.#memory as MemoryStore)
  }

  async #open(): Promise<Database | undefined> {
    const opening = (this.#database ??= this.#opened())
    try {
      return await opening
    } catch (error) {
      const { message } = error as Error
      if (!this.#memory)
        this.#options.onWarning(new ClientError('storage-unavailable', `what waits is lost with the page: ${message}`, {}, error))
      this.#memory ??= new MemoryStore(memoryKeys)
      return undefined
    }
  }

  /** Where another page neither answers nor lets go, or the browser says nothing at all, an end comes by time. */
  async #opened(): Promise<Database> {
    const { name, timers, openTimeoutMs } = this.#options
    const opening = openDB<Schema>(name, version, {
      upgrade: (database) => void database.createObjectStore('waiting', { keyPath: 'key', autoIncrement: true }),
      // A page of a newer release waits for us. What we have is in memory too; the next call finds out how we go on.
      blocking: (_from, _to, { target }) => {
        this.#database = undefined
        ;(target as IDBDatabase).close()
      },
      terminated: () => (this.#database = undefined),
    })
    let cancel = (): void => undefined
    const late = new Promise<never>((_, reject) => {
      cancel = timers.after(openTimeoutMs, () => reject(new Error(`${name} could not be opened within ${openTimeoutMs} ms`)))
    })
    try {
      return await Promise.race([opening, late])
    } catch (error) {
      void opening.then((database) => database.close()).catch(() => undefined) // Nobody waits for it any more.
      throw error
    } finally {
      cancel()
    }
  }
}

/** All or nothing; why nothing was written is known to the transaction, not to its requests. */
async function written<T>(database: Database, change: (waiting: Writable) => Promise<T>[]): Promise<T[]> {
  const transaction = database.transaction('waiting', 'readwrite')
  const changes = Promise.all(change(transaction.store))
  changes.catch(() => undefined)
  await transaction.done
  return await changes
}

/** Keys that follow each other, as those of one page mostly do: one request for all of them. */
function rangesOf(keys: readonly number[]): [number, number][] {
  const ranges: [number, number][] = []
  for (const key of [...keys].sort((one, other) => one - other)) {
    const range = ranges.at(-1)
    if (range && key - range[1] <= 1) range[1] = key
    else ranges.push([key, key])
  }
  return ranges
}
