/**
 * Splits a byte stream into MQTT packets, guarding sizes from the header alone.
 *
 * A packet that lies whole in one chunk is handed over in place; one that does not is gathered in a buffer
 * that grows with what has really arrived. The sink may stop the splitter between two packets: what is left
 * waits until `resume`.
 */
import type { ErrorCode } from '../protocol/errors.ts'
import { lengthBytes, packetType } from './packets.ts'

export interface PacketSink {
  /** One packet: `[start, end)` of `chunk`, its variable header at `body`. Returns false to stop before the next one. */
  packet(chunk: Buffer, start: number, body: number, end: number): boolean
  /** The stream breaks the protocol: nothing more is handed over. */
  broken(reason: string, code: ErrorCode): void
}

export interface PacketLimits {
  readonly packetBytesMax: number
  readonly controlPacketBytesMax: number
  readonly topicBytesMax: number
}

export class Splitter {
  readonly #sink: PacketSink
  readonly #limits: PacketLimits
  /** The beginning of a packet whose rest has not arrived. */
  #partial: Buffer | undefined = undefined
  #have = 0
  #need = 0
  /** What arrived while stopped. */
  #waiting: Buffer | undefined = undefined
  #stopped = false
  #broken = false
  #scanning = false

  constructor(sink: PacketSink, limits: PacketLimits) {
    this.#sink = sink
    this.#limits = limits
  }

  /** Bytes that wait for a resume or for the rest of their packet. */
  get heldBytes(): number {
    return (this.#waiting?.length ?? 0) + this.#have
  }

  feed(chunk: Buffer): void {
    if (this.#broken) return
    if (this.#stopped || this.#scanning) {
      this.#waiting = this.#waiting ? Buffer.concat([this.#waiting, chunk]) : chunk
      return
    }
    this.#scan(chunk)
  }

  /** Nothing is handed over until `resume`. */
  stop(): void {
    this.#stopped = true
  }

  resume(): void {
    this.#stopped = false
    if (this.#scanning) return
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting && !this.#broken) this.#scan(waiting)
  }

  /** Lets go of everything. */
  discard(): void {
    this.#broken = true
    this.#waiting = this.#partial = undefined
    this.#have = 0
  }

  #scan(chunk: Buffer): void {
    this.#scanning = true
    const rest = this.#partial ? this.#complete(chunk) : chunk
    const left = rest && rest.length > 0 ? this.#whole(rest) : undefined
    this.#scanning = false
    if (left && left.length > 0 && !this.#broken) this.#waiting = this.#waiting ? Buffer.concat([left, this.#waiting]) : left
    if (!this.#stopped && this.#waiting) this.resume()
  }

  /** Hands over packets that lie whole in the chunk; returns what is left when stopped. */
  #whole(chunk: Buffer): Buffer | undefined {
    let start = 0
    while (start < chunk.length) {
      if (this.#broken) return undefined
      if (this.#stopped) return chunk.subarray(start)
      let remaining = 0
      let factor = 1
      let body = start + 1
      let byte = 128
      while (body < chunk.length && body < start + 5) {
        byte = chunk[body++] as number
        remaining += (byte & 127) * factor
        factor *= 128
        if (byte < 128) break
      }
      if (byte > 127) {
        if (body >= start + 5) return this.#break('the remaining length has more than four bytes [MQTT-2.2.3]')
        return this.#keep(chunk, start, chunk.length - start + 1)
      }
      if (body - start - 1 !== lengthBytes(remaining)) return this.#break('the remaining length is padded')
      const problem = this.#tooLarge((chunk[start] as number) >> 4, remaining)
      if (problem) return this.#break(problem, 'payload-too-large')
      const end = body + remaining
      if (end > chunk.length) return this.#keep(chunk, start, end - start)
      if (!this.#sink.packet(chunk, start, body, end)) this.#stopped = true
      start = end
    }
    return undefined
  }

  /** Goes on with the packet that began in an earlier chunk; returns the bytes behind it, or nothing while it is incomplete. */
  #complete(chunk: Buffer): Buffer | undefined {
    let rest = chunk
    while (this.#partial) {
      const take = Math.min(this.#need - this.#have, rest.length)
      if (this.#have + take > this.#partial.length) {
        const larger = Buffer.allocUnsafeSlow(Math.min(this.#need, Math.max(this.#partial.length * 2, this.#have + take)))
        this.#partial.copy(larger, 0, 0, this.#have)
        this.#partial = larger
      }
      rest.copy(this.#partial, this.#have, 0, take)
      this.#have += take
      rest = rest.subarray(take)
      if (this.#have < this.#need) return undefined
      const packet = this.#partial.subarray(0, this.#have)
      this.#partial = undefined
      this.#have = 0
      // Either the packet is whole now, or its header is and says how much more to gather.
      this.#whole(packet)
    }
    return rest
  }

  #keep(chunk: Buffer, start: number, need: number): undefined {
    const have = chunk.length - start
    this.#partial = Buffer.allocUnsafeSlow(Math.min(need, Math.max(64, have * 2)))
    chunk.copy(this.#partial, 0, start)
    this.#have = have
    this.#need = need
  }

  #tooLarge(type: number, remaining: number): string | undefined {
    const { packetBytesMax, controlPacketBytesMax, topicBytesMax } = this.#limits
    switch (type) {
      case packetType.publish:
        // Payload, topic, its length and the packet id.
        return remaining > packetBytesMax + topicBytesMax + 4 ? `a PUBLISH of ${remaining} bytes, at most ${packetBytesMax}` : undefined
      case packetType.connect:
      case packetType.subscribe:
      case packetType.unsubscribe:
        return remaining > controlPacketBytesMax ? `a control packet of ${remaining} bytes, at most ${controlPacketBytesMax}` : undefined
      default:
        return remaining > 2 ? `a packet of type ${type} with ${remaining} bytes, at most 2` : undefined
    }
  }

  #break(reason: string, code: ErrorCode = 'bad-request'): undefined {
    this.discard()
    this.#sink.broken(reason, code)
  }
}
