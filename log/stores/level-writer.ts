/**
 * The one writer of the embedded store: everything that waits goes into the next batch, one batch in flight.
 *
 * A batch is on disk when LevelDB has synced its log AND the folder is synced: LevelDB does not sync the
 * folder when it begins a new log file, and an acknowledged batch would vanish with the file's name.
 * After a failed write the handle is dead: it would go on accepting writes behind a torn record that hides
 * them at the next open. So the database is closed and opened again before anything else is written.
 */
import { ClassicLevel } from 'classic-level'
import { SyncError } from '../../protocol/errors.ts'
import { reopenPauseMsMax, reopenPauseMsMin } from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import { DurableFolder } from './durable-folder.ts'
import { findDamage, finishSwitch, takeBackUnfinished } from './level-check.ts'

export type LevelDatabase = ClassicLevel<Buffer, Buffer>

export interface WriteOperation {
  readonly key: Buffer
  /** Absent to delete. */
  readonly value?: Buffer
}

export interface LevelOptions {
  readonly folder: string
  readonly logger: Logger
  /** Bytes LevelDB gathers in memory before it writes a table. */
  readonly writeBufferBytes?: number
  /** Mutations for the power-loss test, which must catch them. Never set them. */
  readonly unsafe?: { readonly sync?: false; readonly folderSync?: false }
}

export class LevelWriter {
  readonly #options: LevelOptions
  /** Made where it is opened: a ClassicLevel that nobody opens opens itself, and would make what is missing. */
  #database: LevelDatabase | undefined = undefined
  #folder: DurableFolder | undefined = undefined
  #queue: { operations: readonly WriteOperation[]; done: () => void; failed: (error: unknown) => void }[] = []
  #writing = false
  #closed = false
  /** Resolves when the database is open; replaced while it is being opened again. */
  #opened: Promise<void> = Promise.resolve()
  #stopReopening: (() => void) | undefined = undefined
  healthy = false

  constructor(options: LevelOptions) {
    this.#options = options
  }

