/** Who reads what over AWS IoT Core, from the events that it tells of subscriptions: late, doubled and out of order as they are. */
import { parseStreamFilter } from '../../protocol/filters.ts'
import type { TopicRules } from '../../protocol/topics.ts'
import { awsReadersMax } from '../../seams/limits.ts'

export interface FollowedFilter {
  readonly filter: string
  readonly stream: string
  readonly clients: Set<string>
  /** When its readers were last told where the stream stands. */
  toldMs: number
}

export class Readers {
  readonly #root: string
  readonly #rules: TopicRules
  readonly #clients = new Map<string, Set<string>>()
  readonly #filters = new Map<string, FollowedFilter>()

  constructor(root: string, rules: TopicRules) {
    this.#root = root
    this.#rules = rules
  }

  get filters(): number {
    return this.#filters.size
  }

  /** Takes a lifecycle event; what is none, or of no sync filter, is passed over. */
  heard(topic: string, payload: Buffer, nowMs: number): void {
    const event = eventOf(payload)
    if (!event) return
    const { clientId, topics } = event
    if (topic.startsWith('$aws/events/presence/disconnected/')) return this.#gone(clientId)
    for (const text of topics) {
      if (!text.startsWith(`${this.#root}/sync/`)) continue
      const filter = text.slice(`${this.#root}/sync/`.length)
      if (topic.startsWith('$aws/events/subscriptions/subscribed/')) this.#follow(clientId, filter, nowMs)
      else this.#unfollow(clientId, filter)
    }
  }

  /** Filters whose readers have heard nothing for so long; from now on they count as told. */
  *due(nowMs: number, intervalMs: number): Generator<FollowedFilter> {
    for (const followed of this.#filters.values()) {
      if (nowMs - followed.toldMs < intervalMs) continue
      followed.toldMs = nowMs
      yield followed
    }
  }

  /** Filters of a stream. */
  of(streams: readonly string[]): FollowedFilter[] {
    const wanted = new Set(streams)
    return [...this.#filters.values()].filter(({ stream }) => wanted.has(stream))
  }

  /** Envelopes went to the whole stream: who reads all of it need not be told. */
  sent(stream: string, nowMs: number): void {
    const whole = this.#filters.get(`${stream}/#`)
    if (whole) whole.toldMs = nowMs
  }

  #follow(clientId: string, filter: string, nowMs: number): void {
    let filters = this.#clients.get(clientId)
    if (!filters) {
      if (this.#clients.size >= awsReadersMax) return
      filters = new Set()
      this.#clients.set(clientId, filters)
    }
    let followed = this.#filters.get(filter)
    if (!followed) {
      const stream = this.#streamOf(filter)
      if (stream === undefined) return
      followed = { filter, stream, clients: new Set(), toldMs: nowMs }
      this.#filters.set(filter, followed)
    }
    filters.add(filter)
    followed.clients.add(clientId)
  }

  #unfollow(clientId: string, filter: string): void {
    const filters = this.#clients.get(clientId)
    filters?.delete(filter)
    if (filters?.size === 0) this.#clients.delete(clientId)
    const followed = this.#filters.get(filter)
    followed?.clients.delete(clientId)
    if (followed?.clients.size === 0) this.#filters.delete(filter)
  }

  #gone(clientId: string): void {
    for (const filter of this.#clients.get(clientId) ?? []) this.#unfollow(clientId, filter)
    this.#clients.delete(clientId)
  }

  #streamOf(filter: string): string | undefined {
    try {
      return parseStreamFilter(filter, this.#rules).stream
    } catch {
      return undefined // AWS knows no names: nothing is ever published that matches it.
    }
  }
}

interface LifecycleEvent {
  readonly clientId: string
  readonly topics: readonly string[]
}

function eventOf(payload: Buffer): LifecycleEvent | undefined {
  try {
    const { clientId, topics = [] } = JSON.parse(payload.toString()) as Partial<LifecycleEvent>
    const isEvent = typeof clientId === 'string' && Array.isArray(topics) && topics.every((topic) => typeof topic === 'string')
    return isEvent ? { clientId, topics } : undefined
  } catch {
    return undefined // Not from AWS's own events.
  }
}
