/**
 * Hints over Redis pub/sub. Redis may be away or slow at any time: hints that cannot be sent now are dropped and
 * counted, never kept; nobody waits for Redis and nothing fails for its sake.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Hint, Hints } from '../seams/hints.ts'
import { hintsRetryMsMax, hintsRetryMsMin, type Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import type { Telemetry } from '../seams/telemetry.ts'
import { decodeHints, HintBatch, sizeOf } from './message.ts'
import { RedisLink } from './redis-link.ts'
import { redisServer, type RedisServer } from './redis-server.ts'

export interface RedisHintsOptions {
  /** `redis://user:password@host:port`, or `rediss:` for TLS. */
  readonly url: string
  /** Channels begin with it. */
  readonly prefix: string
  readonly limits: Pick<Limits, 'hintsBytesMax' | 'hintsCheckMs'>
  readonly logger: Logger
  readonly telemetry: Telemetry
}

export class RedisHints implements Hints {
  readonly #options: RedisHintsOptions
  readonly #server: RedisServer
  readonly #node = randomUUID()
  readonly #listeners = new Set<(hint: Hint) => void>()
  readonly #closing = new AbortController()
  #running: Promise<void> | undefined
  #link: RedisLink | undefined
  #batch: HintBatch | undefined
  #down = false
  #sawGarbage = false

  /** Throws for a URL that is none. */
  constructor(options: RedisHintsOptions) {
    this.#options = options
    this.#server = redisServer(options.url)
  }

  /** Whether hints come and go at present. */
  get connected(): boolean {
    return this.#link?.isOpen ?? false
  }

  /** Begins to exchange hints with the nodes that serve the store of this epoch. */
  start(epoch: string): void {
    this.#running ??= this.#run(`${this.#options.prefix}:${epoch}:hints`)
  }

  send(hint: Hint): void {
    const { telemetry, limits } = this.#options
    const waiting = (this.#link?.pendingBytes ?? 0) + (this.#batch?.bytes ?? 0)
    if (!this.#link?.isOpen || waiting + sizeOf(hint) > limits.hintsBytesMax) return telemetry.hints('dropped', 1)
    if (!this.#batch) {
      this.#batch = new HintBatch()
      setImmediate(() => this.#flush())
    }
    this.#batch.add(hint)
  }

  listen(listener: (hint: Hint) => void): () => void {
    // A function of its own per call, so that one listener may listen twice.
    const hear = (hint: Hint): void => listener(hint)
    this.#listeners.add(hear)
    return () => void this.#listeners.delete(hear)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#listeners.clear()
    this.#flush()
    this.#link?.close()
    await this.#running
  }

  #flush(): void {
    const batch = this.#batch
    if (!batch) return
    this.#batch = undefined
    this.#options.telemetry.hints(this.connected ? 'sent' : 'dropped', batch.count)
    if (this.connected) this.#link?.publish(batch.encode(this.#node))
  }

  /** Keeps a link open until closed. */
  async #run(channel: string): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted; failures++) {
      const reason = await this.#exchange(channel, () => (failures = 0))
      if (signal.aborted) return
      this.#wentDown(reason)
      const retryMs = Math.min(hintsRetryMsMin * 2 ** failures, hintsRetryMsMax) * (0.5 + Math.random() / 2)
      // It is cut short by closing only.
      await pause(retryMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  /** Resolves with the reason why the link could not be opened or was lost. */
  async #exchange(channel: string, opened: () => void): Promise<Error> {
    const { hintsCheckMs: checkMs } = this.#options.limits
    const received = (message: Buffer): void => this.#received(message)
    const echoChannel = `${channel}:${this.#node}`
    const link = new RedisLink({ server: this.#server, channel, echoChannel, checkMs, timeoutMs: 3 * checkMs, received })
    this.#link = link
    await link.open()
    if (link.isOpen) {
      opened()
      this.#cameUp()
    }
    return await link.lost
  }

  #received(message: Buffer): void {
    const { telemetry, limits } = this.#options
    const decoded = message.length > limits.hintsBytesMax * 2 ? undefined : decodeHints(message)
    if (!decoded) return this.#ignored(message)
    const { node, hints } = decoded
    if (node === this.#node) return
    telemetry.hints('received', hints.length)
    for (const hint of hints) for (const hear of this.#listeners) hear(hint)
  }

  #ignored(message: Buffer): void {
    const { telemetry, logger } = this.#options
    telemetry.hints('ignored', 1)
    if (this.#sawGarbage) return
    this.#sawGarbage = true
    logger.warn({ bytes: message.length }, 'something that is no hint comes over Redis; it is ignored, and further ones are only counted')
  }

  #wentDown(reason: Error): void {
    if (this.#down) return
    this.#down = true
    const { host, port } = this.#server
    this.#options.logger.warn(
      { redis: `${host}:${port}`, reason: reason.message },
      'no hints over Redis: what other nodes append is seen by polling, and QoS 0 messages do not reach them; it is tried again by itself',
    )
  }

  #cameUp(): void {
    this.#down = false
    const { host, port } = this.#server
    this.#options.logger.info({ redis: `${host}:${port}` }, 'hints come and go over Redis')
  }
}
