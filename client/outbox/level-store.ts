/** What waits, in a folder: for Node. One process at a time. */
import { mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { ClientError } from '../errors.ts'
import type { OutboxStore, Waiting } from './store.ts'

/** A second LevelDB of one process on a folder would end the lock of the first: closing a file ends all locks that the process has on it. */
const openFolders = new Set<string>()

type Database = ClassicLevel<string, Waiting>

export class LevelStore implements OutboxStore {
  readonly durable = true
  readonly #folder: string
  #database: Promise<Database> | undefined = undefined
  #lastKey = 0
  /** Writes take turns: whether a record is still there must not change before it is replaced. */
  #written: Promise<unknown> = Promise.resolve()

  constructor(folder: string) {
    this.#folder = resolve(folder)
  }

  async load(): Promise<readonly Waiting[]> {
    const database = await this.#open()
    return (await database.values().all()).map(withAllMembers)
  }

  async add(items: readonly Omit<Waiting, 'key'>[]): Promise<readonly number[]> {
    const database = await this.#open()
    const keyed = items.map((item) => ({ ...item, key: ++this.#lastKey }))
    await this.#write(database, async () => keyed.map((value) => ({ type: 'put', key: keyOf(value.key), value })))
    return keyed.map(({ key }) => key)
  }

  async replace(items: readonly Waiting[]): Promise<void> {
    const database = await this.#open()
    await this.#write(database, async () => {
      const there = await database.getMany(items.map(({ key }) => keyOf(key)))
      return items.flatMap((value, index) => (there[index] ? [{ type: 'put', key: keyOf(value.key), value }] : []))
    })
  }

  async remove(keys: readonly number[]): Promise<void> {
    const database = await this.#open()
    // What comes back after a loss of power is sent again under its id; for that nobody need wait for the disk.
    await this.#write(database, async () => keys.map((key) => ({ type: 'del', key: keyOf(key) })), false)
  }

  async close(): Promise<void> {
    await this.#written
    if (this.#database) await this.#shut(await this.#database)
  }

  #open(): Promise<Database> {
    this.#database ??= this.#opened().catch((error: unknown) => {
      this.#database = undefined
      throw error
    })
    return this.#database
  }

  async #opened(): Promise<Database> {
    const folder = this.#folder
    if (openFolders.has(folder)) throw unusable(folder, 'it is in use by this process already')
    openFolders.add(folder)
    const database: Database = new ClassicLevel(folder, { valueEncoding: 'json' })
    try {
      await mkdir(folder, { recursive: true })
      await database.open()
      const [last] = await database.keys({ reverse: true, limit: 1 }).all()
      this.#lastKey = Math.max(this.#lastKey, Number(last ?? 0))
    } catch (error) {
      openFolders.delete(folder)
      const cause = (error as Error).cause as (Error & { code?: string }) | undefined
      throw unusable(
        folder,
        cause?.code === 'LEVEL_LOCKED' ? 'it is in use by another process' : (cause ?? (error as Error)).message,
        error,
      )
    }
    return database
  }

  async #shut(database: Database): Promise<void> {
    this.#database = undefined
    try {
      await database.close()
    } finally {
      openFolders.delete(this.#folder)
    }
  }

  async #write(database: Database, changes: () => Promise<Change[]>, sync = true): Promise<void> {
    const before = this.#written
    const write = (async () => {
      await before
      try {
        // LevelDB goes on after a failed write as if it had not been; what it says about later ones would not be true.
        await database.batch(await changes(), { sync })
      } catch (error) {
        await this.#shut(database)
        throw failure(this.#folder, error)
      }
    })()
    this.#written = write.catch(() => undefined)
    await write
  }
}

type Change = { readonly type: 'put'; readonly key: string; readonly value: Waiting } | { readonly type: 'del'; readonly key: string }

/** In the order of the numbers. */
function keyOf(key: number): string {
  return String(key).padStart(16, '0')
}

/** JSON leaves out what is undefined. */
function withAllMembers(waiting: Waiting): Waiting {
  return { ...waiting, uid: waiting.uid, if: waiting.if, since: waiting.since, refusal: waiting.refusal }
}

function unusable(folder: string, reason: string, cause?: unknown): ClientError {
  return new ClientError('storage-unavailable', `the outbox ${folder} cannot be opened: ${reason}`, {}, cause)
}

function failure(folder: string, error: unknown): ClientError {
  const { message } = error as Error
  const isFull = /no space left|quota|ENOSPC|File too large/i.test(message)
  return new ClientError(isFull ? 'storage-full' : 'storage-unavailable', `the outbox ${folder}: ${message}`, {}, error)
}
