/** One stream as the app sees it. */
import type {
  EntriesOptions,
  EntryReader,
  HistoryOptions,
  HistoryPage,
  Published,
  PublishOptions,
  StateMap,
  StateOptions,
  Stream,
} from '../api.ts'
import type { Entry } from '../entry.ts'
import { entryOf, envelopeTopicOf, matcherBelow } from '../envelope.ts'
import { ClientError } from '../errors.ts'
import type { Waiting } from '../outbox/store.ts'
import type { EntriesQuery } from '../seams.ts'
import type { Envelope } from '../wire.ts'
import { Reader, type ReaderOptions, type ReaderParts, type Topics } from './reader.ts'
import { LiveState, type PendingSource } from './state-map.ts'

export interface StreamParts extends ReaderParts {
  readonly pending: PendingSource
  readonly publish: (stream: string, topic: string, value: unknown, options: PublishOptions | undefined) => Promise<Published>
  readonly soon: (call: () => void) => void
  /** The readers that are open, for the status and for closing. */
  readonly readers: Set<Reader>
  /** Who publishes from here, for what is shown in advance. */
  readonly uid: () => string | undefined
}

export class LiveStream implements Stream {
  readonly name: string
  readonly #parts: StreamParts
  readonly #filter: string
  readonly #states = new Map<string, { readonly map: LiveState; holders: number }>()

  constructor(name: string, filter: string, parts: StreamParts) {
    this.name = name
    this.#filter = filter
    this.#parts = parts
  }

  entries(options: EntriesOptions = {}): EntryReader {
    return this.#read(options.topic, options, this.#parts.progressed)
  }

  publish(topic: string, value: unknown, options?: PublishOptions): Promise<Published> {
    return this.#parts.publish(this.name, topic, value, options)
  }

  state(prefix = '', { optimistic = true }: StateOptions = {}): StateMap {
    if (prefix !== '' && !prefix.endsWith('/'))
      throw new ClientError('bad-filter', `the prefix ${JSON.stringify(prefix)} does not end with /`)
    const key = `${optimistic ? '+' : '-'}${prefix}`
    const held = this.#states.get(key)
    if (held) {
      held.holders++
      return held.map
    }
    const map = this.#openState(prefix, optimistic, () => {
      const state = this.#states.get(key)
      if (!state || --state.holders > 0) return false
      return this.#states.delete(key)
    })
    this.#states.set(key, { map, holders: 1 })
    return map
  }

  async history(options: HistoryOptions = {}): Promise<HistoryPage> {
    const { codec, history } = this.#parts
    const query: EntriesQuery = {
      topic: (await this.#topics(options.topic ?? this.#filter)).read,
      ...pick(options, 'after', 'before', 'reverse', 'limit'),
      ...(options.sinceMs === undefined ? {} : { since: options.sinceMs }),
      ...(options.untilMs === undefined ? {} : { until: options.untilMs }),
    }
    const page = await history.entries(this.name, query, options.signal)
    return { ...page, entries: await Promise.all(page.entries.map(async (envelope) => await entryOf(this.name, envelope, { codec }))) }
  }

  #openState(prefix: string, optimistic: boolean, release: () => boolean): LiveState {
    const parts = this.#parts
    // All of it is what may be followed of it.
    const topic = prefix === '' ? this.#filter : `${prefix}#`
    // `cards/#` matches `cards` as well [MQTT-4.7.1-2], which is not below `cards/`.
    const matches = prefix === '' ? matcherBelow(topic) : (below: string): boolean => below.startsWith(prefix)
    return new LiveState({
      stream: this.name,
      stateEntriesMax: parts.bounds.stateEntriesMax,
      read: ({ onReset, onRead, onLive, onState }) => {
        const progressed = (): void => {
          onState()
          parts.progressed()
        }
        const onProgress = ({ live }: { live: boolean }): void => {
          if (live) onLive()
        }
        return this.#read(topic, { from: 'snapshot', onReset, onRead, onProgress }, progressed)
      },
      pending: optimistic ? parts.pending : undefined,
      matches,
      preview: (waiting) => this.#preview(waiting),
      soon: parts.soon,
      call: parts.call,
      release,
    })
  }

  #read(topic: string | undefined, options: ReaderOptions, progressed: () => void): Reader {
    const { readers } = this.#parts
    const reader = new Reader({ ...this.#parts, progressed }, this.name, this.#topics(topic ?? this.#filter), options, () => {
      readers.delete(reader)
    })
    readers.add(reader)
    return reader
  }

  #topics(read: string): Topics | Promise<Topics> {
    const { codec } = this.#parts
    if (!codec) return { followed: this.#filter, read }
    const both = [codec.topic(this.name, this.#filter), codec.topic(this.name, read)] as const
    return Promise.all(both).then(([followed, wire]) => ({ followed, read: wire }))
  }

  async #preview(waiting: Waiting): Promise<Entry> {
    const { body } = waiting
    const envelope: Envelope = {
      id: waiting.id,
      ts: waiting.createdMs,
      from: waiting.uid ?? this.#parts.uid() ?? '',
      client: '',
      topic: envelopeTopicOf(this.name, waiting.topic),
      retain: waiting.retain,
      ...('deleted' in body ? { deleted: true } : body),
    }
    return { ...(await entryOf(this.name, envelope, { codec: this.#parts.codec })), pending: true }
  }
}

function pick<T extends object, K extends keyof T>(from: T, ...names: K[]): Pick<T, K> {
  return Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]])) as Pick<T, K>
}
