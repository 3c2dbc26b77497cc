/** Which filters are followed, and by whom: the readers of one filter share one subscription, and each session follows them all. */
import type { Bounds } from '../bounds.ts'
import { asClientError, ClientError } from '../errors.ts'
import type { History, Timers } from '../seams.ts'
import type { Session } from '../transport/transport.ts'
import type { Control, Envelope } from '../wire.ts'
import { Feed, type FeedListener } from './feed.ts'

export interface FeedsParts {
  readonly history: History
  readonly timers: Timers
  readonly bounds: Pick<Bounds, 'recentEntriesMax' | 'refusedRetryMs'>
}

export class Feeds {
  readonly #parts: FeedsParts
  readonly #feeds = new Map<string, Feed>()
  /** Newest position seen per stream that is followed, for who publishes [P-9.9]. */
  readonly #positions = new Map<string, string>()
  /** Filters that are refused for now, and end of the pause before each is asked for again. */
  readonly #pauses = new Map<string, () => void>()
  #session: Session | undefined

  constructor(parts: FeedsParts) {
    this.#parts = parts
  }

  /** Listens to a filter below a stream; the answer ends it, and the last one ends the subscription. */
  listen(stream: string, below: string, listener: FeedListener): { readonly feed: Feed; readonly leave: () => void } {
    const filter = `${stream}/${below}`
    let feed = this.#feeds.get(filter)
    const isNew = feed === undefined
    feed ??= new Feed(stream, below, this.#parts.bounds.recentEntriesMax)
    feed.listeners.add(listener)
    if (isNew) {
      this.#feeds.set(filter, feed)
      this.#session?.follow(filter)
    }
    return { feed, leave: () => this.#leave(feed, listener) }
  }

  get hasSession(): boolean {
    return this.#session !== undefined
  }

  positionOf(stream: string): string | undefined {
    return this.#positions.get(stream)
  }

  opened(session: Session): void {
    this.#session = session
    for (const feed of this.#feeds.values()) {
      session.follow(feed.filter)
      feed.open()
    }
  }

  lost(): void {
    this.#session = undefined
    for (const cancel of this.#pauses.values()) cancel()
    this.#pauses.clear()
    // They grow old from here on.
    this.#positions.clear()
    for (const feed of this.#feeds.values()) feed.lose()
  }

  entry(filter: string, envelope: Envelope): void {
    const feed = this.#feeds.get(filter)
    if (!feed) return
    envelope.arrivedMs = this.#parts.timers.wallMs()
    if (envelope.pos !== undefined) this.#positions.set(feed.stream, envelope.pos)
    feed.entry(envelope)
  }

  control(filter: string, control: Control): void {
    const feed = this.#feeds.get(filter)
    if (!feed) return
    if (control.ctl === 'at') {
      this.#positions.set(feed.stream, control.head)
      feed.at(control.pos)
    } else if (control.ctl === 'reset') {
      this.#followAgain(feed)
    } else if (control.reason === 'erased') {
      feed.lose()
      feed.erase(control.pos)
      this.#followAgain(feed)
    } else {
      const { reason, pos } = control
      const why = reason === 'withdrawn' ? 'the membership has been withdrawn' : 'the token does not cover it any more'
      this.#end(feed, new ClientError('forbidden', `${feed.filter}: ${why}`, { reason, pos }))
    }
  }

  /** The server does not say why; the history does. */
  async refused(filter: string): Promise<void> {
    const feed = this.#feeds.get(filter)
    if (!feed) return
    try {
      await this.#parts.history.entries(feed.stream, { limit: 0, topic: feed.below })
    } catch (thrown) {
      const error = asClientError(thrown, 'network')
      if (error.retry === 'no') return this.#end(feed, error)
    }
    // Granted over HTTP: too many subscriptions, or a fault that will pass.
    if (!this.#session) return // The next session is asked anyway.
    this.#pauses.get(filter)?.()
    const again = this.#parts.timers.after(this.#parts.bounds.refusedRetryMs, () => {
      this.#pauses.delete(filter)
      if (this.#feeds.get(filter) === feed && !feed.joined) this.#followAgain(feed)
    })
    this.#pauses.set(filter, again)
  }

  #followAgain(feed: Feed): void {
    feed.lose()
    if (!this.#session) return
    this.#session.follow(feed.filter)
    feed.open()
  }

  #end(feed: Feed, error: ClientError): void {
    this.#remove(feed)
    feed.refuse(error)
  }

  #leave(feed: Feed, listener: FeedListener): void {
    feed.listeners.delete(listener)
    if (feed.listeners.size === 0 && this.#feeds.get(feed.filter) === feed) this.#remove(feed)
  }

  #remove(feed: Feed): void {
    this.#feeds.delete(feed.filter)
    this.#session?.unfollow(feed.filter)
    if (![...this.#feeds.values()].some(({ stream }) => stream === feed.stream)) this.#positions.delete(feed.stream)
  }
}
