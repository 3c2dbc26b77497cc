/** What happens to streams behind the scenes, one at a time: snapshots of their state, and trimming. */
import { emptyMark } from '../protocol/positions.ts'
import type { Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import type { Bucket } from './bucket.ts'
import type { Fold } from './fold.ts'
import type { Snapshots } from './snapshots.ts'
import type { StateCache } from './state-cache.ts'
import type { Store, StreamRecord } from './stores/store.ts'
import type { Stream } from './stream.ts'

export interface MaintenanceParts {
  readonly store: Store
  readonly snapshots: Snapshots
  readonly states: StateCache
  readonly limits: Limits
  readonly logger: Logger
  readBucket(stream: Stream, seq: number): Promise<Bucket>
}

export class Maintenance {
  readonly #parts: MaintenanceParts
  /** Streams with work that waits or runs. */
  readonly #held = new Map<Stream, number>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: MaintenanceParts) {
    this.#parts = parts
  }

  /** Whether work on the stream is under way, so that it must stay in memory. */
  holds(stream: Stream): boolean {
    return this.#held.has(stream)
  }

  /** Writes a snapshot once enough was appended since the last one: bounds the work of the next fold. */
  advanced(stream: Stream): void {
    const { snapshotEntriesMax, snapshotBytesMax } = this.#parts.limits
    if (stream.unfoldedEntries < snapshotEntriesMax && stream.unfoldedBytes < snapshotBytesMax) return
    stream.unfoldedEntries = stream.unfoldedBytes = 0
    this.#inTurn(stream, () => this.#snapshot(stream)).catch((error: unknown) => {
      // The log holds everything; the next snapshot tries again.
      this.#parts.logger.error({ error, stream: stream.name }, 'a snapshot could not be written')
    })
  }

  /** See `Log.trim`. No snapshot of before `coveredTo` is left. */
  trim(stream: Stream, first: number, coveredTo = first - 1): Promise<number> {
    return this.#inTurn(stream, async () => {
      // A stream trimmed to its end holds its newest bucket still, and the state with it.
      if (first < stream.first || (first === stream.first && coveredTo < first)) return stream.first
      // Another node's snapshot may come in the way of ours; it need not reach as far.
      while ((stream.record?.snapshot?.seq ?? 0) < coveredTo) await this.#snapshot(stream)
      const markBefore = first === stream.first ? stream.markBefore : (await this.#parts.readBucket(stream, first - 1)).mark
      await this.#change(stream, (record) => (first > record.first ? { ...record, first, markBefore } : record))
      await this.#parts.store.removeBelow(stream.name, first)
      return first
    })
  }

  async drained(): Promise<void> {
    await this.#last
  }

  async #snapshot(stream: Stream): Promise<void> {
    const { snapshots, states } = this.#parts
    await states.load(stream)
    const old = stream.record?.snapshot ?? null
    const snapshot = await snapshots.write(stream.name, stream.fold as Fold, stream.record)
    // It is built of chunks of the old one: where another node has replaced that meanwhile, those may be gone.
    const stored = await this.#change(stream, (record) => (record.snapshot?.seq === old?.seq ? { ...record, snapshot } : record))
    for (const stale of [old, snapshot]) await snapshots.removeStale(stream.name, stale, stored.snapshot)
  }

  async #change(stream: Stream, change: (record: StreamRecord) => StreamRecord): Promise<StreamRecord> {
    const record = await this.#parts.store.changeRecord(stream.name, (stored) => change(stored ?? unwritten))
    stream.takeRecord(record)
    return record
  }

  #inTurn<Result>(stream: Stream, work: () => Promise<Result>): Promise<Result> {
    this.#held.set(stream, (this.#held.get(stream) ?? 0) + 1)
    const result = this.#last.then(work).finally(() => {
      const left = (this.#held.get(stream) as number) - 1
      if (left > 0) this.#held.set(stream, left)
      else this.#held.delete(stream)
    })
    this.#last = result.catch(() => {})
    return result
  }
}

const unwritten: StreamRecord = { first: 1, markBefore: emptyMark, snapshot: null }
