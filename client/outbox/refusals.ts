/** Publishes that were refused: kept until the app has dismissed them. */
import type { Refused } from '../api.ts'
import type { Bounds } from '../bounds.ts'
import type { Entry } from '../entry.ts'
import { asClientError, ClientError, errorOf } from '../errors.ts'
import { Watched } from '../readable.ts'
import type { Envelope } from '../wire.ts'
import type { Keeper } from './keeper.ts'
import type { Refusal, Waiting } from './store.ts'

export interface RefusalsParts {
  readonly keeper: Keeper
  readonly bounds: Bounds
  readonly entryOf?: (stream: string, envelope: Envelope) => Promise<Entry>
  readonly onWarning: (warning: ClientError) => void
}

export class Refusals {
  readonly list: Watched<readonly Refused[]>
  readonly #parts: RefusalsParts
  /** By their keys in the store. */
  readonly #refused = new Map<number, Refused>()

  constructor(parts: RefusalsParts) {
    this.#parts = parts
    this.list = new Watched<readonly Refused[]>(() => [...this.#refused.values()], parts.onWarning)
  }

  /** Notes that it was refused, and resolves with the error that the app sees. Never rejects. */
  async add(waiting: Waiting, { code, message, details }: ClientError): Promise<ClientError> {
    const refusal: Refusal = { code, message, ...('current' in details && { current: details['current'] }) }
    await this.#try(this.#parts.keeper.replace([{ ...waiting, refusal }]))
    return await this.take(waiting, refusal)
  }

  /** One that is noted. */
  async take({ key, id, stream, topic, createdMs }: Waiting, { code, message, ...details }: Refusal): Promise<ClientError> {
    const error = errorOf(code, 400, message, await this.#shown(stream, details))
    this.#refused.set(key, { id, stream, topic: topic.slice(stream.length + 1), createdMs, held: false, error })
    this.list.changed()
    for (const [oldest, refused] of this.#refused) {
      if (this.#refused.size <= this.#parts.bounds.refusalsMax) break
      this.#parts.onWarning(new ClientError('outbox-full', `too many refused publishes: ${refused.id} is forgotten`, {}, refused.error))
      await this.#remove(oldest)
    }
    return error
  }

  async dismiss(id: string): Promise<void> {
    const keys = [...this.#refused].flatMap(([key, refused]) => (refused.id === id ? [key] : []))
    await Promise.all(keys.map((key) => this.#remove(key)))
  }

  async #remove(key: number): Promise<void> {
    this.#refused.delete(key)
    this.list.changed()
    await this.#try(this.#parts.keeper.remove(key))
  }

  /** What stands in the way of a conditional publish, as an entry. */
  async #shown(stream: string, details: Record<string, unknown>): Promise<Record<string, unknown>> {
    const { entryOf } = this.#parts
    if (!details['current'] || !entryOf) return details
    try {
      return { current: await entryOf(stream, details['current'] as Envelope) }
    } catch (error) {
      this.#parts.onWarning(asClientError(error, 'undecodable'))
      return {}
    }
  }

  async #try(written: Promise<void>): Promise<void> {
    try {
      await written
    } catch (error) {
      this.#parts.onWarning(asClientError(error, 'storage-unavailable'))
    }
  }
}
