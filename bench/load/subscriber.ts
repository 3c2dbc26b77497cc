/** Receives one publisher's messages and judges their sequence. */
import { Client } from './client.ts'
import type { Histogram } from './histogram.ts'
import { inboxView } from './inbox.ts'
import { packetType } from './packets.ts'
import { stampBytes, stampOffset } from './payload.ts'
import type { Tally } from './tally.ts'
import { frameHeader } from './websocket.ts'
import type { Wire } from './wire.ts'

export interface SubscriberOptions {
  readonly run: number
  readonly tally: Tally
  readonly latency: Histogram
}

export class Subscriber extends Client {
  /** The highest sequence seen; the first message has 1. */
  last = 0
  readonly #options: SubscriberOptions
  readonly #puback: Buffer
  readonly #idOffset: number

  constructor(wire: Wire, options: SubscriberOptions) {
    super(wire)
    this.#options = options
    const puback = Buffer.from([0x40, 2, 0, 0])
    this.#puback = wire.framed ? Buffer.concat([frameHeader(puback.length), puback]) : puback
    this.#idOffset = this.#puback.length - 2
  }

  override turnEnded(_nowMicros: number): void {
    this.wire.flush()
  }

  protected override message(firstByte: number, body: number, end: number, arrivedMicros: number): void {
    if (firstByte >> 4 !== packetType.publish) return
    const { run, tally, latency } = this.#options
    let payload = body + 2 + inboxView.getUint16(body)
    if (firstByte & 0x06) {
      this.#acknowledge(inboxView.getUint16(payload))
      payload += 2
    }
    if (end - payload < stampBytes || inboxView.getUint32(payload + stampOffset.run, true) !== run) {
      tally.foreign++
      return
    }
    const sequence = inboxView.getUint32(payload + stampOffset.sequence, true)
    const { last } = this
    if (sequence === last + 1) this.last = sequence
    else if (sequence === last) tally.duplicates++
    else if (sequence < last) tally.reordered++
    else {
      tally.gaps += sequence - last - 1
      this.last = sequence
    }
    if (!tally.counting) return
    tally.delivered++
    latency.add(arrivedMicros - inboxView.getFloat64(payload + stampOffset.sentMicros, true))
  }

  #acknowledge(packetId: number): void {
    const { wire } = this
    const at = wire.reserve(this.#puback.length)
    wire.out.set(this.#puback, at)
    wire.outView.setUint16(at + this.#idOffset, packetId)
  }
}
