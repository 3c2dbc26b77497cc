/** The shards of the store. The first also holds everything that is no bucket. */
import { assumptions } from './assumptions.ts'
import type { Background } from './background.ts'
import { Worker } from './worker.ts'

export class Store {
  readonly shards: readonly Worker[]
  readonly #speed: number

  /** `speed`: times as fast as assumed. */
  constructor(count: number, background: Pick<Background, 'primary' | 'shard'>, speed: number) {
    this.#speed = speed
    this.shards = Array.from({ length: count }, (_, shard) => new Worker(shard === 0 ? background.primary : background.shard))
  }

  /** Returns when it will be done. */
  write(shard: number, cause: string, documents: number, nowMs: number): number {
    return this.#shard(shard).spend(cause, (documents * assumptions.storeWriteMicros) / this.#speed, nowMs)
  }

  read(shard: number, cause: string, finds: number, nowMs: number): number {
    return this.#shard(shard).spend(cause, (finds * assumptions.storeReadMicros) / this.#speed, nowMs)
  }

  #shard(shard: number): Worker {
    return this.shards[shard] as Worker
  }
}
