/** Envelopes of a bucket's entries as HTTP shows them: encoded once, copied into pages ever after. */
import type { Bucket } from '../log/bucket.ts'
import { encodeEnvelope } from '../log/envelope.ts'
import type { Entry } from '../log/entry.ts'
import { formatPosition } from '../protocol/positions.ts'

export function envelopeOfEntry(epoch: string, entry: Entry): Buffer {
  return encodeEnvelope(entry, formatPosition(epoch, entry.seq, entry.mark))
}

/** The envelope without `hops`. `keep` where the bucket stays in memory: then the sync door finds it there too. */
export function envelopeOf(epoch: string, bucket: Bucket, index: number, keep: boolean): Buffer {
  const kept = bucket.envelopes?.[index]
  if (kept) return kept
  const envelope = envelopeOfEntry(epoch, bucket.entry(index))
  if (keep) {
    bucket.envelopes ??= Array.from<Buffer | undefined>({ length: bucket.count })
    bucket.envelopes[index] = envelope
  }
  return envelope
}

/** What the latency receipt adds to an envelope, in place of its closing brace [P-3.17]; undefined after a restart. */
export function receiptOf({ hops }: Bucket, index: number, writtenMs: number): string | undefined {
  if (!hops) return undefined
  const { received, authorised, committed } = hops
  return `,"hops":{"received":${received[index] ?? authorised},"authorised":${authorised},"committed":${committed},"written":${writtenMs}}}`
}

/** Gathers envelopes into the text of a JSON array within a bound of bytes. */
export class EnvelopeArray {
  readonly #pieces: { readonly envelope: Buffer; readonly receipt: string | undefined }[] = []
  #bytes = 0

  get count(): number {
    return this.#pieces.length
  }

  /** Bytes of the text so far, commas included. */
  get bytes(): number {
    return this.#bytes
  }

  /** What it adds to `bytes`: a receipt replaces the closing brace; with the comma that is the length of both. */
  static sizeOf(envelope: Buffer, receipt: string | undefined): number {
    return envelope.length + (receipt === undefined ? 1 : receipt.length)
  }

  push(envelope: Buffer, receipt: string | undefined): void {
    this.#pieces.push({ envelope, receipt })
    this.#bytes += EnvelopeArray.sizeOf(envelope, receipt)
  }

  /** `{"entries":[…]` and then the other members, in one Buffer. */
  document(members: Readonly<Record<string, unknown>>): Buffer {
    const start = '{"entries":['
    const end = `],${JSON.stringify(members).slice(1)}`
    const document = Buffer.allocUnsafe(start.length + Math.max(0, this.#bytes - 1) + Buffer.byteLength(end))
    let at = document.write(start, 'latin1')
    this.#pieces.forEach(({ envelope, receipt }, index) => {
      if (index > 0) document[at++] = comma
      document.set(envelope, at)
      at += envelope.length
      if (receipt !== undefined) at += document.write(receipt, at - 1, 'latin1') - 1
    })
    document.write(end, at)
    return document
  }
}

const comma = 0x2c
