/** The client: the link, the feeds and the outbox, put together. */
import { addressOf } from './address.ts'
import type { Client, ClientOptions, OutboxView, PublishOptions, Published, Status, Stream, StreamOptions } from './api.ts'
import { bounds as defaults } from './bounds.ts'
import { Choice } from './choice.ts'
import { Credentials } from './credentials.ts'
import { entryOf } from './envelope.ts'
import { asClientError, ClientError } from './errors.ts'
import { HttpHistory } from './history.ts'
import { freshId } from './id.ts'
import { Link } from './link.ts'
import { IndexedDbStore } from './outbox/indexeddb-store.ts'
import { MemoryStore } from './outbox/memory-store.ts'
import { Outbox } from './outbox/outbox.ts'
import type { OutboxStore } from './outbox/store.ts'
import type { Surroundings } from './request.ts'
import { Watched } from './readable.ts'
import { LastUser } from './last-user.ts'
import { Feeds } from './stream/feeds.ts'
import type { Reader } from './stream/reader.ts'
import { LiveStream, type StreamParts } from './stream/stream.ts'
import { browserTabs, type TabPlatform } from './tabs/platform.ts'
import { Tabs } from './tabs/tabs.ts'
import { onWake, platformTimers } from './timers.ts'
import { brokerTransport } from './transport/broker.ts'
import { httpTransport } from './transport/http.ts'
import type { Transport } from './transport/transport.ts'

/**
 * Connects to a server and stays connected: what is published while it is away is kept and sent, and readers catch up.
 * Throws `bad-request` where `url` is not the address of a server.
 */
export function connect(options: ClientOptions): Client {
  return connectWithin(browserTabs(), options)
}

/** For tests, which play the browser. */
export function connectWithin(platform: TabPlatform | undefined, options: ClientOptions): Client {
  return new TidemarkClient(options, options.shareTabs === false ? undefined : platform)
}

class TidemarkClient implements Client {
  readonly status: Watched<Status>
  readonly outbox: OutboxView
  readonly #link: Link
  readonly #feeds: Feeds
  readonly #outbox: Outbox
  readonly #parts: StreamParts
  readonly #streams = new Map<string, LiveStream>()
  readonly #readers = new Set<Reader>()
  readonly #tabs: Tabs | undefined
  #isClosed = false

  constructor(options: ClientOptions, platform: TabPlatform | undefined) {
    const address = addressOf(options.url)
    const bounds = { ...defaults, ...options.bounds }
    const timers = platformTimers()
    // The one place where the SDK speaks to whoever reads the console.
    // oxlint-disable-next-line no-console
    const onWarning = options.onWarning ?? ((warning: ClientError): void => console.warn(`tidemark: ${warning.code}: ${warning.message}`))
    const { codec } = options
    const place = `tidemark ${address.httpUrl} ${options.account ?? ''}`
    const user = new LastUser(place)
    const name = options.name ?? (typeof document === 'undefined' ? 'node' : 'web')
    const owner = freshId()
    const credentials = new Credentials({ address, getToken: options.getToken, clientId: `${name}-${owner}`, timers, bounds })
    const surroundings: Surroundings = { timers, bounds }
    this.#tabs =
      platform &&
      new Tabs({
        ...surroundings,
        platform,
        place,
        owner,
        owners: () => this.#outbox.owners(),
        adopt: (gone) => this.#outbox.adopt(gone),
        retry: () => {
          if (!this.#link.session) this.#link.retry()
        },
        changed: () => this.status.changed(),
        onWarning,
      })
    const transports = transportsOf(options.transport ?? 'auto', surroundings, (transport) => this.#tabs?.wrap(transport) ?? transport)
    this.#link = new Link({
      timers,
      bounds,
      credentials,
      choice: new Choice(transports, timers, bounds.betterTransportMs),
      onWake,
      events: {
        opened: (session, transport) => {
          user.is(credentials.present?.uid ?? this.#link.status.uid)
          this.#feeds.opened(session)
          this.#outbox.attach(session, transport.putsInFlightMax)
          this.status.changed()
        },
        lost: () => {
          this.#feeds.lost()
          this.#outbox.detach()
          this.status.changed()
        },
        entry: (filter, envelope) => this.#feeds.entry(filter, envelope),
        control: (filter, control) => this.#feeds.control(filter, control),
        refused: (filter) => void this.#feeds.refused(filter),
        status: () => this.status.changed(),
      },
    })
    const history = new HttpHistory({ timers, bounds }, this.#link)
    this.#feeds = new Feeds({ history, timers, bounds })
    this.#outbox = new Outbox({
      store: options.outbox ?? storeOf(place, { timers, bounds }, onWarning),
      history,
      timers,
      bounds,
      owner: platform ? owner : 'alone',
      uid: () => user.uid,
      positionOf: (stream) => this.#feeds.positionOf(stream),
      codec,
      packetBytesMax: () => credentials.present?.packetBytesMax,
      entryOf: async (stream, envelope) => await entryOf(stream, envelope, { codec }),
      onWarning,
    })
    this.outbox = this.#outbox.view
    this.status = new Watched(() => this.#status(), onWarning)
    this.#outbox.kind.subscribe(() => this.status.changed())
    this.#outbox.count.subscribe(() => this.status.changed())
    this.#parts = {
      feeds: this.#feeds,
      history,
      timers,
      bounds,
      codec,
      clockOffset: () => this.#link.session?.clockOffset(),
      progressed: () => this.status.changed(),
      call: (listener) => {
        try {
          listener()
        } catch (thrown) {
          onWarning(asClientError(thrown, 'listener'))
        }
      },
      pending: {
        waitingOn: (stream) => this.#outbox.waitingOn(stream),
        onWaiting: (listener) => this.#outbox.onWaiting(listener),
        onSettled: (listener) => this.outbox.onSettled(listener),
      },
      publish: (stream, topic, value, publishing) => this.#publish(stream, topic, value, publishing),
      soon: (call) => void timers.after(0, call),
      readers: this.#readers,
      uid: () => user.uid,
    }
    if (!platform) void this.#adoptAll().catch((thrown: unknown) => onWarning(asClientError(thrown, 'storage-unavailable')))
    this.#link.start()
  }

