/** The SUBSCRIBE or UNSUBSCRIBE of a connection that is under way; there is one at a time. */
import { asSyncError, SyncError } from '../protocol/errors.ts'
import type { Link } from './link.ts'
import { encodeSuback, readSubscribe, readUnsubscribe, type FilterRequest } from './packets.ts'

const refusedCode = 0x80

export class Subscribing {
  readonly #link: Link
  #requests: readonly FilterRequest[] = []
  #packetId = 0
  readonly #granted = new Map<string, number>()

  constructor(link: Link) {
    this.#link = link
  }

  /** Reads a SUBSCRIBE and lowers its QoS in place; a sentence says what is wrong with it. */
  begin(packet: Buffer, body: number): string | undefined {
    const read = readSubscribe(packet, body)
    if (!read) return 'malformed SUBSCRIBE'
    const { filtersPerSubscribeMax } = this.#link.hub.limits
    if (read.requests.length > filtersPerSubscribeMax)
      return `${read.requests.length} filters in one SUBSCRIBE, at most ${filtersPerSubscribeMax}`
    if (read.requests.some(({ filter }) => /[\0\ufffd]/.test(filter))) return 'a filter that is no UTF-8 [MQTT-1.5.3]'
    this.#requests = read.requests
    this.#packetId = read.packetId
    this.#granted.clear()
    return undefined
  }

  /** Ends the subscriptions that an UNSUBSCRIBE names; a sentence says what is wrong with it. */
  end(packet: Buffer, body: number): string | undefined {
    const filters = readUnsubscribe(packet, body)
    if (!filters) return 'malformed UNSUBSCRIBE'
    const { filtersPerSubscribeMax } = this.#link.hub.limits
    if (filters.length > filtersPerSubscribeMax) return `${filters.length} filters in one UNSUBSCRIBE, at most ${filtersPerSubscribeMax}`
    for (const filter of filters) this.#link.session?.unsubscribe(filter)
    return undefined
  }

  /** Judges one filter [P-4.8]; true if it is granted. */
  async judge(filter: string): Promise<boolean> {
    const { session } = this.#link
    const request = this.#requests.findLast((asked) => asked.filter === filter)
    try {
      if (!session || !request) throw new SyncError('internal', `${filter} was not asked for`)
      this.#granted.set(filter, await session.subscribe(filter, request.qos))
      return true
    } catch (error) {
      this.#link.refused(asSyncError(error), { filter })
      return false
    }
  }

  /** One code per filter as sent: aedes forgets filters that come twice [MQTT-3.8.4-5]. */
  suback(): Buffer {
    return encodeSuback(
      this.#packetId,
      this.#requests.map(({ filter }) => this.#granted.get(filter) ?? refusedCode),
    )
  }
}
