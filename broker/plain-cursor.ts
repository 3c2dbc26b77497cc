/**
 * A place in one stream from which the plain filters of a session are served. The queue of an absent client is
 * this place [P-4.17].
 */
import type { Bucket } from '../log/bucket.ts'
import { Reader } from '../log/reader.ts'
import type { Stream } from '../log/stream.ts'
import type { TopicFilter } from '../protocol/topic-filter.ts'
import { openStream } from '../protocol/topics.ts'
import { topicsRememberedMax } from '../seams/limits.ts'
import type { DeliveryOwner, Outlet } from './outlet.ts'
import { dupFlag, encodePublish } from './packets.ts'

export interface PlainFilter {
  readonly text: string
  readonly filter: TopicFilter
  qos: number
  /** The head at its SUBSCRIBE: entries after it are delivered [P-4.12]. */
  readonly since: number
  /** Its retained messages have not all been acknowledged. */
  retainedDue: boolean
}

export class PlainCursor implements DeliveryOwner {
  readonly stream: Stream
  readonly filters = new Map<string, PlainFilter>()
  /** Everything up to here was acknowledged, or concerned nobody. */
  acked: number
  /** The next seq to look at. */
  next: number
  /** Entries up to here may have been sent before: they carry DUP [P-4.20]. */
  dupTo: number
  /** No filter is covered by the present grants: the place is kept, nothing is delivered [P-4.24]. */
  dormant = false
  /** Serves the same stream and delivers what both match. */
  preferred: PlainCursor | undefined = undefined
  readonly #outlet: Outlet
  readonly #reader: Reader
  #qosByTopic: Map<string, number> | undefined = undefined
  /** The QoS of a filter that covers the whole stream; -1 where none does. */
  #wholeQos = -1
  /** From here on every filter is in force. */
  #allSince = 0
  #inFlight = 0

  constructor(stream: Stream, at: { acked: number; dupTo: number }, outlet: Outlet) {
    this.stream = stream
    this.acked = at.acked
    this.next = at.acked + 1
    this.dupTo = at.dupTo
    this.#outlet = outlet
    this.#reader = new Reader(outlet.log, stream, outlet)
  }

  /** The newest seq that may have been sent. */
  get sent(): number {
    return Math.max(this.next - 1, this.dupTo)
  }

  put(filter: PlainFilter): void {
    this.filters.set(filter.text, filter)
    this.#filtersChanged()
  }

  remove(text: string): void {
    this.filters.delete(text)
    this.#filtersChanged()
  }

