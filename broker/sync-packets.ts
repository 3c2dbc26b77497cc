/** What a sync filter sends, as PUBLISH packets on topics that match the filter [P-6.4, P-6.9]. */
import type { SyncMessage, SyncSink } from '../delivery/sync-cursor.ts'
import { controlTopic } from '../protocol/filters.ts'
import { openStream } from '../protocol/topics.ts'
import type { DeliveryOwner, Outlet } from './outlet.ts'
import { encodePublish, lengthBytes, writeLength } from './packets.ts'

export interface SyncFilter {
  /** The filter as subscribed. */
  readonly text: string
  /** Its first level: what envelopes' topics begin with. */
  readonly first: string
  readonly stream: string
  readonly qos: number
}

export class SyncPackets implements SyncSink, DeliveryOwner {
  readonly #filter: SyncFilter
  readonly #outlet: Outlet
  readonly #topicPrefix: string
  readonly #topicRoom: { readonly levels: number; readonly bytes: number } | undefined
  #packets: Buffer[] = []
  #bytes = 0

  constructor(filter: SyncFilter, outlet: Outlet) {
    this.#filter = filter
    this.#outlet = outlet
    const isOpen = filter.stream === openStream
    this.#topicPrefix = isOpen ? `${filter.first}/${openStream}/` : `${filter.first}/`
    const { topicLevelsMax, topicBytesMax } = outlet.log.limits
    this.#topicRoom = isOpen
      ? { levels: topicLevelsMax - this.#topicPrefix.split('/').length + 1, bytes: topicBytesMax - this.#topicPrefix.length }
      : undefined
  }

  get room(): number {
    return this.#outlet.inflight.room
  }

  /** Only topics of the open stream can be too long for this door [P-6.5]. */
  fits(topic: string): boolean {
    const room = this.#topicRoom
    return !room || (topic.split('/').length <= room.levels && Buffer.byteLength(topic) <= room.bytes)
  }

  entry(topic: string, envelope: Buffer, seq: number): number {
    const packetId = this.#filter.qos > 0 ? this.#outlet.inflight.push(this, seq) : 0
    const packet = encodeDelivery(this.#topicPrefix, topic, envelope, packetId)
    this.#packets.push(packet)
    this.#bytes += packet.length
    return packet.length
  }

  flush(): void {
    const packets = this.#packets
    if (packets.length === 0) return
    this.#outlet.write(packets.length === 1 ? (packets[0] as Buffer) : Buffer.concat(packets, this.#bytes))
    this.#packets = []
    this.#bytes = 0
  }

  ephemeral(topic: string, envelope: Buffer): void {
    this.#outlet.write(encodePublish(this.#topicPrefix + topic, envelope))
  }

  control({ ctl, ...rest }: SyncMessage): void {
    const { text, qos } = this.#filter
    const packetId = qos > 0 ? { packetId: this.#outlet.inflight.push(this, 0) } : {}
    this.#outlet.write(encodePublish(controlTopic(text), Buffer.from(JSON.stringify({ ctl, filter: text, ...rest })), packetId))
  }

  acknowledged(): void {
    // The place of a sync reader is its client's to keep.
  }
}

/** As encodePublish, with the topic in two parts and QoS 1 where there is a packet id. */
function encodeDelivery(prefix: string, topic: string, payload: Buffer, packetId: number): Buffer {
  const topicBytes = prefix.length + Buffer.byteLength(topic)
  const remaining = 2 + topicBytes + (packetId === 0 ? 0 : 2) + payload.length
  const packet = Buffer.allocUnsafe(1 + lengthBytes(remaining) + remaining)
  packet[0] = packetId === 0 ? 0x30 : 0x32
  let at = writeLength(packet, 1, remaining)
  at = packet.writeUInt16BE(topicBytes, at)
  at += packet.write(prefix, at, 'latin1')
  at += packet.write(topic, at)
  if (packetId !== 0) at = packet.writeUInt16BE(packetId, at)
  payload.copy(packet, at)
  return packet
}
