/** The streams that a reader hears of, each once. */
import type { Log } from '../log/log.ts'
import type { Follower, Stream } from '../log/stream.ts'
import type { Live, LiveReader } from './live.ts'

export class Following {
  readonly #log: Log
  readonly #live: Live
  readonly #reader: Follower & LiveReader
  #streams: Stream[] = []
  #closed = false

  constructor(log: Log, live: Live, reader: Follower & LiveReader) {
    this.#log = log
    this.#live = live
    this.#reader = reader
  }

  /** From now on the reader hears of the stream. */
  async follow(name: string): Promise<Stream> {
    const stream = await this.#log.follow(name, this.#reader)
    if (!this.#streams.includes(stream)) this.#streams.push(stream)
    this.#live.add(name, this.#reader)
    if (this.#closed) this.#leave(stream)
    return stream
  }

  /** Leaves all but these. */
  keep(streams: ReadonlySet<Stream>): void {
    for (const stream of this.#streams) if (!streams.has(stream)) this.#leave(stream)
  }

  close(): void {
    this.#closed = true
    for (const stream of this.#streams) this.#leave(stream)
  }

  #leave(stream: Stream): void {
    this.#streams = this.#streams.filter((other) => other !== stream)
    this.#log.unfollow(stream, this.#reader)
    this.#live.remove(stream.name, this.#reader)
  }
}
