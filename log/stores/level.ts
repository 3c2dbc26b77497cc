/** The embedded store: LevelDB in one folder, one process. */
import { existsSync } from 'node:fs'
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { SyncError } from '../../protocol/errors.ts'
import { Bucket } from '../bucket.ts'
import { drawEpoch } from '../epoch.ts'
import { LevelDocuments } from './level-documents.ts'
import { bucketKey, chunkKey, isRecordKey, logRange, metaKey, recordKey, streamOfKey } from './level-keys.ts'
import { decodeValue, encodeValue } from './level-values.ts'
import { isLocked, LevelWriter, readFailure, type LevelOptions, type WriteOperation } from './level-writer.ts'
import type {
  CommitOutcome,
  KnownHead,
  OpenOptions,
  ReadRange,
  RecordChange,
  Store,
  StoreIdentity,
  StreamRecord,
  StreamTail,
} from './store.ts'

const schema = 1
/** Stands beside the database once its first open has ended: without it, what is there was never acknowledged to anybody. */
export const markerName = 'TIDEMARK'

export class LevelStore implements Store {
  readonly shared = false
  readonly atomic = true
  readonly #options: LevelOptions
  #writer: LevelWriter
  #documents: LevelDocuments | undefined = undefined
  /** Changes of records take turns. */
  #recordChanged: Promise<unknown> = Promise.resolve()

  constructor(options: LevelOptions) {
    this.#options = options
    this.#writer = new LevelWriter(options)
  }

