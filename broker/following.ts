/** The streams that a session hears of, each once. */
import type { Log } from '../log/log.ts'
import type { Follower, Stream } from '../log/stream.ts'
import type { Ephemerals, StreamReader } from './ephemerals.ts'

export class Following {
  readonly #log: Log
  readonly #ephemerals: Ephemerals
  readonly #reader: Follower & StreamReader
  #streams: Stream[] = []
  #closed = false

  constructor(log: Log, ephemerals: Ephemerals, reader: Follower & StreamReader) {
    this.#log = log
    this.#ephemerals = ephemerals
    this.#reader = reader
  }

  /** From now on the reader hears of the stream. */
  async follow(name: string): Promise<Stream> {
    const stream = await this.#log.follow(name, this.#reader)
    if (!this.#streams.includes(stream)) this.#streams.push(stream)
    this.#ephemerals.readers.add(name, this.#reader)
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
    this.#ephemerals.readers.remove(stream.name, this.#reader)
  }
}
