/** Looks at the heads of followed streams where other nodes append too, since hints may be lost: spread over time, and not too many at once. */
import type { Stream } from './stream.ts'

export interface HeadPollOptions {
  /** Each followed stream is looked at once in this time; more seldom where the store is too slow for that. */
  readonly roundMs: number
  readonly inFlightMax: number
  readonly streams: ReadonlyMap<string, Stream>
  /** Never rejects. */
  readonly look: (stream: Stream) => Promise<void>
}

export class HeadPoll {
  readonly #options: HeadPollOptions
  readonly #steps: number
  readonly #timer: NodeJS.Timeout
  /** Streams that this round has not come to yet. */
  #waiting: Stream[] = []
  #perStep = 0
  #step: number
  #inFlight = 0

  constructor(options: HeadPollOptions) {
    this.#options = options
    this.#steps = Math.min(stepsPerRound, options.roundMs)
    this.#step = this.#steps
    this.#timer = setInterval(() => this.#next(), options.roundMs / this.#steps).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #next(): void {
    if (++this.#step >= this.#steps && this.#waiting.length === 0) this.#beginRound()
    for (let left = this.#perStep; left > 0 && this.#inFlight < this.#options.inFlightMax; left--) {
      const stream = this.#waiting.pop()
      if (!stream) return
      if (stream.followers.size > 0) void this.#look(stream)
    }
  }

  #beginRound(): void {
    this.#step = 0
    for (const stream of this.#options.streams.values()) if (stream.loaded && stream.followers.size > 0) this.#waiting.push(stream)
    this.#perStep = Math.ceil(this.#waiting.length / this.#steps)
  }

  async #look(stream: Stream): Promise<void> {
    this.#inFlight++
    await this.#options.look(stream)
    this.#inFlight--
  }
}

const stepsPerRound = 20
