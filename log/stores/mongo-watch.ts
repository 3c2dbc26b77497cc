/**
 * Watches whether this process may write to the database: it answers and takes writes, holds the history that this process
 * opened, and its clock is not far from ours. While one of these fails, appends are refused; it is looked at again by itself.
 */
import { SyncError } from '../../protocol/errors.ts'
import type { Clock } from '../../seams/clock.ts'
import { defaultLimits, mongoReconnectMs, mongoRetryMs, mongoWatchMs } from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import { hello, unavailable, type MongoConnection } from './mongo-connection.ts'
import { readIdentity, touch } from './mongo-identity.ts'

export interface MongoWatchParts {
  readonly connection: MongoConnection
  readonly epoch: string
  readonly clock: Clock
  readonly logger: Logger
  /** After so long a failure all connections are made anew. */
  readonly reconnectMs?: number | undefined
  /** Entries carry our clock's time, and other nodes' entries stand between them. */
  readonly clockSkewMs?: number | undefined
}

export class MongoWatch {
  readonly #connection: MongoConnection
  readonly #epoch: string
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #reconnectMs: number
  readonly #clockSkewMs: number
  #failure: SyncError | undefined
  /** Since when it fails on these connections. */
  #failingSinceMs = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(parts: MongoWatchParts) {
    this.#connection = parts.connection
    this.#epoch = parts.epoch
    this.#clock = parts.clock
    this.#logger = parts.logger
    this.#reconnectMs = parts.reconnectMs ?? mongoReconnectMs
    this.#clockSkewMs = parts.clockSkewMs ?? defaultLimits.clockSkewMs
  }

  get healthy(): boolean {
    return this.#failure === undefined && !this.#closed
  }

  get failure(): SyncError | undefined {
    return this.#failure
  }

  /** Rejects where this process may not write. */
  async start(): Promise<void> {
    const failure = await this.#look()
    if (failure) throw failure
    this.#lookAgain(mongoWatchMs)
  }

  /** An operation had no clear answer: nothing is accepted until a write has gone through. */
  failed(error: unknown): void {
    if (this.#closed) return
    this.#say(unavailable(error))
    this.#lookAgain(mongoRetryMs)
  }

  /** A write went through: what failed before may be over. */
  succeeded(): void {
    if (!this.healthy) this.#lookAgain(0)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #lookAgain(afterMs: number): void {
    clearTimeout(this.#timer)
    if (this.#closed) return
    this.#timer = setTimeout(() => void this.#lookAndSay(), afterMs).unref()
  }

  async #lookAndSay(): Promise<void> {
    const failure = await this.#look()
    this.#say(failure)
    if (failure) await this.#reconnectInTime()
    this.#lookAgain(failure ? mongoRetryMs : mongoWatchMs)
  }

  #say(failure: SyncError | undefined): void {
    if (failure?.message === this.#failure?.message || this.#closed) return
    if (!this.#failure) this.#failingSinceMs = performance.now()
    if (failure) this.#logger.error({ failure: failure.message }, 'the database takes no entries; it is tried again')
    else this.#logger.info({}, 'the database takes entries again')
    this.#failure = failure
  }

  /**
   * The driver's own watcher of a server can stop for good where a connection ends in the middle of its beginning: then nothing
   * ever connects again.
   */
  async #reconnectInTime(): Promise<void> {
    if (this.#closed || performance.now() - this.#failingSinceMs < this.#reconnectMs) return
    this.#logger.warn({}, 'the database has failed for too long: all connections to it are made anew')
    this.#failingSinceMs = performance.now()
    try {
      await this.#connection.client.close()
      await this.#connection.client.connect()
      // The store was closed meanwhile: nothing of ours stays open.
      if (this.#closed) await this.#connection.client.close()
    } catch (error) {
      this.#say(unavailable(error))
    }
  }

  async #look(): Promise<SyncError | undefined> {
    const { database } = this.#connection
    try {
      // A read may be answered by a server whose disk is full.
      if (this.#failure) await touch(database)
      const askedMs = this.#clock.now()
      const { localTime } = await hello(database)
      const answeredMs = this.#clock.now()
      const theirs = localTime?.getTime() ?? askedMs
      const skewMs = theirs < askedMs ? askedMs - theirs : Math.max(0, theirs - answeredMs)
      if (skewMs > this.#clockSkewMs) {
        const sentence = `the clocks of this machine and of the database differ by ${skewMs} ms, more than ${this.#clockSkewMs}`
        return new SyncError('clock-skew', sentence)
      }
      const identity = await readIdentity(database)
      if (identity?.epoch !== this.#epoch) {
        const sentence = `the database holds another history (epoch ${identity?.epoch ?? 'none'}) than the one that was opened (${this.#epoch}): start again`
        return new SyncError('store-unavailable', sentence)
      }
      return undefined
    } catch (error) {
      return unavailable(error)
    }
  }
}
