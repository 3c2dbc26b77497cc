/** The way from the simulated server to the feeds: what is on it may be lost, doubled, swapped or cut off. */
import type { Feeds } from '../../../client/stream/feeds.ts'
import type { Session } from '../../../client/transport/transport.ts'
import { ClientError } from '../../../client/errors.ts'
import type { Envelope } from '../../../client/wire.ts'
import { stream, type SimulatedServer } from './simulated-server.ts'

type Packet = { readonly filter: string } & ({ readonly at: string } | { readonly envelope: Envelope })

export class SimulatedWire {
  readonly #server: SimulatedServer
  readonly #feeds: Feeds
  readonly packets: Packet[] = []
  readonly #followed = new Set<string>()
  #isOpen = false

  constructor(server: SimulatedServer, feeds: Feeds) {
    this.#server = server
    this.#feeds = feeds
    server.listeners.add((envelope) => {
      for (const filter of this.#followed) this.packets.push({ filter, envelope })
    })
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    const session: Partial<Session> = {
      follow: (filter) => {
        this.#followed.add(filter)
        this.packets.push({ filter, at: this.#server.head })
      },
      unfollow: (filter) => void this.#followed.delete(filter),
      put: () => Promise.reject(new ClientError('network')),
    }
    this.#feeds.opened(session as Session)
  }

  cut(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.packets.length = 0
    this.#followed.clear()
    this.#feeds.lost()
  }

  deliver(): void {
    const packet = this.packets.shift()
    if (!packet) return
    if ('envelope' in packet) this.#feeds.entry(packet.filter, packet.envelope)
    else this.#feeds.control(packet.filter, { ctl: 'at', pos: packet.at, head: packet.at, first: this.#server.first, ts: 0 })
  }

  /** What the server says of itself now and then: how far everything has been sent. */
  tell(): void {
    for (const filter of this.#followed) this.packets.push({ filter, at: this.#server.head })
  }

  /** The first `at` of a session is never lost: without it the transport would not call the filter followed. */
  lose(which: number): void {
    const at = which % Math.max(1, this.packets.length)
    const packet = this.packets[at]
    if (packet && 'envelope' in packet) this.packets.splice(at, 1)
  }

  double(which: number): void {
    const at = which % Math.max(1, this.packets.length)
    const packet = this.packets[at]
    if (packet && 'envelope' in packet) this.packets.splice(at, 0, packet)
  }

  swap(which: number): void {
    const at = which % Math.max(1, this.packets.length)
    const [a, b] = [this.packets[at], this.packets[at + 1]]
    if (a && b && 'envelope' in a && 'envelope' in b) this.packets.splice(at, 2, b, a)
  }

  get stream(): string {
    return stream
  }
}