  /** Opens the database; rejects with `store-unavailable` saying why. One that must be there is looked over for damage first. */
  async open(createIfMissing: boolean): Promise<void> {
    const { folder } = this.#options
    if (!createIfMissing && (await finishSwitch(folder))) {
      this.#options.logger.warn({ folder }, 'the switch to a new MANIFEST had not reached the disk: finished')
    }
    const damage = createIfMissing ? undefined : await findDamage(folder)
    if (damage !== undefined) {
      throw new SyncError('store-unavailable', `the store in ${folder} is damaged: ${damage}; restore it from a backup`)
    }
    const database = this.#create(createIfMissing)
    try {
      await openDatabase(database, folder, this.#options.logger)
      this.#folder = await DurableFolder.open(folder)
      await this.#syncFolder()
    } catch (error) {
      await database.close().catch(() => {}) // It never opened; the first error is the one to tell.
      throw openFailure(folder, error)
    }
    this.#database = database
    this.healthy = true
  }

  /** The open database, waiting while it is being opened again. */
  async database(): Promise<LevelDatabase> {
    await this.#opened
    if (this.#closed || !this.#database) throw new SyncError('store-unavailable', 'the store is closed')
    return this.#database
  }

  /** Durable when it resolves. After a rejection the operations may or may not be stored; a read tells, once it answers. */
  write(operations: readonly WriteOperation[]): Promise<void> {
    if (this.#closed || !this.healthy) {
      return Promise.reject(new SyncError('store-unavailable', `the store in ${this.#options.folder} takes no writes at the moment`))
    }
    return new Promise((done, failed) => {
      this.#queue.push({ operations, done, failed })
      if (!this.#writing) void this.#drain()
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stopReopening?.()
    await this.#opened
    while (this.#writing) await new Promise<void>((resolve) => void setImmediate(resolve))
    this.healthy = false
    await this.#database?.close()
    await this.#folder?.close()
  }

  async #drain(): Promise<void> {
    this.#writing = true
    while (this.#queue.length > 0) {
      const group = this.#queue
      this.#queue = []
      try {
        const batch = (this.#database as LevelDatabase).batch()
        for (const { operations } of group) {
          for (const { key, value } of operations) {
            if (value) batch.put(key, value)
            else batch.del(key)
          }
        }
        await batch.write({ sync: this.#options.unsafe?.sync ?? true })
        await this.#syncFolder()
      } catch (error) {
        this.#fail(error, group)
        break
      }
      for (const { done } of group) done()
    }
    this.#writing = false
  }

  #fail(error: unknown, group: { failed: (error: unknown) => void }[]): void {
    this.healthy = false
    const waiting = [...group, ...this.#queue]
    this.#queue = []
    this.#options.logger.error({ error }, 'a write to the store failed: opening it again before anything else is written')
    this.#opened = this.#reopen()
    const refusal = new SyncError('store-unavailable', `a write to ${this.#options.folder} failed: ${causeOf(error)}`, {}, error)
    for (const { failed } of waiting) failed(refusal)
  }

  async #reopen(): Promise<void> {
    for (let pauseMs = reopenPauseMsMin; !this.#closed; pauseMs = Math.min(pauseMs * 2, reopenPauseMsMax)) {
      try {
        await this.#database?.close()
        const database = (this.#database = this.#create(false))
        await openDatabase(database, this.#options.folder, this.#options.logger)
        await this.#syncFolder()
        await probe(database)
        this.healthy = true
        this.#options.logger.info({}, 'the store takes writes again')
        return
      } catch (error) {
        this.#options.logger.warn({ error, pauseMs }, 'the store could not be opened again yet')
        await this.#pause(pauseMs)
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#stopReopening = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async #syncFolder(): Promise<void> {
    if (this.#options.unsafe?.folderSync !== false) await this.#folder?.syncNames()
  }

  #create(createIfMissing: boolean): LevelDatabase {
    return new ClassicLevel<Buffer, Buffer>(this.#options.folder, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      createIfMissing,
      writeBufferSize: this.#options.writeBufferBytes ?? 16 * 1024 * 1024,
      cacheSize: 32 * 1024 * 1024,
      maxFileSize: 8 * 1024 * 1024,
    })
  }
}

/** Opens it, a second time if what LevelDB refused can be put right. */
async function openDatabase(database: LevelDatabase, folder: string, logger: Logger): Promise<void> {
  try {
    await database.open()
  } catch (error) {
    const code = (error as { cause?: { code?: string } }).cause?.code
    if (code !== 'LEVEL_CORRUPTION' || !(await takeBackUnfinished(folder))) throw error
    logger.warn({ error, folder }, 'a change of the MANIFEST never reached the disk as a whole: taken back')
    await database.open()
  }
}

/** A handle that opens on a full disk would only fail at the next commit: one small write tells now. */
async function probe(database: LevelDatabase): Promise<void> {
  await database.batch().put(Buffer.from('Mprobe'), Buffer.alloc(4096)).write({ sync: true })
}

/** An error of LevelDB as one of ours, which names the folder; any other as it is. */
export function readFailure(folder: string, error: unknown): unknown {
  const { code } = error as { code?: unknown }
  if (typeof code !== 'string' || !code.startsWith('LEVEL_')) return error
  return new SyncError('store-unavailable', `the store in ${folder} could not be read: ${causeOf(error)}`, {}, error)
}

/** Whether an open failed because another process holds the folder. */
export function isLocked(error: unknown): boolean {
  return error instanceof SyncError && error.details['reason'] === 'locked'
}

function openFailure(folder: string, error: unknown): SyncError {
  const code = (error as { cause?: { code?: string } }).cause?.code
  if (code === 'LEVEL_LOCKED') {
    return new SyncError(
      'store-unavailable',
      `the data folder ${folder} is in use by another process; stop that one first, or name another folder with --data`,
      { reason: 'locked' },
    )
  }
  return new SyncError('store-unavailable', `the store in ${folder} could not be opened: ${causeOf(error)}`, {}, error)
}

function causeOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string } }
  return cause?.message ?? message ?? String(error)
}
