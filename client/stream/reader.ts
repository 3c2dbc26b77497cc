/** A reader of a stream as an async iterator: what the line has queued, decoded and handed out in order. */
import type { EntriesOptions, EntryReader, ReaderState } from '../api.ts'
import type { Bounds } from '../bounds.ts'
import type { Codec } from '../codec.ts'
import type { Entry } from '../entry.ts'
import { entryOf, matcherOf, type ClockOffset } from '../envelope.ts'
import { asClientError, type ClientError } from '../errors.ts'
import { checkPosition } from '../position.ts'
import type { History, Timers } from '../seams.ts'
import type { Envelope } from '../wire.ts'
import type { Feeds } from './feeds.ts'
import { Line, type Item } from './line.ts'
import { Pages } from './pages.ts'

export interface ReaderParts {
  readonly feeds: Feeds
  readonly history: History
  readonly timers: Timers
  readonly bounds: Bounds
  readonly codec: Codec | undefined
  readonly clockOffset: () => ClockOffset | undefined
  /** After each change of where a reader is. */
  readonly progressed: () => void
  /** The app's own functions are called through this: what one throws harms nobody else. */
  readonly call: (listener: () => void) => void
}

/** Filters below the stream in the wire's form: what is followed, and what is read of it. A codec takes its time. */
export interface Topics {
  readonly followed: string
  readonly read: string
}

export interface ReaderOptions extends EntriesOptions {
  /** Everything that there was has been handed out, before the connection stands. */
  readonly onRead?: () => void
}

const named: ReadonlySet<string> = new Set(['now', 'earliest', 'snapshot'])

