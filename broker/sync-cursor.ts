/**
 * A sync subscription: envelopes with positions on the filter's own topics, and control messages in order with
 * them [P-6.1].
 */
import type { Bucket } from '../log/bucket.ts'
import { encodeEnvelope } from '../log/envelope.ts'
import type { Retained } from '../log/fold.ts'
import { beginning, checkPosition, firstPosition, headPosition } from '../log/history.ts'
import { hasMembers } from '../log/members.ts'
import { Reader } from '../log/reader.ts'
import type { Stream } from '../log/stream.ts'
import { controlTopic, type SyncStart } from '../protocol/filters.ts'
import { TopicFilter } from '../protocol/topic-filter.ts'
import { emptyMark, formatPosition, type Position } from '../protocol/positions.ts'
import { openStream } from '../protocol/topics.ts'
import type { DeliveryOwner, Outlet } from './outlet.ts'
import { encodePublish, lengthBytes, writeLength } from './packets.ts'

export interface SyncRequest {
  /** The filter as subscribed. */
  readonly text: string
  /** Its first level: what envelopes' topics begin with. */
  readonly first: string
  /** In terms of plain topics. */
  readonly filter: string
  readonly start: SyncStart
  readonly qos: number
}

export class SyncCursor implements DeliveryOwner {
  readonly stream: Stream
  readonly request: SyncRequest
  readonly filter: TopicFilter
  readonly #outlet: Outlet
  readonly #reader: Reader
  readonly #topicPrefix: string
  readonly #topicRoom: { levels: number; bytes: number }
  /** Whether every entry of the stream matches. */
  readonly #whole: boolean
  /** `closed`: nothing more comes until the client subscribes again. */
  #state: 'starting' | 'snapshot' | 'tail' | 'resetting' | 'closed' = 'starting'
  /** The place after what the client has got: it may go on from there, also within a snapshot [P-6.17]. */
  #next = 1
  #markBefore = emptyMark
  /** The entry that a filter from `earliest` begins with. */
  #beginning = -1
  #snapshot: { readonly entries: readonly Retained[]; readonly seq: number; readonly mark: string; at: number } | undefined = undefined
  /** The client has been told that it is caught up at this seq. */
  #announced = -1
  #lastSentMs = 0
  #announcing = false

  constructor(stream: Stream, request: SyncRequest, outlet: Outlet) {
    this.stream = stream
    this.request = request
    this.filter = new TopicFilter(request.filter)
    this.#outlet = outlet
    this.#topicPrefix = stream.name === openStream ? `${request.first}/${openStream}/` : `${request.first}/`
    const { topicLevelsMax, topicBytesMax } = outlet.log.limits
    this.#topicRoom = { levels: topicLevelsMax - this.#topicPrefix.split('/').length + 1, bytes: topicBytesMax - this.#topicPrefix.length }
    this.#whole = stream.name !== openStream && request.filter === `${stream.name}/#`
    this.#reader = new Reader(outlet.log, stream, outlet)
  }

  /** Everything up to here was sent; the client alone knows what it has. */
  get acked(): number {
    return this.#next - 1
  }

