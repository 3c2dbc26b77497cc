/**
 * Deleting what was trimmed, after a time of grace: a node that still thinks an old head to be the newest must find the place
 * behind it taken, not empty. What waits is stored, so that any node may do it.
 */
import type { Collection, Db } from 'mongodb'
import type { Clock } from '../../seams/clock.ts'
import { numberedKey, nameOfKey, numberOfKey } from './mongo-keys.ts'
import type { MongoBuckets } from './mongo-buckets.ts'

interface Trim {
  readonly _id: string
  readonly due: Date
}

const trimsPerSweep = 100

export class MongoTrims {
  readonly #collection: Collection<Trim>
  readonly #buckets: MongoBuckets
  readonly #clock: Clock
  readonly #graceMs: number

  constructor(database: Db, buckets: MongoBuckets, clock: Clock, graceMs: number) {
    this.#collection = database.collection('trims')
    this.#buckets = buckets
    this.#clock = clock
    this.#graceMs = graceMs
  }

  /** Sweeps find what is due by an index. */
  async prepare(): Promise<void> {
    await this.#collection.createIndex({ due: 1 })
  }

  /** Durable when it resolves; done by a sweep after the time of grace. */
  async add(stream: string, seq: number): Promise<void> {
    if (this.#graceMs === 0) return await this.#buckets.removeBelow(stream, seq)
    const due = new Date(this.#clock.now() + this.#graceMs)
    await this.#collection.replaceOne({ _id: numberedKey(stream, seq) }, { due }, { upsert: true })
  }

  /** Two nodes may do the same at the same time: deleting twice harms nobody. */
  async sweep(): Promise<void> {
    const now = new Date(this.#clock.now())
    const due = await this.#collection
      .find({ due: { $lte: now } })
      .limit(trimsPerSweep)
      .toArray()
    for (const { _id } of due) {
      await this.#buckets.removeBelow(nameOfKey(_id), numberOfKey(_id))
      await this.#collection.deleteOne({ _id })
    }
  }
}
