/**
 * What is sent to AWS IoT Core over one connection, in order, within its rate: answers first, then envelopes, then copies. What was not
 * acknowledged when a connection ended is sent again by the next.
 */
import type { MqttClient } from 'mqtt'
import { awsAckMsMax, awsInFlightMax, awsOwedMax, awsPublishesPerSecondMax } from '../../seams/limits.ts'
import type { AwsConnection } from './connection.ts'

export interface Outgoing {
  readonly topic: string
  readonly payload: Buffer | string
  /** A copy goes at 0: it is no publish of a client, and that is how the bridge knows. */
  readonly qos: 0 | 1
  /** Whose readers must be told where it stands if this is dropped; undefined for an answer. */
  readonly stream: string | undefined
}

interface Waiting extends Outgoing {
  readonly sinceMs: number
}

export interface LaneParts {
  readonly bytesMax: number
  /** So many of its messages were dropped, and there is room again. */
  readonly behind: (streams: readonly string[]) => void
  /** Default `awsAckMsMax`. */
  readonly ackMs?: number
}

/** The bucket holds a quarter of a second. */
const burst = awsPublishesPerSecondMax / 4

export class Lane {
  connection: AwsConnection | undefined
  sent = 0
  dropped = 0
  throttled = 0
  readonly #parts: LaneParts
  #client: MqttClient | undefined
  #answers: Waiting[] = []
  #envelopes: Waiting[] = []
  #copies: Waiting[] = []
  /** What has no PUBACK yet, and since when it has been sent; the oldest first. */
  readonly #open = new Map<Waiting, number>()
  #bytes = 0
  readonly #owed = new Set<string>()
  readonly #drained: (() => void)[] = []
  #allowance = burst
  #refilledMs = performance.now()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: LaneParts) {
    this.#parts = parts
  }

  get messages(): number {
    return this.#waiting + this.#open.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** How long the oldest message has been waiting. */
  get lagMs(): number {
    const oldest = [this.#open.keys().next().value, this.#answers[0], this.#envelopes[0], this.#copies[0]].flatMap((one) =>
      one ? [one.sinceMs] : [],
    )
    return oldest.length === 0 ? 0 : performance.now() - Math.min(...oldest)
  }

  send(message: Outgoing): void {
    const bytes = message.payload.length
    if (this.#bytes + bytes > this.#parts.bytesMax) {
      this.dropped++
      if (message.stream !== undefined && this.#owed.size < awsOwedMax) this.#owed.add(message.stream)
      return
    }
    this.#bytes += bytes
    const waiting = { ...message, sinceMs: performance.now() }
    this.#queueOf(message).push(waiting)
    this.#pump()
  }

  opened(client: MqttClient): void {
    this.#client = client
    this.#pump()
  }

  lost(): void {
    this.#client = undefined
    const again = [...this.#open.keys()]
    this.#open.clear()
    for (const message of again.toReversed()) this.#queueOf(message).unshift(message)
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#tellDrained()
  }

  /** Ends the connection where AWS acknowledges nothing: what is throttled it discards without a word, and only another connection sends it again. */
  check(): void {
    const { ackMs = awsAckMsMax } = this.#parts
    const [oldestMs] = this.#open.values()
    if (oldestMs !== undefined && performance.now() - oldestMs > ackMs) this.#client?.stream.destroy()
  }

  /** Resolves when nothing waits any more, or the connection is lost. */
  async drained(): Promise<void> {
    if (this.#client && this.messages > 0) await new Promise<void>((resolve) => this.#drained.push(resolve))
  }

  #pump(): void {
    const client = this.#client
    if (!client) return
    while (this.#open.size < awsInFlightMax && this.#waiting > 0) {
      if (!this.#mayPublish()) return
      const message = (this.#answers.shift() ?? this.#envelopes.shift() ?? this.#copies.shift()) as Waiting
      this.#open.set(message, performance.now())
      client.publish(message.topic, message.payload, { qos: message.qos }, (error) => {
        // The connection is over: `lost` takes back all of them at once, so that they keep their order.
        if (error || this.#client !== client) return
        this.#open.delete(message)
        this.sent++
        this.#bytes -= message.payload.length
        this.#relieve()
        this.#pump()
        if (this.messages === 0) this.#tellDrained()
      })
    }
  }

  #tellDrained(): void {
    for (const tell of this.#drained.splice(0)) tell()
  }

  get #waiting(): number {
    return this.#answers.length + this.#envelopes.length + this.#copies.length
  }

  #queueOf({ stream, qos }: Outgoing): Waiting[] {
    if (stream === undefined) return this.#answers
    return qos === 1 ? this.#envelopes : this.#copies
  }

  #mayPublish(): boolean {
    const nowMs = performance.now()
    this.#allowance = Math.min(burst, this.#allowance + ((nowMs - this.#refilledMs) * awsPublishesPerSecondMax) / 1000)
    this.#refilledMs = nowMs
    if (this.#allowance >= 1) {
      this.#allowance--
      return true
    }
    if (!this.#timer) this.throttled++
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined
        this.#pump()
      },
      Math.ceil(1000 / awsPublishesPerSecondMax),
    )
    return false
  }

  #relieve(): void {
    if (this.#owed.size === 0 || this.#bytes > this.#parts.bytesMax / 2) return
    const streams = [...this.#owed]
    this.#owed.clear()
    this.#parts.behind(streams)
  }
}