  /** Finds where to begin; called once the SUBACK is on its way. The head captured at SUBSCRIBE is passed in. */
  async start(captured: { seq: number; mark: string }): Promise<void> {
    const { log } = this.#outlet
    const { start } = this.request
    this.#lastSentMs = log.clock.now()
    if (start === 'snapshot') return this.#startSnapshot()
    let from: Position
    if (start === 'now') from = { epoch: log.epoch, ...captured }
    else if (start === 'earliest') from = beginning(log, this.stream)
    else from = start
    this.#next = from.seq + 1
    this.#markBefore = from.mark
    // Who begins here holds nothing that this entry could have erased.
    if (start === 'earliest') this.#beginning = this.#next
    const unservable = await checkPosition(log, this.stream, from)
    if (this.#closed) return
    if (unservable) return this.#reset(unservable.reason)
    // What withdrew the user may stand before the position that was asked for.
    if (hasMembers(this.stream.name) && !this.#outlet.mayShow(this.stream, await log.state(this.stream))) return this.end('withdrawn')
    await this.#startTail()
  }

  /** From the first `at` on, entries follow: none comes before it [P-6.15]. */
  async #startTail(): Promise<void> {
    this.#state = 'starting'
    const first = await firstPosition(this.#outlet.log, this.stream)
    if (this.#closed) return
    this.#state = 'tail'
    this.#at(first)
    this.#outlet.kick()
  }

  /** Sends a run of envelopes; true if it is behind and could go on, given room. */
  deliver(): boolean {
    if (this.#state === 'snapshot') return this.#deliverSnapshot()
    if (this.#state !== 'tail') return false
    if (this.#next > this.stream.headSeq) {
      if (this.#announced !== this.stream.headSeq) this.#announce()
      return false
    }
    if (this.#next < this.stream.first) {
      void this.#reset('trimmed')
      return false
    }
    const { bytesLeft } = this.#outlet
    const { room } = this.#outlet.inflight
    if (bytesLeft <= 0 || room <= 0) return true
    const bucket = this.#reader.at(this.#next)
    if (!bucket) return false
    this.#deliverRun(bucket, room, bytesLeft)
    return true
  }

  /** At least every `atIntervalMs` without a matching entry the reader hears how far it is complete [P-6.15]. */
  tick(nowMs: number): void {
    if (this.#state === 'tail' && nowMs - this.#lastSentMs >= this.#outlet.log.limits.atIntervalMs) {
      this.#lastSentMs = nowMs
      this.#announced = -1
      this.#announce()
    }
  }

  /** A QoS 0 message of the stream, live [P-3.13]. */
  ephemeral(topic: string, envelope: Buffer): void {
    if (this.#state !== 'tail' || this.#outlet.bytesLeft <= 0 || !this.#deliverable(topic)) return
    this.#outlet.write(encodePublish(this.#topicPrefix + topic, envelope))
  }

  /** It is not for this user any more [P-6.12]. */
  end(reason: 'grant' | 'withdrawn' | 'erased'): void {
    if (this.#state === 'closed') return
    const pos = formatPosition(this.#outlet.log.epoch, this.#next - 1, this.#markBefore)
    this.close()
    this.#control({ ctl: 'ended', reason, pos })
  }

  acknowledged(): void {
    // The place of a sync reader is its client's to keep.
  }

  close(): void {
    this.#state = 'closed'
    this.#snapshot = undefined
    this.#reader.close()
  }

  get #closed(): boolean {
    return this.#state === 'closed'
  }

  async #startSnapshot(): Promise<void> {
    const { log } = this.#outlet
    await log.confirmHead(this.stream)
    const fold = await log.state(this.stream)
    if (this.#closed) return
    if (!this.#outlet.mayShow(this.stream, fold)) return this.end('withdrawn')
    const { seq, mark } = fold
    const entries = fold.states().filter(({ entry }) => this.#deliverable(entry.topic))
    this.#snapshot = { entries, seq, mark, at: 0 }
    this.#state = 'snapshot'
    this.#control({ ctl: 'snapshot-start', pos: formatPosition(log.epoch, seq, mark) })
    this.#outlet.kick()
  }

  #deliverSnapshot(): boolean {
    const snapshot = this.#snapshot
    if (!snapshot) return false
    const { log, inflight } = this.#outlet
    // What was erased meanwhile is not sent, and the tail behind it cannot be: the client begins anew.
    if (snapshot.seq < this.stream.erasedBefore) {
      void this.#reset('trimmed')
      return false
    }
    while (snapshot.at < snapshot.entries.length) {
      if (this.#outlet.bytesLeft <= 0 || inflight.room <= 0) return true
      const { entry } = snapshot.entries[snapshot.at++] as Retained
      this.#send(this.#topicPrefix + entry.topic, encodeEnvelope(entry, formatPosition(log.epoch, entry.seq, entry.mark)), entry.seq)
      this.#next = entry.seq + 1
      this.#markBefore = entry.mark
    }
    this.#snapshot = undefined
    this.#next = snapshot.seq + 1
    this.#markBefore = snapshot.mark
    this.#control({ ctl: 'snapshot-end', pos: formatPosition(log.epoch, snapshot.seq, snapshot.mark) })
    this.#startTail().catch((error: unknown) => this.#outlet.fail('the log cannot be read', error))
    return false
  }

  #deliverRun(bucket: Bucket, room: number, bytesLeft: number): void {
    const { log, inflight } = this.#outlet
    const { qos } = this.request
    const nowMs = log.clock.now()
    const packets: Buffer[] = []
    let bytes = 0
    let index = this.#next - bucket.firstSeq
    const until = this.#outlet.shownUntil(bucket)
    for (; index < until && room > 0 && bytes < bytesLeft; index++) {
      const topic = bucket.topic(index)
      if (!this.#whole && !this.#deliverable(topic)) continue
      if (this.#whole && this.#tooDeep(topic)) continue
      const envelope = log.envelopes.of(bucket, index)
      const packet = encodeDelivery(this.#topicPrefix, topic, envelope, qos > 0 ? inflight.push(this, bucket.firstSeq + index) : 0)
      if (qos > 0) room--
      packets.push(packet)
      bytes += packet.length
    }
    // Of a bucket whose first entry is not shown the position before stays what it was.
    if (index > 0) this.#markBefore = bucket.mark
    this.#next = bucket.firstSeq + index
    if (packets.length > 0) {
      this.#lastSentMs = nowMs
      this.#outlet.write(packets.length === 1 ? (packets[0] as Buffer) : Buffer.concat(packets, bytes))
      this.#outlet.delivered(packets.length, bucket.hops?.committed)
    }
    if (until < bucket.count && index >= until) this.end('withdrawn')
    else if (bucket.erases && bucket.lastSeq !== this.#beginning) this.end('erased')
  }

  #deliverable(topic: string): boolean {
    return this.filter.matches(topic) && !this.#tooDeep(topic)
  }

  /** Only topics of the open stream can be too long for this door [P-6.5]. */
  #tooDeep(topic: string): boolean {
    if (this.stream.name !== openStream) return false
    return topic.split('/').length > this.#topicRoom.levels || Buffer.byteLength(topic) > this.#topicRoom.bytes
  }

  /** Says that the reader is caught up, once the store has confirmed that it is. */
  #announce(): void {
    if (this.#announcing) return
    this.#announcing = true
    this.#outlet.log
      .confirmHead(this.stream)
      .then(() => this.#sendAt())
      .catch((error: unknown) => this.#outlet.fail('the log cannot be read', error))
      .finally(() => (this.#announcing = false))
  }

  async #sendAt(): Promise<void> {
    const { log } = this.#outlet
    const first = await firstPosition(log, this.stream)
    if (this.#state === 'tail') this.#at(first)
  }

  /** Says how far the reader is complete [P-6.10]. */
  #at(first: string): void {
    const { log } = this.#outlet
    if (this.#next > this.stream.headSeq) this.#announced = this.stream.headSeq
    const pos = formatPosition(log.epoch, this.#next - 1, this.#markBefore)
    this.#control({ ctl: 'at', pos, head: headPosition(log, this.stream), first, ts: log.clock.now() })
  }

  async #reset(reason: 'trimmed' | 'epoch' | 'ahead'): Promise<void> {
    const { log } = this.#outlet
    this.#state = 'resetting'
    try {
      const first = await firstPosition(log, this.stream)
      // A filter that was subscribed again meanwhile, or ended, has nothing more to say: its successor would be taken for over.
      if (this.#closed) return
      this.close()
      this.#control({ ctl: 'reset', reason, first, head: headPosition(log, this.stream) })
    } catch (error) {
      this.#outlet.fail('the log cannot be read', error)
    }
  }

  #control(message: Record<string, unknown>): void {
    const { text } = this.request
    const { ctl, ...rest } = message
    this.#send(controlTopic(text), Buffer.from(JSON.stringify({ ctl, filter: text, ...rest })), 0)
  }

  #send(topic: string, payload: Buffer, seq: number): void {
    const { inflight } = this.#outlet
    const packetId = this.request.qos > 0 ? { packetId: inflight.push(this, seq) } : {}
    this.#outlet.write(encodePublish(topic, payload, packetId))
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