  get documents(): LevelDocuments {
    return (this.#documents ??= new LevelDocuments(this.#writer))
  }

  get healthy(): boolean {
    return this.#writer.healthy
  }

  async open({ epoch, existing }: OpenOptions = {}): Promise<StoreIdentity> {
    const { folder, logger } = this.#options
    const marked = existsSync(this.#marker)
    if (existing && !marked) throw new SyncError('store-unavailable', `there is no store in ${folder}`)
    if (marked && !existsSync(folder)) {
      throw new SyncError(
        'store-unavailable',
        `${this.#marker} says that a store was here, but ${folder} is missing; restore it, or remove the marker to begin anew`,
      )
    }
    await mkdir(folder, { recursive: true })
    try {
      await this.#writer.open(!marked)
    } catch (error) {
      if (marked || isLocked(error)) throw error
      // The first open of LevelDB is not atomic; without the marker nothing was ever acknowledged, so it starts over.
      logger.warn({ error, folder }, 'the store was never finished: moved aside, beginning anew')
      await rm(`${folder}.unfinished`, { recursive: true, force: true })
      await rename(folder, `${folder}.unfinished`)
      await mkdir(folder)
      this.#writer = new LevelWriter(this.#options)
      await this.#writer.open(true)
    }
    try {
      return await this.#identity(marked, epoch)
    } catch (error) {
      await this.#writer.close()
      throw readFailure(folder, error)
    }
  }

  close(): Promise<void> {
    return this.#writer.close()
  }

  async load(stream: string): Promise<StreamTail> {
    const database = await this.#writer.database()
    let record: StreamRecord | undefined
    let last: Bucket | undefined
    const newest = database.iterator({ gte: bucketKey(stream, 0), lte: recordKey(stream), reverse: true, limit: 2 })
    try {
      for await (const [key, value] of newest) {
        if (isRecordKey(key)) record = decodeValue(value, `the record of ${stream}`) as StreamRecord
        else last ??= new Bucket(stream, value)
      }
    } catch (error) {
      throw readFailure(this.#options.folder, error)
    }
    return { last, record }
  }

  /** Nobody else writes, so nobody asks often: it may take a seek for each. */
  async moved(heads: readonly KnownHead[]): Promise<string[]> {
    const names: string[] = []
    for (const { stream, seq } of heads) if (((await this.load(stream)).last?.lastSeq ?? 0) !== seq) names.push(stream)
    return names
  }

  async commit(buckets: readonly Bucket[]): Promise<CommitOutcome[]> {
    const operations: WriteOperation[] = buckets.map(({ stream, lastSeq, value }) => ({ key: bucketKey(stream, lastSeq), value }))
    try {
      await this.#writer.write(operations)
      return buckets.map(() => 'stored')
    } catch {
      return buckets.map(() => 'unknown') // The writer has logged why; settle tells what became of them.
    }
  }

  async adopt(buckets: readonly Bucket[]): Promise<void> {
    await this.#writer.write(buckets.map(({ stream, lastSeq, value }) => ({ key: bucketKey(stream, lastSeq), value })))
  }

  async settle(bucket: Bucket): Promise<'stored' | 'taken' | 'absent'> {
    if (!this.healthy) throw new SyncError('store-unavailable', 'the store is being opened again')
    const [found] = await this.read(bucket.stream, { from: bucket.firstSeq, to: bucket.firstSeq, bytesMax: 1 })
    if (!found) return 'absent'
    return found.nonce.equals(bucket.nonce) ? 'stored' : 'taken'
  }

  async read(stream: string, { from, to, bytesMax, reverse = false }: ReadRange): Promise<Bucket[]> {
    const database = await this.#writer.database()
    const range = reverse
      ? { gte: bucketKey(stream, from), lte: await this.#keyOfBucketWith(stream, to), reverse }
      : { gte: bucketKey(stream, from), lt: recordKey(stream) }
    const buckets: Bucket[] = []
    let bytes = 0
    const iterator = database.iterator({ ...range, fillCache: false, highWaterMarkBytes: bytesMax })
    try {
      while (buckets.length === 0 || bytes < bytesMax) {
        const pairs = await iterator.nextv(64)
        if (pairs.length === 0) break
        for (const [, value] of pairs) {
          const bucket = new Bucket(stream, value)
          if (bucket.firstSeq > to || bucket.lastSeq < from) return buckets
          buckets.push(bucket)
          bytes += value.length
          if (bytes >= bytesMax) break
        }
      }
    } catch (error) {
      throw readFailure(this.#options.folder, error)
    } finally {
      await iterator.close()
    }
    return buckets
  }

  changeRecord(stream: string, change: RecordChange): Promise<StreamRecord> {
    const changed = this.#recordChanged.then(async () => {
      const record = change((await this.load(stream)).record)
      await this.#writer.write([{ key: recordKey(stream), value: encodeValue(record) }])
      return record
    })
    this.#recordChanged = changed.catch(() => {}) // Its caller hears of it; the next one only waits for the end.
    return changed
  }

  async removeBelow(stream: string, seq: number): Promise<void> {
    const database = await this.#writer.database()
    const { last } = await this.load(stream)
    if (!last) return
    const lt = bucketKey(stream, Math.min(seq, last.lastSeq))
    for (let keys = await firstKeys(); keys.length > 0; keys = await firstKeys()) {
      await this.#writer.write(keys.map((key) => ({ key })))
    }
    function firstKeys(): Promise<Buffer[]> {
      return database.keys({ gte: bucketKey(stream, 0), lt, limit: 10_000 }).all()
    }
  }

  putChunk(stream: string, name: string, value: Buffer): Promise<void> {
    return this.#writer.write([{ key: chunkKey(stream, name), value }])
  }

  async getChunk(stream: string, name: string): Promise<Buffer | undefined> {
    const database = await this.#writer.database()
    return await database.get(chunkKey(stream, name))
  }

  removeChunk(stream: string, name: string): Promise<void> {
    return this.#writer.write([{ key: chunkKey(stream, name) }])
  }

  async streams(after: string, limit: number): Promise<string[]> {
    const database = await this.#writer.database()
    const names: string[] = []
    let gt = after === '' ? logRange.gte : recordKey(after)
    while (names.length < limit) {
      const [key] = await database.keys({ gt, lt: logRange.lt, limit: 1 }).all()
      if (!key) break
      const stream = streamOfKey(key)
      names.push(stream)
      gt = recordKey(stream)
    }
    return names
  }

  /** The key of the bucket that holds `seq`, or of the newest one. */
  async #keyOfBucketWith(stream: string, seq: number): Promise<Buffer> {
    const database = await this.#writer.database()
    const [key] = await database.keys({ gte: bucketKey(stream, seq), lt: recordKey(stream), limit: 1 }).all()
    return key ?? bucketKey(stream, seq)
  }

  get #marker(): string {
    return join(dirname(this.#options.folder), markerName)
  }

  async #identity(marked: boolean, epoch = drawEpoch()): Promise<StoreIdentity> {
    const { folder } = this.#options
    const database = await this.#writer.database()
    const bytes = await database.get(metaKey('identity'))
    let identity = bytes && (JSON.parse(bytes.toString()) as { schema: number; epoch: string })
    if (!identity) {
      if (marked)
        throw new SyncError('store-unavailable', `the store in ${folder} has lost its identity: it is damaged; restore it from a backup`)
      identity = { schema, epoch }
      await this.#writer.write([{ key: metaKey('identity'), value: Buffer.from(JSON.stringify(identity)) }])
    }
    if (identity.schema !== schema) {
      throw new SyncError('store-unavailable', `the store in ${folder} has schema ${identity.schema}; this release reads schema ${schema}`)
    }
    if (!marked) {
      await syncNames(folder) // The marker must not outlive the name of the folder that it speaks of.
      await writeDurably(this.#marker, `Tidemark store, schema ${schema}\n`)
    }
    return { epoch: identity.epoch }
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  await writeFile(path, text, { flush: true })
  await syncFolder(dirname(path))
}

/** Makes the names of a folder and of those above it durable: some may just have been made, and all below would go with them. */
async function syncNames(folder: string): Promise<void> {
  for (let at = resolve(folder); at !== dirname(at); at = dirname(at)) {
    await syncFolder(dirname(at)).catch((error: unknown) => {
      // What this process may not read it has hardly made.
      if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    })
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
