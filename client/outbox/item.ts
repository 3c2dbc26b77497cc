/** One publish while this client is responsible for it. */
import type { Published } from '../api.ts'
import type { ClientError } from '../errors.ts'
import type { Waiting } from './store.ts'

export interface Item {
  waiting: Waiting
  readonly bytes: number
  /** It outlives the page, where the store does. Nothing is sent before. */
  kept: boolean
  state: ItemState
  /** An attempt had no answer, perhaps in an earlier life: the entry may stand in the log. */
  mayStand: boolean
  /** What a later attempt was refused with: it holds if the entry is not found. */
  refusal?: ClientError
  /** The calls that wait for it; none where it was left by an earlier life. */
  readonly callers: Caller[]
}

/**
 * - `queued`: to be sent, perhaps again
 * - `under-way`: sent on the present session
 * - `unknown`: the server does not tell whether it was appended; to be looked for in the history
 * - `answered`: committed, or refused and not yet noted
 */
export type ItemState = 'queued' | 'under-way' | 'unknown' | 'answered'

/** A promise that the app has, and its two ends. */
export class Caller {
  readonly promise: Promise<Published>
  resolve!: (published: Published) => void
  reject!: (error: unknown) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  /** The result goes elsewhere as well: an app that does not look at the promise does nothing wrong. */
  release(): void {
    this.promise.catch(() => undefined)
  }
}
