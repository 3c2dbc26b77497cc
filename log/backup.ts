/**
 * A backup: everything that a store holds, as one sequence of bytes that is written and read front to back.
 *
 *   TIDEMARK-BACKUP LF, then records: length of the body, 4; CRC-32 of length and body, 4; the body.
 *   The first record is the header: H and JSON of format, epoch and time. Then the items. The last one is the
 *   trailer: T and JSON of the counts and of a checksum over all items. Behind it nothing follows.
 *
 * So a byte that was changed, a record that is missing and an end that was cut off are all told from the bytes alone.
 */
import { crc32 } from 'node:zlib'
import { SyncError } from '../protocol/errors.ts'
import { contentsOf, type Item } from './contents.ts'
import { decodeItem, encodeItem, Tally, type Counts } from './contents-code.ts'
import type { Store } from './stores/store.ts'

export interface BackupHeader {
  readonly format: number
  /** Of the store that it was taken of. */
  readonly epoch: string
  /** When it was begun, ms since 1970. */
  readonly at: number
}

const magic = Buffer.from('TIDEMARK-BACKUP\n')
const format = 1
const frameBytes = 8
/** More than any item takes. */
const bodyBytesMax = 256 * 1024 * 1024
/** Small records are handed on together. */
const gatheredBytes = 64 * 1024

/** The bytes of a backup of an open store. `tally` counts along. */
export async function* writeBackup(store: Store, header: Omit<BackupHeader, 'format'>, tally = new Tally()): AsyncGenerator<Buffer> {
  let gathered = [magic, frame(Buffer.from(`H${JSON.stringify({ format, ...header })}`))]
  let bytes = 0
  for await (const item of contentsOf(store)) {
    const body = encodeItem(item)
    tally.add(item, body)
    gathered.push(frame(body))
    bytes += body.length
    if (bytes < gatheredBytes) continue
    yield Buffer.concat(gathered)
    gathered = []
    bytes = 0
  }
  gathered.push(frame(Buffer.from(`T${JSON.stringify({ ...tally.counts, checksum: tally.checksum() })}`)))
  yield Buffer.concat(gathered)
}

/** Reads a backup; throws `bad-request` with a sentence that says where it is damaged. */
export class BackupReader {
  readonly #source: AsyncIterator<Buffer>
  readonly #tally = new Tally()
  #pieces: Buffer[] = []
  #buffered = 0
  /** Where in the backup the next byte stands. */
  #at = 0
  #stream = ''

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  get counts(): Counts {
    return this.#tally.counts
  }

  /** Call it first. */
  async header(): Promise<BackupHeader> {
    const found = await this.#take(magic.length)
    if (!found?.equals(magic)) throw new SyncError('bad-request', 'this is no backup: it does not begin like one')
    const body = await this.#body()
    if (body[0] !== letter('H')) throw this.#damage('its header is missing')
    const header = JSON.parse(body.toString('utf8', 1)) as BackupHeader
    if (header.format === format) return header
    throw new SyncError('bad-request', `the backup has format ${header.format}; this release reads format ${format}`)
  }

  /** Every item with its size; ends only where the backup is whole. */
  async *items(): AsyncGenerator<{ readonly item: Item; readonly bytes: number }> {
    for (;;) {
      const start = this.#at
      const body = await this.#body()
      if (body[0] === letter('T')) return await this.#checkTrailer(body)
      const item = this.#decode(body, start)
      this.#tally.add(item, body)
      if (item.is === 'stream') this.#stream = item.stream
      yield { item, bytes: body.length }
    }
  }

  async #body(): Promise<Buffer> {
    const start = this.#at
    const head = await this.#take(frameBytes)
    if (!head) throw this.#cut(start)
    const length = head.readUInt32BE(0)
    if (length > bodyBytesMax || length === 0) throw this.#damage(`the record there says that it has ${length} bytes`, start)
    const body = await this.#take(length)
    if (!body) throw this.#cut(start)
    if (head.readUInt32BE(4) !== checksumOf(head, body)) throw this.#damage('the record there fails its checksum', start)
    return body
  }

  #decode(body: Buffer, start: number): Item {
    try {
      return decodeItem(body, this.#stream)
    } catch (error) {
      throw this.#damage(error instanceof Error ? error.message : String(error), start)
    }
  }

  async #checkTrailer(body: Buffer): Promise<void> {
    const { checksum, ...told } = JSON.parse(body.toString('utf8', 1)) as Counts & { readonly checksum: string }
    const read = this.#tally.checksum()
    const counts = this.#tally.counts
    for (const name of Object.keys(counts) as (keyof Counts)[]) {
      if (counts[name] !== told[name]) throw this.#damage(`it holds ${counts[name]} ${name} instead of ${told[name]}`)
    }
    if (read !== checksum) throw this.#damage('the checksum over all of it does not fit')
    if (await this.#take(1)) throw this.#damage('bytes follow behind its end')
  }

  /** Undefined where the backup ends before that. */
  async #take(length: number): Promise<Buffer | undefined> {
    while (this.#buffered < length) {
      const { done, value } = await this.#source.next()
      if (done) return undefined
      this.#pieces.push(value)
      this.#buffered += value.length
    }
    const all = this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces)
    this.#pieces = [all.subarray(length)]
    this.#buffered -= length
    this.#at += length
    return all.subarray(0, length)
  }

  #cut(start: number): SyncError {
    return new SyncError('bad-request', `the backup ends in the record at byte ${start}${this.#where()}, before its end: it was cut off`)
  }

  #damage(what: string, at = this.#at): SyncError {
    return new SyncError('bad-request', `the backup is damaged at byte ${at}${this.#where()}: ${what}`)
  }

  #where(): string {
    return this.#stream === '' ? '' : ` (in ${this.#stream})`
  }
}

function frame(body: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(frameBytes + body.length)
  framed.writeUInt32BE(body.length, 0)
  body.copy(framed, frameBytes)
  framed.writeUInt32BE(checksumOf(framed, body), 4)
  return framed
}

/** Over the length, too: otherwise a changed length would look like a backup that was cut. */
function checksumOf(head: Buffer, body: Buffer): number {
  return crc32(body, crc32(head.subarray(0, 4)))
}

function letter(text: string): number {
  return text.charCodeAt(0)
}
