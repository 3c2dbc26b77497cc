/**
 * One way over Redis: a connection that publishes and one that listens. It never mends itself: once lost, it is
 * lost, and another one is opened. That something comes through is shown by messages to itself, since a
 * connection may look alive for minutes after the other end is gone.
 */
import { Redis } from 'ioredis'
import type { RedisServer } from './redis-server.ts'

export interface RedisLinkOptions {
  readonly server: RedisServer
  readonly channel: string
  /** Of this link alone. */
  readonly echoChannel: string
  /** How often something is sent to itself. */
  readonly checkMs: number
  /** Without an echo for so long the link is lost; also the longest that opening takes. */
  readonly timeoutMs: number
  readonly received: (message: Buffer) => void
}

export class RedisLink {
  /** Bytes of messages that Redis has not answered. */
  pendingBytes = 0
  /** Resolves with the reason when the link is lost or closed. */
  readonly lost: Promise<Error>
  readonly #options: RedisLinkOptions
  readonly #publisher: Redis
  readonly #listener: Redis
  #state: 'opening' | 'open' | 'lost' = 'opening'
  #lose: (reason: Error) => void = () => {}
  #check: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined

  constructor(options: RedisLinkOptions) {
    this.#options = options
    const { server, timeoutMs } = options
    const connection = {
      ...server,
      lazyConnect: true,
      retryStrategy: (): null => null,
      enableOfflineQueue: false,
      enableReadyCheck: false,
      disableClientInfo: true,
      protocol: 2 as const,
      connectTimeout: timeoutMs,
    }
    this.#publisher = new Redis(connection)
    this.#listener = new Redis(connection)
    this.lost = new Promise((resolve) => {
      this.#lose = (reason) => {
        this.#state = 'lost'
        clearInterval(this.#check)
        clearTimeout(this.#deadline)
        this.#publisher.disconnect()
        this.#listener.disconnect()
        resolve(reason)
      }
    })
    for (const redis of [this.#publisher, this.#listener]) {
      redis.on('error', (error: Error) => this.#lose(error))
      redis.on('close', () => this.#lose(new Error('the connection has ended')))
    }
    this.#expectEcho()
  }

  /** Whether messages come and go. */
  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Resolves once something has come through both ways, or the link was lost. */
  async open(): Promise<void> {
    // Whatever goes wrong on the way is a reason to be lost.
    const opened = this.#begin().catch((error: Error) => this.#lose(error))
    await Promise.race([opened, this.lost])
  }

  /** Sends the message to whoever listens to the channel. What becomes of it is not known. */
  publish(message: Buffer): void {
    this.#publish(this.#options.channel, message)
  }

  close(): void {
    this.#lose(new Error('closed'))
  }

  async #begin(): Promise<void> {
    const { channel, echoChannel, checkMs, received } = this.#options
    await Promise.all([this.#connect(this.#publisher), this.#connect(this.#listener)])
    const echoed = new Promise<void>((resolve) => {
      this.#listener.on('messageBuffer', (name: Buffer, message: Buffer) => {
        if (name.toString() !== echoChannel) return received(message)
        this.#expectEcho()
        resolve()
      })
    })
    await this.#listener.subscribe(channel, echoChannel)
    this.#publish(echoChannel, empty)
    await echoed
    if (this.#state === 'lost') return
    this.#state = 'open'
    this.#check = setInterval(() => this.#publish(echoChannel, empty), checkMs).unref()
  }

  async #connect(redis: Redis): Promise<void> {
    // The event that comes before the rejection says more than "Connection is closed".
    await redis.connect().catch((error: Error) => this.#lose(error))
  }

  #publish(channel: string, message: Buffer): void {
    this.pendingBytes += message.length
    this.#publisher
      .publish(channel, message)
      .catch((error: Error) => this.#lose(error))
      .finally(() => (this.pendingBytes -= message.length))
  }

  #expectEcho(): void {
    const { timeoutMs } = this.#options
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.#lose(new Error(`nothing came back for ${timeoutMs} ms`)), timeoutMs).unref()
  }
}

const empty = Buffer.alloc(0)
