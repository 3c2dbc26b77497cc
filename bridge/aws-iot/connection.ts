/**
 * One connection of the bridge to AWS IoT Core, made again and again: by a URL signed for it each time, changed for a new one before
 * AWS ends it, with growing pauses where it cannot be had.
 */
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type { IPublishPacket, MqttClient } from 'mqtt'
import { asSyncError } from '../../protocol/errors.ts'
import type { Logger } from '../../seams/logger.ts'
import { awsConnectionMs, awsConnectMsMax, awsFinishMsMax, awsLeaveMsMax, awsRetryMsMax, awsRetryMsMin } from '../../seams/limits.ts'

export interface ConnectionParts {
  readonly clientId: string
  /** Whether AWS forgets subscriptions and messages when the connection ends. */
  readonly clean: boolean
  /** With fresh credentials at each call. */
  readonly url: () => Promise<string>
  readonly logger: Logger
  /** After half to all of this the connection is changed for a new one. Default `awsConnectionMs`. */
  readonly connectionMs?: number | undefined
  /** What has no CONNACK, or is not set up behind it, is given up after so long. Default `awsConnectMsMax`. */
  readonly connectMs?: number | undefined
}

export interface ConnectionEvents {
  /** It stands. What rejects ends it, and it is tried again. */
  opened(client: MqttClient): Promise<void>
  /** The next message comes once `done` is called; this one is acknowledged, unless it is to come again. */
  received(packet: IPublishPacket, done: (outcome: 'taken' | 'again') => void): void
  /** It is about to be given up as planned: resolves when what is under way is finished. Not waited for where the connection ends meanwhile. */
  leaving(): Promise<void>
  /** It is over, for whatever reason. */
  lost(): void
}

const keepaliveS = 60

export class AwsConnection {
  readonly #parts: ConnectionParts
  readonly #events: ConnectionEvents
  readonly #closing = new AbortController()
  #client: MqttClient | undefined
  #isOpen = false
  #life: Promise<void> | undefined

  constructor(parts: ConnectionParts, events: ConnectionEvents) {
    this.#parts = parts
    this.#events = events
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Connects, and stays connected until it is closed. */
  start(): void {
    this.#life ??= this.#live()
  }

  /** Finishes what is under way where that is soon done, and disconnects. */
  async close(): Promise<void> {
    this.#closing.abort()
    const late = setTimeout(() => this.#client?.stream.destroy(), awsFinishMsMax)
    await this.#life
    clearTimeout(late)
  }

  async #live(): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted;) {
      const startedMs = performance.now()
      const isPlanned = await this.#visit()
      if (signal.aborted) return
      // One that is cut again and again must not hurry.
      failures = isPlanned || performance.now() - startedMs >= awsRetryMsMax ? 0 : failures + 1
      if (isPlanned) continue
      const ms = Math.min(awsRetryMsMax, awsRetryMsMin * 2 ** Math.min(failures, 20)) * (0.5 + Math.random() / 2)
      await pause(ms, undefined, { signal }).catch(() => {}) // Closed meanwhile: the loop sees it.
    }
  }

  /** One connection from its URL to its end; true where that end was ours. */
  async #visit(): Promise<boolean> {
    const { logger, clientId } = this.#parts
    try {
      const { client, over } = await this.#connect()
      this.#isOpen = true
      await this.#setUp(client, over)
      logger.info({ clientId }, 'connected to AWS IoT Core')
      const isPlanned = await Promise.race([over, this.#term()])
      if (isPlanned) await Promise.race([over, this.#events.leaving()])
      else logger.warn({ clientId }, 'AWS IoT Core has closed a connection of the bridge')
      return isPlanned
    } catch (thrown) {
      const { code, message } = asSyncError(thrown)
      logger.warn({ clientId, code, reason: message }, `no connection to AWS IoT Core: ${message}`)
      return false
    } finally {
      const wasOpen = this.#isOpen
      this.#isOpen = false
      // What still comes until it is gone belongs to the connection that is being left.
      await this.#leave()
      if (wasOpen) this.#events.lost()
    }
  }

  /** Rejects where the connection ends meanwhile, and ends it where that takes too long: AWS may discard a SUBSCRIBE without a word. */
  async #setUp(client: MqttClient, over: Promise<false>): Promise<void> {
    const { connectMs = awsConnectMsMax } = this.#parts
    const late = setTimeout(() => client.stream.destroy(), connectMs)
    const ended = over.then(() => {
      throw new Error('the connection was closed while it was being set up')
    })
    await Promise.race([this.#events.opened(client), ended]).finally(() => clearTimeout(late))
  }

  /** With what resolves at its end. */
  async #connect(): Promise<{ readonly client: MqttClient; readonly over: Promise<false> }> {
    const { clientId, clean, url, connectMs = awsConnectMsMax } = this.#parts
    // Loaded only where AWS carries the connections.
    const { connect } = await import('mqtt')
    const client = connect(await this.#unlessClosed(url()), {
      protocolVersion: 4,
      clientId,
      clean,
      keepalive: keepaliveS,
      // A URL is good for one attempt; what is subscribed to is our affair.
      reconnectPeriod: 0,
      resubscribe: false,
      connectTimeout: connectMs,
      queueQoSZero: false,
    })
    this.#client = client
    // In place before anything can come: what was kept for this client comes right behind CONNACK.
    client.handleMessage = (packet, done) => {
      // With an error mqtt.js sends no PUBACK, and goes on.
      this.#events.received(packet, (outcome) => (outcome === 'taken' ? done() : done(new Error('to come again'))))
    }
    const over = new Promise<false>((resolve) => client.once('close', () => resolve(false)))
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve())
      // Stays for those that come later: `close` comes behind them.
      client.on('error', reject)
      // A 403 looks like this, too.
      client.once('close', () => reject(new Error('closed before CONNACK: AWS refuses the credentials, or cannot be reached')))
    })
    return { client, over }
  }

  /** Rejects where it is closed meanwhile: STS takes its time, and what it gives then is for nobody. */
  async #unlessClosed<T>(asked: Promise<T>): Promise<T> {
    const { signal } = this.#closing
    const answered = new AbortController()
    const closed = once(signal, 'abort', { signal: answered.signal }).then((): never => {
      throw new Error('the connection was closed before it was made')
    })
    try {
      signal.throwIfAborted()
      const given = await Promise.race([asked, closed])
      signal.throwIfAborted()
      return given
    } finally {
      answered.abort()
      for (const left of [asked, closed]) left.catch(() => {}) // Nobody waits for it any more.
    }
  }

  /** Resolves when the connection should be changed for another, or be closed. */
  async #term(): Promise<true> {
    const { connectionMs = awsConnectionMs } = this.#parts
    // Not all at once.
    const ms = connectionMs * (0.5 + Math.random() / 2)
    await pause(ms, undefined, { signal: this.#closing.signal }).catch(() => {}) // Closed: the same as due.
    return true
  }

  async #leave(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    if (!client) return
    const late = new AbortController()
    const ended = new Promise<void>((resolve) => client.end(false, {}, () => resolve())).finally(() => late.abort())
    await Promise.race([ended, pause(awsLeaveMsMax, undefined, { signal: late.signal, ref: false }).catch(() => {})])
    client.end(true)
  }
}