  /** The QoS at which a topic at a seq is delivered; -1 where no filter matches. */
  qosOf(topic: string, seq: number): number {
    if (seq <= this.#allSince) return this.#match(topic, seq)
    if (this.#wholeQos >= 0) return this.#wholeQos
    const remembered = (this.#qosByTopic ??= new Map<string, number>())
    let qos = remembered.get(topic)
    if (qos === undefined) {
      qos = this.#match(topic, seq)
      if (remembered.size >= topicsRememberedMax) remembered.clear()
      remembered.set(topic, qos)
    }
    return qos
  }

  /** Sends a run of entries; true if it is behind and could go on, given room. */
  deliver(): boolean {
    const { stream } = this
    if (this.dormant || this.next > stream.headSeq) return false
    if (this.next < stream.first) {
      this.#outlet.fail(`entries of ${stream.name} that this session has not seen were trimmed`)
      return false
    }
    const { bytesLeft } = this.#outlet
    const { room } = this.#outlet.inflight
    if (bytesLeft <= 0 || room <= 0) return true
    const bucket = this.#reader.at(this.next)
    if (!bucket) return false
    const until = this.#outlet.shownUntil(bucket)
    const simple = this.#wholeQos === 1 && this.next > this.#allSince && bucket.uniform && !bucket.hasNotes && !this.preferred
    const entries = simple ? this.#deliverRun(bucket, room, bytesLeft) : this.#deliverPicked(bucket, room, bytesLeft, until)
    if (entries > 0) this.#outlet.delivered(entries, bucket.hops?.committed)
    if (this.#inFlight === 0 && this.acked !== this.next - 1) {
      this.acked = this.next - 1
      this.#outlet.moved()
    }
    if (until < bucket.count && this.next >= bucket.firstSeq + until) this.#outlet.withdrawn()
    return !this.dormant && this.next <= stream.headSeq
  }

  acknowledged(seq: number): void {
    this.#inFlight--
    this.acked = this.#inFlight === 0 ? this.next - 1 : seq
    this.#outlet.moved()
  }

  close(): void {
    this.#reader.close()
  }

  /** All entries go out as they are packed: one copy, then the packet ids. */
  #deliverRun(bucket: Bucket, room: number, bytesLeft: number): number {
    const { frameStarts, idOffsets, value, firstSeq, count } = bucket
    const from = this.next - firstSeq
    const start = frameStarts[from] as number
    let to = from
    while (to < count && to - from < room && (frameStarts[to] as number) - start < bytesLeft) to++
    const packets = Buffer.allocUnsafe((frameStarts[to] as number) - start)
    value.copy(packets, 0, start, frameStarts[to])
    for (let index = from; index < to; index++) {
      const seq = firstSeq + index
      const id = this.#outlet.inflight.push(this, seq)
      const at = (idOffsets[index] as number) - start
      packets[at] = id >> 8
      packets[at + 1] = id & 255
      if (seq <= this.dupTo) {
        const first = (frameStarts[index] as number) - start
        packets[first] = (packets[first] as number) | dupFlag
      }
    }
    this.#inFlight += to - from
    this.next = firstSeq + to
    this.#outlet.write(packets)
    return to - from
  }

  /** Entries are matched one by one; what matches goes out in one piece. */
  #deliverPicked(bucket: Bucket, room: number, bytesLeft: number, until: number): number {
    const { frameStarts, firstSeq } = bucket
    const picked: { readonly index: number; readonly qos: number }[] = []
    let bytes = 0
    let index = this.next - firstSeq
    for (; index < until && room > 0 && bytes < bytesLeft; index++) {
      if (bucket.isNote(index)) continue // Nothing for this door [P-4.29].
      const qos = Math.min(this.#qosFor(bucket, index, firstSeq + index), bucket.qos(index))
      if (qos < 0) continue
      picked.push({ index, qos })
      bytes += (frameStarts[index + 1] as number) - (frameStarts[index] as number)
      if (qos > 0) room--
    }
    this.next = firstSeq + index
    if (picked.length === 0) return 0
    // At QoS 0 a packet is shorter than its frame by the packet id.
    const packets = Buffer.allocUnsafe(bytes)
    let end = 0
    for (const { index: at, qos } of picked) {
      end += qos === 0 ? encodePublish(bucket.topic(at), bucket.payload(at)).copy(packets, end) : this.#copyFrame(bucket, at, packets, end)
    }
    this.#outlet.write(end === bytes ? packets : packets.subarray(0, end))
    return picked.length
  }

  /** Copies one entry as it is packed, with a packet id; returns its bytes. */
  #copyFrame({ value, frameStarts, idOffsets, firstSeq }: Bucket, index: number, packets: Buffer, at: number): number {
    const start = frameStarts[index] as number
    const seq = firstSeq + index
    const bytes = value.copy(packets, at, start, frameStarts[index + 1])
    packets.writeUInt16BE(this.#outlet.inflight.push(this, seq), at + (idOffsets[index] as number) - start)
    if (seq <= this.dupTo) packets[at] = (packets[at] as number) | dupFlag
    this.#inFlight++
    return bytes
  }

  #qosFor(bucket: Bucket, index: number, seq: number): number {
    const topic = bucket.topic(index)
    if (this.preferred && !this.preferred.dormant && this.preferred.qosOf(topic, seq) >= 0) return -1
    return this.qosOf(topic, seq)
  }

  #match(topic: string, seq: number): number {
    let qos = -1
    for (const filter of this.filters.values()) {
      if (filter.since < seq && filter.qos > qos && filter.filter.matches(topic)) qos = filter.qos
    }
    return qos
  }

  #filtersChanged(): void {
    this.#qosByTopic = undefined
    this.#wholeQos = -1
    this.#allSince = 0
    // In the open stream a filter of this form covers its own topics only.
    const whole = this.stream.name === openStream ? undefined : `${this.stream.name}/#`
    for (const { text, qos, since } of this.filters.values()) {
      if (text === whole) this.#wholeQos = Math.max(this.#wholeQos, qos)
      this.#allSince = Math.max(this.#allSince, since)
    }
    // A narrower filter at a higher QoS raises some topics [P-4.10].
    for (const { qos } of this.filters.values()) if (this.#wholeQos >= 0 && qos > this.#wholeQos) this.#wholeQos = -1
  }
}
