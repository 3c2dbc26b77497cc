/**
 * Looks at the heads of followed streams where other nodes append too, since hints may be lost: many streams with one question,
 * one question after the other, spread over time.
 */
import type { Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import type { Store } from './stores/store.ts'
import type { Stream } from './stream.ts'

export interface HeadPollOptions {
  readonly store: Pick<Store, 'moved'>
  /** Each followed stream is asked about once in `headPollMs`, more seldom where the store is too slow for that. */
  readonly limits: Pick<Limits, 'headPollMs' | 'headsPerQuestionMax' | 'headReadsMax'>
  readonly logger: Logger
  readonly streams: ReadonlyMap<string, Stream>
  /** Reads what is new in a stream. Never rejects. */
  readonly look: (stream: Stream) => Promise<void>
}

export class HeadPoll {
  readonly #options: HeadPollOptions
  /** Followed streams that this round has not come to yet. */
  #waiting: Stream[] = []
  #perQuestion = 0
  #pauseMs = 0
  #timer: NodeJS.Timeout | undefined
  #failing = false
  #stopped = false

  constructor(options: HeadPollOptions) {
    this.#options = options
    this.#beginRound()
    this.#next(performance.now())
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** The next question comes a pause after the last one began, but not before that has been answered. */
  #next(lastMs: number): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => void this.#ask(), Math.max(0, lastMs + this.#pauseMs - performance.now())).unref()
  }

  async #ask(): Promise<void> {
    const askedMs = performance.now()
    if (this.#waiting.length === 0) this.#beginRound()
    const asked = this.#waiting.splice(-this.#perQuestion, this.#perQuestion).filter(({ followers }) => followers.size > 0)
    if (asked.length > 0) await this.#askAbout(asked, askedMs)
    this.#next(askedMs)
  }

  #beginRound(): void {
    const { streams, limits } = this.#options
    for (const stream of streams.values()) if (stream.loaded && stream.followers.size > 0) this.#waiting.push(stream)
    const questions = Math.max(1, Math.ceil(this.#waiting.length / limits.headsPerQuestionMax))
    this.#perQuestion = Math.ceil(this.#waiting.length / questions)
    this.#pauseMs = limits.headPollMs / questions
  }

  async #askAbout(asked: readonly Stream[], askedMs: number): Promise<void> {
    const { store, logger } = this.#options
    try {
      const names = new Set(
        await store.moved(asked.map(({ name, headSeq, headSeenMs }) => ({ stream: name, seq: headSeq, seenMs: headSeenMs }))),
      )
      this.#failing = false
      for (const stream of asked) if (!names.has(stream.name)) stream.headSeenMs = Math.max(stream.headSeenMs, askedMs)
      await this.#read(asked.filter(({ name }) => names.has(name)))
    } catch (error) {
      if (!this.#failing && !this.#stopped)
        logger.warn({ error }, 'the heads of followed streams could not be read; they are asked for again')
      this.#failing = true
    }
  }

  async #read(moved: Stream[]): Promise<void> {
    const { look, limits } = this.#options
    const readOn = async (): Promise<void> => {
      for (let stream = moved.pop(); stream && !this.#stopped; stream = moved.pop()) await look(stream)
    }
    await Promise.all(Array.from({ length: Math.min(limits.headReadsMax, moved.length) }, readOn))
  }
}
