/** Envelopes as HTTP shows them: copied into pages. */
import { encodeEnvelope } from '../log/envelope.ts'
import type { Entry } from '../log/entry.ts'
import { formatPosition } from '../protocol/positions.ts'

export function envelopeOfEntry(epoch: string, entry: Entry): Buffer {
  return encodeEnvelope(entry, formatPosition(epoch, entry.seq, entry.mark))
}

/** Gathers envelopes into the text of a JSON array within a bound of bytes. */
export class EnvelopeArray {
  readonly #envelopes: Buffer[] = []
  #bytes = 0

  get count(): number {
    return this.#envelopes.length
  }

  /** Bytes of the text so far, commas included. */
  get bytes(): number {
    return this.#bytes
  }

  push(envelope: Buffer): void {
    this.#envelopes.push(envelope)
    this.#bytes += envelope.length + 1
  }

  /** `{"entries":[…]` and then the other members, in one Buffer. */
  document(members: Readonly<Record<string, unknown>>): Buffer {
    const start = '{"entries":['
    const end = `],${JSON.stringify(members).slice(1)}`
    const document = Buffer.allocUnsafe(start.length + Math.max(0, this.#bytes - 1) + Buffer.byteLength(end))
    let at = document.write(start, 'latin1')
    this.#envelopes.forEach((envelope, index) => {
      if (index > 0) document[at++] = comma
      document.set(envelope, at)
      at += envelope.length
    })
    document.write(end, at)
    return document
  }
}

const comma = 0x2c
