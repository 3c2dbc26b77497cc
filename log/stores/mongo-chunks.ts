/** Chunks of snapshots in MongoDB: values that never change, by stream and name. */
import type { Collection, Db } from 'mongodb'
import { chunkKey } from './mongo-keys.ts'

interface StoredChunk {
  readonly _id: string
  readonly b: Buffer
}

export class MongoChunks {
  readonly #collection: Collection<StoredChunk>

  constructor(database: Db) {
    this.#collection = database.collection('chunks')
  }

  async put(stream: string, name: string, value: Buffer): Promise<void> {
    await this.#collection.replaceOne({ _id: chunkKey(stream, name) }, { b: value }, { upsert: true })
  }

  async get(stream: string, name: string): Promise<Buffer | undefined> {
    const found = await this.#collection.findOne({ _id: chunkKey(stream, name) })
    return found ? Buffer.from(found.b) : undefined
  }

  async remove(stream: string, name: string): Promise<void> {
    await this.#collection.deleteOne({ _id: chunkKey(stream, name) })
  }
}
