/** Reads a stream bucket by bucket, from memory where it can, otherwise ahead of its user in pages. */
import type { Bucket } from './bucket.ts'
import type { Log } from './log.ts'
import type { Stream } from './stream.ts'

/** Who reads. */
export interface ReaderUser {
  /** `at` may have more to say. */
  kick(): void
  fail(reason: string, error: unknown): void
}

/** Shared, so that a reader at the head holds nothing. */
const noBuckets: Bucket[] = []

export class Reader {
  readonly #log: Log
  readonly #stream: Stream
  readonly #user: ReaderUser
  #page: Bucket[] = noBuckets
  #nextPage: Bucket[] | undefined = undefined
  #reading = false
  #closed = false

  constructor(log: Log, stream: Stream, user: ReaderUser) {
    this.#log = log
    this.#stream = stream
    this.#user = user
  }

  /** The bucket that holds `seq`; undefined beyond the head, or while it is being read (then its user is kicked). */
  at(seq: number): Bucket | undefined {
    if (seq > this.#stream.headSeq) return undefined
    const cached = this.#stream.cached(seq)
    if (cached) {
      if (this.#page.length > 0) this.#page = noBuckets
      this.#nextPage = undefined
      return cached
    }
    if (!within(this.#page, seq) && this.#nextPage) {
      this.#page = this.#nextPage
      this.#nextPage = undefined
    }
    if (!within(this.#page, seq)) {
      this.#read(seq)
      return undefined
    }
    const last = this.#page.at(-1) as Bucket
    // The next page is on its way while this one is used.
    if (!this.#nextPage && last.lastSeq < this.#stream.headSeq && !this.#stream.cached(last.lastSeq + 1)) this.#read(last.lastSeq + 1)
    return find(this.#page, seq)
  }

  close(): void {
    this.#closed = true
    this.#page = noBuckets
    this.#nextPage = undefined
  }

  #read(seq: number): void {
    if (this.#reading) return
    this.#reading = true
    this.#readFrom(seq).then(
      (buckets) => {
        this.#reading = false
        if (this.#closed || buckets.length === 0) return
        this.#nextPage = buckets
        this.#user.kick()
      },
      (error: unknown) => {
        this.#reading = false
        if (!this.#closed) this.#user.fail('the log cannot be read', error)
      },
    )
  }

  async #readFrom(seq: number): Promise<Bucket[]> {
    const buckets = await this.#log.read(this.#stream, seq)
    // Another node has trimmed what stood here: where the stream begins by now is known before the user is kicked.
    if (!buckets.some(({ firstSeq }) => firstSeq <= seq)) await this.#log.refresh(this.#stream)
    return buckets
  }
}

function within(page: readonly Bucket[], seq: number): boolean {
  return page.length > 0 && (page[0] as Bucket).firstSeq <= seq && (page.at(-1) as Bucket).lastSeq >= seq
}

function find(page: readonly Bucket[], seq: number): Bucket {
  let low = 0
  let high = page.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((page[middle] as Bucket).lastSeq < seq) low = middle + 1
    else high = middle
  }
  return page[low] as Bucket
}
