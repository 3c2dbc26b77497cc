/** One reader of the queue: it asks for some messages, hands them to the log, deletes what the log has, and asks for the next. */
import { setTimeout as pause } from 'node:timers/promises'
import type { AwsIotConfig } from '../../auth/aws-iot/config.ts'
import { asSyncError, type SyncError } from '../../protocol/errors.ts'
import type { Clock } from '../../seams/clock.ts'
import {
  awsLeaveMsMax,
  awsQueueExtendMs,
  awsQueueHoldSeconds,
  awsQueueWaitSeconds,
  awsRetryMsMax,
  awsRetryMsMin,
} from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import type { Intake } from './intake.ts'
import { publishedBy } from './queue-message.ts'
import type { Queue, QueueMessage } from './queue.ts'

export interface QueueWorkerParts {
  readonly config: Pick<AwsIotConfig, 'root' | 'bridgeName'>
  readonly queue: Queue
  readonly intake: Intake
  readonly clock: Clock
  readonly logger: Logger
  /** How often what is in hand is held anew. Default `awsQueueExtendMs`. */
  readonly extendMs?: number
}

export class QueueWorker {
  received = 0
  /** Of those received, what had come before. */
  repeated = 0
  deadLetters = 0
  /** How long the oldest message of the last answer had waited; 0 after an answer without any. */
  lagMs = 0
  readonly #parts: QueueWorkerParts
  readonly #asking = new AbortController()
  /** Ends what waits for a store. */
  readonly #taking = new AbortController()
  #isOpen = false
  #life: Promise<void> | undefined

  constructor(parts: QueueWorkerParts) {
    this.#parts = parts
  }

  /** Whether SQS has answered the last question. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  start(): void {
    this.#life ??= this.#live()
  }

  /** Asks for nothing more, and finishes what is in hand where that is soon done; the rest comes again, to whoever asks. */
  async close(): Promise<void> {
    this.#asking.abort()
    const late = setTimeout(() => this.#taking.abort(), awsLeaveMsMax)
    await this.#life
    clearTimeout(late)
    this.#isOpen = false
  }

  async #live(): Promise<void> {
    const { queue, logger } = this.#parts
    const { signal } = this.#asking
    for (let failures = 0; !signal.aborted;) {
      try {
        // The first answer comes at once: it tells whether there is a queue.
        const messages = await queue.receive(this.#isOpen ? awsQueueWaitSeconds : 0, signal)
        if (!this.#isOpen) logger.info({}, 'the queue is read')
        this.#isOpen = true
        failures = 0
        await this.#take(messages)
      } catch (thrown) {
        if (signal.aborted) return
        const { code, message } = asSyncError(thrown)
        this.#isOpen = false
        failures++
        logger.warn({ code, reason: message }, message)
        const ms = Math.min(awsRetryMsMax, awsRetryMsMin * 2 ** Math.min(failures, 20)) * (0.5 + Math.random() / 2)
        await pause(ms, undefined, { signal }).catch(() => {}) // Closed meanwhile: the loop sees it.
      }
    }
  }

  /** Resolves when none of them is in hand any more. */
  async #take(messages: readonly QueueMessage[]): Promise<void> {
    const { clock, queue, extendMs = awsQueueExtendMs } = this.#parts
    this.received += messages.length
    this.repeated += messages.filter(({ times }) => times > 1).length
    this.lagMs = Math.max(0, ...messages.map(({ sentMs }) => clock.now() - sentMs))
    const inHand = new Set(messages)
    const holding = setInterval(() => void this.#tried(queue.hold([...inHand], awsQueueHoldSeconds)), extendMs)
    const done: QueueMessage[] = []
    // All at once, so that they share commits.
    await Promise.all(
      messages.map(async (message) => {
        if (await this.#tried(this.#one(message))) done.push(message)
        else if (!this.#taking.signal.aborted) inHand.delete(message)
      }),
    )
    clearInterval(holding)
    await this.#tried(queue.delete(done))
    // Given up because the server stops: another one may have them at once.
    const left = [...inHand].filter((message) => !done.includes(message))
    await this.#tried(queue.hold(left, 0))
  }

  /** Resolves when it may be deleted. Rejects where it must come again. */
  async #one(message: QueueMessage): Promise<void> {
    const { config, intake, queue, logger } = this.#parts
    let reason: SyncError | undefined
    try {
      const published = publishedBy(message.body, config)
      if (!published) return
      reason = await intake.take({ ...published, id: message.id }, this.#taking.signal)
    } catch (thrown) {
      this.#taking.signal.throwIfAborted()
      reason = asSyncError(thrown)
      logger.warn({ message: message.id, code: reason.code, reason: reason.message }, `a dead letter: ${reason.message}`)
    }
    if (!reason) return
    await queue.putAside(message, reason)
    this.deadLetters++
  }

  /** Whether it succeeded. What fails here is done again when the message comes again. */
  async #tried(work: Promise<void>): Promise<boolean> {
    try {
      await work
      return true
    } catch (thrown) {
      if (this.#taking.signal.aborted) return false
      const { code, message } = asSyncError(thrown)
      this.#parts.logger.warn({ code, reason: message }, message)
      return false
    }
  }
}
