/** The envelope of an entry in a bucket, made when first needed and shared between its readers [P-3.20]. */
import { formatPosition } from '../protocol/positions.ts'
import type { Bucket } from './bucket.ts'
import { encodeEnvelope } from './envelope.ts'

/** `nowMs` becomes the time of writing in the receipt of the first reader [P-3.17]. */
export function envelopeOf(bucket: Bucket, index: number, epoch: string, nowMs: number): Buffer {
  const envelopes = (bucket.envelopes ??= Array.from<undefined>({ length: bucket.count }))
  let envelope = envelopes[index]
  if (!envelope) {
    const position = formatPosition(epoch, bucket.firstSeq + index, bucket.mark)
    const { hops } = bucket
    const receipt = hops && {
      hops: { received: hops.received[index] ?? hops.authorised, authorised: hops.authorised, committed: hops.committed, written: nowMs },
    }
    envelope = envelopes[index] = encodeEnvelope(bucket.entry(index), position, receipt)
  }
  return envelope
}
