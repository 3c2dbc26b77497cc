/**
 * The small record of a stream in MongoDB: a new version for each change, inserted, so that of two changes at the same
 * time one is refused and made again. Nothing is ever changed in place.
 */
import type { Collection, Db } from 'mongodb'
import { isDuplicate, pauseAfter } from './mongo-connection.ts'
import { endOfKeys, numberedKey, numberOfKey } from './mongo-keys.ts'
import type { RecordChange, StreamRecord } from './store.ts'
import { Turns } from './turns.ts'

interface StoredRecord {
  readonly _id: string
  readonly r: string
}

export class MongoRecords {
  readonly #collection: Collection<StoredRecord>
  readonly #turns = new Turns()

  constructor(database: Db) {
    this.#collection = database.collection('records')
  }

  async get(stream: string): Promise<StreamRecord | undefined> {
    return (await this.#newest(stream)).record
  }

  change(stream: string, change: RecordChange): Promise<StreamRecord> {
    return this.#turns.take(stream, async () => {
      for (let tries = 1; ; tries = await pauseAfter(tries)) {
        const { version, record: stored } = await this.#newest(stream)
        const record = change(stored)
        try {
          await this.#collection.insertOne({ _id: numberedKey(stream, version + 1), r: JSON.stringify(record) })
        } catch (error) {
          if (isDuplicate(error)) continue
          throw error
        }
        // The version before stays: who is reading meanwhile meets one of the two.
        await this.#collection.deleteMany({ _id: { $gte: numberedKey(stream, 0), $lt: numberedKey(stream, version) } })
        return record
      }
    })
  }

  async #newest(stream: string): Promise<{ version: number; record: StreamRecord | undefined }> {
    const range = { $gte: numberedKey(stream, 0), $lt: endOfKeys(stream) }
    const [found] = await this.#collection.find({ _id: range }).sort({ _id: -1 }).limit(1).toArray()
    return found ? { version: numberOfKey(found._id), record: JSON.parse(found.r) as StreamRecord } : { version: 0, record: undefined }
  }
}
