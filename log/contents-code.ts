/** Items of a store as bytes: the first says what it is. Equal items have equal bytes, whichever store they come from. */
import { createHash } from 'node:crypto'
import { Bucket } from './bucket.ts'
import type { Item } from './contents.ts'
import type { StreamRecord } from './stores/store.ts'

const kinds = { document: 'D', stream: 'S', chunk: 'C', bucket: 'B', record: 'R' } as const

export function encodeItem(item: Item): Buffer {
  switch (item.is) {
    case 'document': {
      const { collection, key, generation, value } = item
      return textItem('document', JSON.stringify({ collection, key, generation, value }))
    }
    case 'stream':
      return textItem('stream', item.stream)
    case 'chunk': {
      const name = Buffer.from(item.name)
      const length = Buffer.alloc(2)
      length.writeUInt16BE(name.length)
      return Buffer.concat([Buffer.from(kinds.chunk), length, name, item.value])
    }
    case 'bucket':
      return Buffer.concat([Buffer.from(kinds.bucket), item.bucket.value])
    case 'record':
    default:
      return textItem('record', JSON.stringify(item.record))
  }
}

/** An item that stands behind the beginning of `stream`. Throws an Error where the bytes are none. */
export function decodeItem(bytes: Buffer, stream: string): Item {
  const rest = bytes.subarray(1)
  switch (bytes.toString('latin1', 0, 1)) {
    case kinds.document:
      return { is: 'document', ...(JSON.parse(rest.toString()) as Omit<Extract<Item, { is: 'document' }>, 'is'>) }
    case kinds.stream:
      return { is: 'stream', stream: rest.toString() }
    case kinds.chunk: {
      const end = 2 + rest.readUInt16BE(0)
      return { is: 'chunk', stream, name: rest.toString('utf8', 2, end), value: rest.subarray(end) }
    }
    case kinds.bucket:
      return { is: 'bucket', stream, bucket: new Bucket(stream, Buffer.from(rest)) }
    case kinds.record:
      return { is: 'record', stream, record: JSON.parse(rest.toString()) as StreamRecord | null }
    default:
      throw new Error(`it is of the unknown kind ${bytes[0] ?? 'none'}`)
  }
}

export interface Counts {
  readonly streams: number
  readonly entries: number
  readonly buckets: number
  readonly chunks: number
  readonly documents: number
  /** Of all items. */
  readonly bytes: number
}

/** Counts of items, and one checksum over all of them in their order. */
export class Tally {
  readonly #counts = { streams: 0, entries: 0, buckets: 0, chunks: 0, documents: 0, bytes: 0 }
  readonly #hash = createHash('sha256')

  get counts(): Counts {
    return this.#counts
  }

  add(item: Item, bytes: Buffer): void {
    const counts = this.#counts
    counts.bytes += bytes.length
    this.#hash.update(bytes)
    switch (item.is) {
      case 'document':
        counts.documents++
        break
      case 'stream':
        counts.streams++
        break
      case 'chunk':
        counts.chunks++
        break
      case 'bucket':
        counts.buckets++
        counts.entries += item.bucket.count
        break
      case 'record':
        break
    }
  }

  /** Once, when all items were added. */
  checksum(): string {
    return this.#hash.digest('base64url')
  }
}

function textItem(kind: keyof typeof kinds, text: string): Buffer {
  return Buffer.from(kinds[kind] + text)
}