export class Reader implements EntryReader {
  readonly #parts: ReaderParts
  readonly #stream: string
  readonly #options: ReaderOptions
  readonly #ended: () => void
  #line: Line | undefined
  #pages: Pages | undefined
  #leave: (() => void) | undefined
  #position = ''
  /** The position of what was handed out last: it counts as taken when the app comes back. */
  #handed: string | undefined
  #wake: (() => void) | undefined
  /** Calls of `next` are answered one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #underWay = 0
  #error: ClientError | undefined
  #isOver = false

  /** Throws `bad-position` where `from` is not one. */
  constructor(parts: ReaderParts, stream: string, topics: Topics | Promise<Topics>, options: ReaderOptions, ended: () => void) {
    this.#parts = parts
    this.#stream = stream
    this.#options = options
    this.#ended = ended
    const { from = 'now' } = options
    if (!named.has(from)) this.#position = checkPosition(from)
    options.signal?.addEventListener('abort', this.#abort, { once: true })
    if (options.signal?.aborted) queueMicrotask(this.#abort)
    else if (!(topics instanceof Promise)) this.#start(topics)
    else {
      topics.then(
        (known) => this.#start(known),
        (thrown: unknown) => this.close(asClientError(thrown, 'bad-value')),
      )
    }
  }

  get position(): string {
    return this.#position
  }

  get state(): ReaderState {
    return this.#isOver || this.#error ? 'closed' : (this.#line?.state ?? 'waiting')
  }

  /** Entries of the stream that have not reached the queue; undefined while that is not known. */
  get behind(): number | undefined {
    return this.#line?.behind
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Entry, undefined>> {
    if (this.#underWay > 0) return this.#queued(this.#turn.then(() => this.#next()))
    this.#confirm()
    const ready = this.#ready()
    // Of a long history the next one is there nearly every time: then nothing is waited for.
    if (ready && !(ready instanceof Promise)) return Promise.resolve({ done: false, value: this.#handOut(ready) })
    return this.#queued(this.#whenReady(ready))
  }

  return(): Promise<IteratorResult<Entry, undefined>> {
    this.#confirm()
    this.#end()
    return Promise.resolve({ done: true, value: undefined })
  }

  /** Ends it from outside: the app gets what is queued, and then this error. */
  close(error: ClientError): void {
    this.#pages?.stop()
    if (this.#line) return this.#told(() => this.#line?.dispatch('refused', error))
    this.#error ??= error
    this.#wakeUp()
  }

  #start({ followed, read }: Topics): void {
    if (this.#isOver || this.#error) return
    const { feeds, bounds } = this.#parts
    const { feed, leave } = feeds.listen(this.#stream, followed, {
      opened: () => this.#told((line) => line.dispatch('opened')),
      joined: () => this.#told((line) => line.dispatch('joined')),
      entry: (envelope) => this.#told((line) => line.dispatch('entry', envelope)),
      at: (pos) => this.#told((line) => line.dispatch('at', pos)),
      erased: (pos) => this.#told((line) => line.dispatch('gone', 'erased', pos, pos)),
      refused: (error) => this.#told((line) => line.dispatch('refused', error)),
      lost: () => {
        this.#pages?.stop()
        this.#told((line) => line.dispatch('lost'))
      },
    })
    this.#leave = leave
    const { from = 'now', onResetGo = 'snapshot' } = this.#options
    const matches = matcherOf(this.#stream, read)
    this.#line = new Line(feed, { from, onResetGo, matches, queuedEntriesMax: bounds.queuedEntriesMax })
    const moved = (): void => this.#told(() => undefined)
    this.#pages = new Pages(this.#line, { ...this.#parts, stream: this.#stream, topic: read, moved })
    this.#told((line) => (feeds.hasSession ? line.dispatch('opened') : undefined))
  }

  /** Calls that come meanwhile wait for it. */
  #queued(answer: Promise<IteratorResult<Entry, undefined>>): Promise<IteratorResult<Entry, undefined>> {
    const done = (): void => void this.#underWay--
    this.#underWay++
    this.#turn = answer.then(done, done)
    return answer
  }

  #next(): Promise<IteratorResult<Entry, undefined>> {
    this.#confirm()
    return this.#whenReady(this.#ready())
  }

  async #whenReady(begun: Entry | Promise<Entry> | undefined): Promise<IteratorResult<Entry, undefined>> {
    for (let ready = begun; ; ready = this.#ready()) {
      const entry = ready && (await ready)
      if (this.#isOver) return { done: true, value: undefined }
      if (entry) return { done: false, value: this.#handOut(entry) }
      const error = this.#error ?? this.#line?.error
      if (error) {
        this.#end()
        throw error
      }
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** The first entry in the queue; what stands before it takes effect. */
  #ready(): Entry | Promise<Entry> | undefined {
    for (;;) {
      const item = this.#line?.queue.shift()
      if (!item) return undefined
      if (this.#line?.wanted) this.#drained(this.#line)
      if (item.kind === 'entry') return this.#decoded(item.envelope, item.snapshot)
      this.#pass(item)
    }
  }

  #pass(item: Exclude<Item, { kind: 'entry' }>): void {
    const { onReset, onProgress, onRead } = this.#options
    switch (item.kind) {
      case 'at':
        this.#position = item.pos
        return
      case 'reset':
        if (onReset) this.#parts.call(() => onReset({ reason: item.reason, first: item.first, head: item.head }))
        return
      case 'read':
        if (onRead) this.#parts.call(onRead)
        return
      case 'live':
        if (onProgress) this.#parts.call(() => onProgress({ behind: 0, live: true }))
        return
      default:
        item satisfies never
    }
  }

  #decoded(envelope: Envelope, snapshot: boolean): Entry | Promise<Entry> {
    const { codec, clockOffset } = this.#parts
    return entryOf(this.#stream, envelope, { codec, clockOffset: clockOffset(), snapshot })
  }

  #handOut(entry: Entry): Entry {
    if (entry.pos !== '') this.#handed = entry.pos
    return entry
  }

  /** The app has come back: it has taken what it got. */
  #confirm(): void {
    if (this.#handed !== undefined) this.#position = this.#handed
    this.#handed = undefined
  }

  #drained(line: Line): void {
    line.dispatch('drained')
    this.#pages?.work()
  }

  /** Something has happened; what follows from it in any case. */
  #told(what: (line: Line) => void): void {
    const line = this.#line
    if (this.#isOver || !line) return
    const before = line.state
    what(line)
    const { state, behind } = line
    const { onProgress } = this.#options
    if (onProgress && behind !== undefined && (state === 'catching-up' || state === 'reset'))
      this.#parts.call(() => onProgress({ behind, live: false }))
    if (before !== state || state !== 'live') this.#parts.progressed()
    this.#pages?.work()
    this.#wakeUp()
  }

  #wakeUp(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  readonly #abort = (): void => this.#end()

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#pages?.stop()
    this.#line?.dispatch('left')
    this.#leave?.()
    this.#options.signal?.removeEventListener('abort', this.#abort)
    this.#wakeUp()
    this.#ended()
    this.#parts.progressed()
  }
}
