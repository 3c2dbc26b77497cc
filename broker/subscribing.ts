/**
 * The SUBSCRIBE or UNSUBSCRIBE of a connection that is under way; there is one at a time. aedes is asked for numbers
 * in place of the filters: it would close the connection for one that is not valid [P-12.7].
 */
import { asSyncError, SyncError } from '../protocol/errors.ts'
import type { Link } from './link.ts'
import { encodeSuback, encodeSubscribe, encodeUnsubscribe, readSubscribe, readUnsubscribe, type FilterRequest } from './packets.ts'

const refusedCode = 0x80

export class Subscribing {
  readonly #link: Link
  #requests: readonly FilterRequest[] = []
  #packetId = 0
  /** Granted codes by filter. */
  readonly #granted = new Map<string, number>()

  constructor(link: Link) {
    this.#link = link
  }

  /** Reads a SUBSCRIBE; returns what aedes is asked in its place, or what is wrong with it. */
  begin(packet: Buffer, body: number): Buffer | SyncError {
    const read = readSubscribe(packet, body)
    if (!read) return malformed('malformed SUBSCRIBE')
    const { filtersPerSubscribeMax } = this.#link.hub.limits
    if (read.requests.length > filtersPerSubscribeMax) return tooMany(read.requests.length, 'SUBSCRIBE', filtersPerSubscribeMax)
    if (read.requests.some(({ filter }) => isMalformed(filter))) return malformed('a filter that is no UTF-8 [MQTT-1.5.3]')
    this.#requests = read.requests
    this.#packetId = read.packetId
    this.#granted.clear()
    // Of a filter that comes twice the last one counts.
    const last = new Set(new Map(read.requests.map(({ filter }, index) => [filter, index])).values())
    return encodeSubscribe(
      read.packetId,
      [...last].map((index) => String(index)),
    )
  }

  /** Ends the subscriptions that an UNSUBSCRIBE names; returns what aedes is told in its place, or what is wrong with it. */
  end(packet: Buffer, body: number): Buffer | SyncError {
    const filters = readUnsubscribe(packet, body)
    if (!filters) return malformed('malformed UNSUBSCRIBE')
    const { filtersPerSubscribeMax } = this.#link.hub.limits
    if (filters.length > filtersPerSubscribeMax) return tooMany(filters.length, 'UNSUBSCRIBE', filtersPerSubscribeMax)
    if (filters.some(isMalformed)) return malformed('a filter that is no UTF-8 [MQTT-1.5.3]')
    for (const filter of filters) this.#link.session?.unsubscribe(filter)
    return encodeUnsubscribe(packet.readUInt16BE(body), ['0'])
  }

  /** Judges one filter, by its number [P-4.8]; true if it is granted. */
  async judge(number: string): Promise<boolean> {
    const { session } = this.#link
    const request = this.#requests[Number(number)]
    try {
      if (!session || !request) throw new SyncError('internal', `filter ${number} was not asked for`)
      const { filter, qos } = request
      this.#granted.set(filter, await session.subscribe(filter, qos))
      return true
    } catch (error) {
      this.#link.refused(asSyncError(error), { filter: request?.filter })
      return false
    }
  }

  /** One code per filter as sent, also for those that come twice [MQTT-3.8.4-5]. */
  suback(): Buffer {
    return encodeSuback(
      this.#packetId,
      this.#requests.map(({ filter }) => this.#granted.get(filter) ?? refusedCode),
    )
  }
}

function malformed(message: string): SyncError {
  return new SyncError('bad-request', message)
}

function tooMany(count: number, packet: string, max: number): SyncError {
  return new SyncError('too-many-requests', `${count} filters in one ${packet}, at most ${max} [P-13.8]`)
}

function isMalformed(filter: string): boolean {
  return /[\0\ufffd]/.test(filter)
}