  stream(name: string, options: StreamOptions = {}): Stream {
    const filter = options.filter ?? '#'
    const key = `${name}/${filter}`
    const stream = this.#streams.get(key) ?? new LiveStream(name, filter, this.#parts)
    this.#streams.set(key, stream)
    return stream
  }

  retry(): void {
    this.#link.retry()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const reader of this.#readers) reader.close(new ClientError('closed'))
    await this.#link.close()
    // Before others are told that this tab is gone, it has written what it had to write.
    await this.#outbox.close()
    this.#tabs?.close()
    this.status.changed()
  }

  /** The outbox's own promise: who does not wait for it is told of a refusal in another way, and needs no handler. */
  #publish(stream: string, topic: string, value: unknown, options: PublishOptions | undefined): Promise<Published> {
    return this.#isClosed ? Promise.reject(new ClientError('closed')) : this.#outbox.publish(stream, topic, value, options)
  }

  /** Who does not share cannot tell whether an owner lives; that both may send a record does no harm. */
  async #adoptAll(): Promise<void> {
    for (const owner of await this.#outbox.owners()) await this.#outbox.adopt(owner)
  }

  #status(): Status {
    const { connection, error, transport, uid } = this.#link.status
    const behind = [...this.#readers].map((reader) =>
      reader.state === 'live' ? 0 : reader.state === 'catching-up' ? reader.behind : undefined,
    )
    return {
      connection,
      error,
      transport,
      uid,
      pending: this.#outbox.count.get(),
      behind: behind.includes(undefined) ? undefined : Math.max(0, ...(behind as number[])),
      outbox: this.#outbox.kind.get(),
      leader: this.#tabs?.isLeader ?? true,
    }
  }
}

function transportsOf(
  kind: 'auto' | 'mqtt' | 'http',
  surroundings: Surroundings,
  wrap: (transport: Transport) => Transport,
): [Transport, Transport?] {
  if (kind === 'mqtt') return [wrap(brokerTransport(surroundings))]
  if (kind === 'http') return [wrap(httpTransport(surroundings))]
  return [wrap(brokerTransport(surroundings)), wrap(httpTransport(surroundings))]
}

function storeOf(name: string, { timers, bounds }: Surroundings, onWarning: (warning: ClientError) => void): OutboxStore {
  if (typeof indexedDB === 'undefined') return new MemoryStore()
  return new IndexedDbStore({ name, timers, openTimeoutMs: bounds.storageOpenTimeoutMs, onWarning })
}
