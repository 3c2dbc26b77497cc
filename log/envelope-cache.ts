/** Envelopes of the newest entries, made when first needed and shared between all their readers [P-3.20], within one budget of bytes. */
import { formatPosition } from '../protocol/positions.ts'
import type { Clock } from '../seams/clock.ts'
import type { Bucket } from './bucket.ts'
import { encodeEnvelope } from './envelope.ts'

export class EnvelopeCache {
  readonly #epoch: string
  readonly #clock: Clock
  readonly #bytesMax: number
  /** Buckets that hold envelopes, the one begun longest ago first, with the bytes each holds. */
  readonly #held = new Map<Bucket, number>()
  bytes = 0

  constructor(parts: { readonly epoch: string; readonly clock: Clock; readonly bytesMax: number }) {
    this.#epoch = parts.epoch
    this.#clock = parts.clock
    this.#bytesMax = parts.bytesMax
  }

  /** The envelope of an entry. Only those committed by this process lately are kept: they carry the receipt [P-3.17]. */
  of(bucket: Bucket, index: number): Buffer {
    const position = formatPosition(this.#epoch, bucket.firstSeq + index, bucket.mark)
    const { hops } = bucket
    if (!hops) return encodeEnvelope(bucket.entry(index), position)
    const envelopes = (bucket.envelopes ??= Array.from<undefined>({ length: bucket.count }))
    const kept = envelopes[index]
    if (kept) return kept
    const { received, authorised, committed } = hops
    const receipt = { received: received[index] ?? authorised, authorised, committed, written: this.#clock.now() }
    const envelope = (envelopes[index] = encodeEnvelope(bucket.entry(index), position, { hops: receipt }))
    this.#count(bucket, envelope.length)
    return envelope
  }

  #count(bucket: Bucket, bytes: number): void {
    this.#held.set(bucket, (this.#held.get(bucket) ?? 0) + bytes)
    this.bytes += bytes
    for (const [oldest, held] of this.#held) {
      if (this.bytes <= this.#bytesMax || oldest === bucket) return
      oldest.envelopes = undefined
      this.#held.delete(oldest)
      this.bytes -= held
    }
  }
}
