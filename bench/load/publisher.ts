/** Publishes to one topic, with at most a window of unacknowledged messages. */
import { Client } from './client.ts'
import { nowMicros } from './clock.ts'
import type { Histogram } from './histogram.ts'
import { inboxView } from './inbox.ts'
import { packetType, publishTemplate, type PublishTemplate } from './packets.ts'
import { stampedPayload, stampOffset } from './payload.ts'
import type { Tally } from './tally.ts'
import type { Wire } from './wire.ts'
import { frameHeader } from './websocket.ts'

/** Above this, QoS 0 waits for the system to take what was written. */
const unsentBytesMax = 64 * 1024
const burst = 32
const idsMax = 65_536

export interface PublisherOptions {
  readonly topic: string
  readonly qos: 0 | 1
  readonly sizeBytes: number
  readonly run: number
  /** 0: only as `sendOne` asks for. */
  readonly window: number
  readonly tally: Tally
  readonly ackLatency: Histogram
}

export class Publisher extends Client {
  sequence = 0
  inflight = 0
  readonly #options: PublisherOptions
  readonly #template: PublishTemplate
  readonly #qos: 0 | 1
  /** When the message of a packet id was sent; 0 where none is under way. Packet ids are used in turn, up to its size. */
  readonly #sentMicros: Float64Array
  #packetId = 0
  #running = false
  #turned: (nowMicros: number) => void = () => {}

  constructor(wire: Wire, options: PublisherOptions) {
    super(wire)
    const { topic, qos, sizeBytes, run, window } = options
    this.#options = options
    this.#qos = qos
    this.#template = framed(wire, publishTemplate(topic, qos, stampedPayload(sizeBytes, run)))
    // Four times the window, so that the next id is free even where acknowledgements come out of order.
    const ids = window === 0 ? idsMax : Math.min(idsMax, 256 + 4 * window)
    this.#sentMicros = new Float64Array(qos === 0 ? 1 : ids)
  }

  /** Begins to publish; `turned` is called after each read. */
  start(turned: (nowMicros: number) => void = () => {}): void {
    this.#turned = turned
    this.#running = true
    if (this.#qos === 1) this.turnEnded(nowMicros())
    else this.#pour()
  }

  stop(): void {
    this.#running = false
  }

  /** Adds one message to what the next flush writes; false where no packet id is free. */
  sendOne(atMicros: number): boolean {
    const { bytes, idOffset, payloadOffset } = this.#template
    const ids = this.#sentMicros.length
    if (idOffset >= 0) {
      const next = this.#packetId + 1 < ids ? this.#packetId + 1 : 1
      if (this.#sentMicros[next] !== 0) return false
      this.#packetId = next
      this.#sentMicros[next] = atMicros
      this.inflight++
    }
    const { wire } = this
    const at = wire.reserve(bytes.length)
    wire.out.set(bytes, at)
    const view = wire.outView
    if (idOffset >= 0) view.setUint16(at + idOffset, this.#packetId)
    view.setFloat64(at + payloadOffset + stampOffset.sentMicros, atMicros, true)
    view.setUint32(at + payloadOffset + stampOffset.sequence, ++this.sequence, true)
    this.#options.tally.sent++
    return true
  }

  override turnEnded(now: number): void {
    const { window } = this.#options
    if (this.#running && this.#qos === 1 && window > 0 && this.inflight < window) {
      // The clock is read again: parsing a long read takes a while, and these messages are sent after it.
      const atMicros = nowMicros()
      while (this.inflight < window && this.sendOne(atMicros));
    }
    this.wire.flush()
    this.#turned(now)
  }

  protected override message(firstByte: number, body: number, _end: number, arrivedMicros: number): void {
    if (firstByte >> 4 !== packetType.puback) return
    const { tally, ackLatency } = this.#options
    const id = inboxView.getUint16(body)
    const sentMicros = id < this.#sentMicros.length ? (this.#sentMicros[id] as number) : 0
    if (sentMicros === 0) {
      tally.strayAcks++
      return
    }
    this.#sentMicros[id] = 0
    this.inflight--
    if (!tally.counting) return
    tally.acked++
    ackLatency.add(arrivedMicros - sentMicros)
  }

  #pour(): void {
    if (!this.#running || this.#options.window === 0) return
    const now = nowMicros()
    for (let left = burst; left > 0 && this.wire.unsentBytes < unsentBytesMax; left--) this.sendOne(now)
    this.wire.flush()
    this.wire.whenSent(() => this.#pour())
  }
}

function framed(wire: Wire, template: PublishTemplate): PublishTemplate {
  if (!wire.framed) return template
  const { bytes, idOffset, payloadOffset } = template
  const header = frameHeader(bytes.length)
  return {
    bytes: Buffer.concat([header, bytes]),
    idOffset: idOffset < 0 ? -1 : idOffset + header.length,
    payloadOffset: payloadOffset + header.length,
  }
}
