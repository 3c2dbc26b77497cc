/**
 * A bucket: the entries of one stream in one commit, packed once and never changed.
 *
 *   0  version, 1 byte         14  first seq, 6 bytes      28  publishers, 2 bytes
 *   1  reserved, 1 byte        20  entries, 2 bytes        30  offset of the frames, 4 bytes
 *   2  CRC-32 of the rest, 4   22  time of all, 6 bytes    34  publishers: length, uid, length, client
 *   6  nonce, 8 bytes
 *   then per entry 4 bytes: publisher (2), flags (1), length of a given id (1);
 *   then the given ids; then the frames: PUBLISH packets at QoS 1 with an empty packet id, back to back.
 *
 * The frames are what goes to subscribers: a run of them is copied and the ids are patched in.
 */
import { randomFillSync } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { publishQos1, type Draft } from './draft.ts'
import type { Entry } from './entry.ts'
import { aclTopicOf, withdrawnBy } from './members.ts'

const version = 1
const headerBytes = 34
const entryBytes = 4
const qosFlags = 3
const retainFlag = 4
const givenIdFlag = 8
/** Of the server, about who is a member [P-4.29]. */
const aclFlag = 16
/** Of the server as well: what stands before it is erased [P-17.2]. */
const erasesFlag = 32

export class Bucket {
  readonly stream: string
  readonly value: Buffer
  readonly firstSeq: number
  readonly count: number
  /** Start of each frame, and the end of the last. */
  readonly frameStarts: number[]
  /** Where the two bytes of each packet id stand. */
  readonly idOffsets: number[]
  /** Every entry may be sent at QoS 1 as it stands: none was published at QoS 0. */
  readonly uniform: boolean
  readonly hasRetained: boolean
  readonly hasGivenIds: boolean
  readonly hasAcl: boolean
  /** Its one entry erases the stream before it. */
  readonly erases: boolean
  readonly #topics: (string | undefined)[]
  /** Read when first asked for: live delivery needs none of them. */
  #publishers: readonly Publisher[] | undefined = undefined
  readonly #metaStart: number
  readonly #idsStart: number
  #idStarts: number[] | undefined = undefined
  /** When the socket had the entries, when they were judged and when they were on disk; only in the process that committed them. */
  hops: Hops | undefined = undefined
  /** Envelopes made so far, shared between readers. */
  envelopes: (Buffer | undefined)[] | undefined = undefined

  /** Reads a stored value; throws an Error naming stream and seq if it is damaged. */
  constructor(stream: string, value: Buffer, known?: KnownParts) {
    this.stream = stream
    this.value = value
    if (!known) checkValue(stream, value)
    this.firstSeq = value.readUIntBE(14, 6)
    this.count = value.readUInt16BE(20)
    this.#metaStart = known?.metaStart ?? endOfPublishers(value)
    this.#idsStart = this.#metaStart + this.count * entryBytes
    this.#topics = known?.topics ?? Array.from<undefined>({ length: this.count })
    this.frameStarts = known?.frameStarts ?? []
    this.idOffsets = known?.idOffsets ?? []
    if (!known) this.#findFrames(value.readUInt32BE(30))
    let flagsAll = 0
    let uniform = true
    for (let at = this.#metaStart + 2; at < this.#idsStart; at += entryBytes) {
      const flags = value[at] as number
      flagsAll |= flags
      if ((flags & qosFlags) === 0) uniform = false
    }
    this.uniform = uniform
    this.hasRetained = (flagsAll & retainFlag) !== 0
    this.hasGivenIds = (flagsAll & givenIdFlag) !== 0
    this.hasAcl = (flagsAll & aclFlag) !== 0
    this.erases = (flagsAll & erasesFlag) !== 0
  }

  get lastSeq(): number {
    return this.firstSeq + this.count - 1
  }

  get nonce(): Buffer {
    return this.value.subarray(6, 14)
  }

  /** The four characters that tie a position to this bucket. */
  get mark(): string {
    return markOf(this.nonce)
  }

  /** When the entries were committed, ms since 1970: never before the entry in front of them. */
  get ts(): number {
    return this.value.readUIntBE(22, 6)
  }

  /** What it takes in memory, about. */
  get bytes(): number {
    return this.value.length + this.count * 40 + 800
  }

  topic(index: number): string {
    let topic = this.#topics[index]
    if (topic === undefined) {
      const idOffset = this.idOffsets[index] as number
      const length = frameTopicStart(this.value, this.frameStarts[index] as number)
      topic = this.#topics[index] = this.value.toString('utf8', length, idOffset)
    }
    return topic
  }

  qos(index: number): 0 | 1 | 2 {
    return (this.#flags(index) & qosFlags) as 0 | 1 | 2
  }

  retain(index: number): boolean {
    return (this.#flags(index) & retainFlag) !== 0
  }

  /** Whether an entry may be one of the server, which the plain door does not deliver [P-4.29]. */
  get hasNotes(): boolean {
    return this.hasAcl || this.erases
  }

  isNote(index: number): boolean {
    return (this.#flags(index) & (aclFlag | erasesFlag)) !== 0
  }

  isAcl(index: number): boolean {
    return (this.#flags(index) & aclFlag) !== 0
  }

  /** The uid that an entry on `$acl` withdraws. */
  withdrawn(index: number): string {
    return withdrawnBy(this.payload(index))
  }

  payload(index: number): Buffer {
    return this.value.subarray((this.idOffsets[index] as number) + 2, this.frameStarts[index + 1])
  }

  /** The id the client gave, or the one this bucket gives, stable for ever [P-3.19]. */
  id(index: number): string {
    return this.givenId(index) || `${this.nonce.toString('base64url')}-${index}`
  }

  givenId(index: number): string {
    if ((this.#flags(index) & givenIdFlag) === 0) return ''
    const start = this.#givenIdStarts()[index] as number
    return this.value.toString('latin1', start, start + this.#idLength(index))
  }

  from(index: number): string {
    return this.#publisher(index).from
  }

  client(index: number): string {
    return this.#publisher(index).client
  }

  entry(index: number): Entry {
    return {
      seq: this.firstSeq + index,
      mark: this.mark,
      id: this.id(index),
      ts: this.ts,
      from: this.from(index),
      client: this.client(index),
      topic: this.topic(index),
      payload: this.payload(index),
      retain: this.retain(index),
      qos: this.qos(index),
    }
  }

  #givenIdStarts(): number[] {
    if (!this.#idStarts) {
      this.#idStarts = []
      let start = this.#idsStart
      for (let index = 0; index < this.count; index++) {
        this.#idStarts[index] = start
        start += this.#idLength(index)
      }
    }
    return this.#idStarts
  }

  #publisher(index: number): Publisher {
    this.#publishers ??= readPublishers(this.value)
    return this.#publishers[this.value.readUInt16BE(this.#metaStart + index * entryBytes)] as Publisher
  }

  #flags(index: number): number {
    return this.value[this.#metaStart + index * entryBytes + 2] as number
  }

  #idLength(index: number): number {
    return this.value[this.#metaStart + index * entryBytes + 3] as number
  }

  #findFrames(start: number): void {
    const { value, frameStarts, idOffsets } = this
    let at = start
    for (let index = 0; index < this.count; index++) {
      frameStarts[index] = at
      let remaining = 0
      let shift = 0
      let header = at + 1
      let byte: number
      do {
        byte = value[header++] as number
        remaining |= (byte & 127) << shift
        shift += 7
      } while (byte > 127)
      idOffsets[index] = header + 2 + (((value[header] as number) << 8) | (value[header + 1] as number))
      at = header + remaining
    }
    frameStarts[this.count] = at
  }
}

interface Publisher {
  readonly from: string
  readonly client: string
}

/** When the entries of a bucket passed each station, ms of the server's clock [P-3.17]. */
export interface Hops {
  readonly received: readonly number[]
  readonly authorised: number
  readonly committed: number
}

interface KnownParts {
  readonly metaStart: number
  readonly topics: string[]
  readonly frameStarts: number[]
  readonly idOffsets: number[]
}

/** The mark of a nonce: what a position carries of it. */
export function markOf(nonce: Buffer): string {
  return nonce.toString('base64url', 0, 3)
}

/** Eight random bytes that tell this bucket from any other at its place. */
export function drawNonce(): Buffer {
  if (noncesUsed === noncePool.length) {
    randomFillSync(noncePool)
    noncesUsed = 0
  }
  const nonce = Buffer.from(noncePool.subarray(noncesUsed, noncesUsed + 8))
  noncesUsed += 8
  return nonce
}
const noncePool = Buffer.alloc(4096)
let noncesUsed = noncePool.length

/** Packs drafts that were judged; `ts` is the time of all of them. */
export function packBucket(stream: string, firstSeq: number, nonce: Buffer, ts: number, drafts: readonly Draft[]): Bucket {
  const publishers = new PublisherTable()
  const numbers: number[] = []
  let idBytes = 0
  let frameBytes = 0
  for (const draft of drafts) {
    numbers.push(publishers.numberOf(draft))
    idBytes += draft.id.length
    frameBytes += draft.bytes
  }
  const metaStart = headerBytes + publishers.bytes
  const idsStart = metaStart + drafts.length * entryBytes
  const framesStart = idsStart + idBytes
  const size = framesStart + frameBytes
  const value = size < 2048 ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size)
  value.writeUInt16BE(version << 8, 0)
  nonce.copy(value, 6)
  value.writeUIntBE(firstSeq, 14, 6)
  value.writeUInt16BE(drafts.length, 20)
  value.writeUIntBE(ts, 22, 6)
  value.writeUInt16BE(publishers.list.length, 28)
  value.writeUInt32BE(framesStart, 30)
  publishers.write(value)
  const topics: string[] = []
  const frameStarts: number[] = []
  const idOffsets: number[] = []
  const acl = aclTopicOf(stream)
  let meta = metaStart
  let idAt = idsStart
  let frame = framesStart
  for (let index = 0; index < drafts.length; index++) {
    const draft = drafts[index] as Draft
    value.writeUInt16BE(numbers[index] as number, meta)
    value[meta + 2] = draft.qos | (draft.retain ? retainFlag : 0) | (draft.id === '' ? 0 : givenIdFlag)
    if (draft.topic === acl) value[meta + 2] = (value[meta + 2] as number) | aclFlag
    if (draft.erases) value[meta + 2] = (value[meta + 2] as number) | erasesFlag
    value[meta + 3] = draft.id.length
    meta += entryBytes
    if (draft.id !== '') idAt += value.write(draft.id, idAt, 'latin1')
    frameStarts[index] = frame
    const idOffset = (idOffsets[index] = frame + draft.idOffset - draft.start)
    draft.source.copy(value, frame, draft.start, draft.end)
    value[frame] = publishQos1
    value[idOffset] = value[idOffset + 1] = 0
    topics.push(draft.topic)
    frame += draft.bytes
  }
  frameStarts[drafts.length] = frame
  value.writeUInt32BE(crc32(value.subarray(6)), 2)
  return new Bucket(stream, value, { topics, frameStarts, idOffsets, metaStart })
}

/** The publishers of a bucket, each once. Mostly there is one, so the last one is tried first. */
class PublisherTable {
  readonly list: Publisher[] = []
  bytes = 0
  #last = -1
  #numbers: Map<string, number> | undefined = undefined

  numberOf({ from, client }: Publisher): number {
    const last = this.list[this.#last]
    if (last && last.from === from && last.client === client) return this.#last
    const known = this.#numbers?.get(`${from} ${client}`)
    return (this.#last = known ?? this.#add(from, client))
  }

  write(value: Buffer): void {
    let at = headerBytes
    for (const { from, client } of this.list) {
      value[at++] = from.length
      at += value.write(from, at, 'latin1')
      value[at++] = client.length
      at += value.write(client, at, 'latin1')
    }
  }

  #add(from: string, client: string): number {
    const number = this.list.push({ from, client }) - 1
    this.bytes += 2 + from.length + client.length
    if (number === 0) return number
    this.#numbers ??= new Map([[`${this.list[0]?.from} ${this.list[0]?.client}`, 0]])
    this.#numbers.set(`${from} ${client}`, number)
    return number
  }
}

function readPublishers(value: Buffer): Publisher[] {
  const list: Publisher[] = []
  let at = headerBytes
  for (let left = value.readUInt16BE(28); left > 0; left--) {
    const fromEnd = at + 1 + (value[at] as number)
    const clientEnd = fromEnd + 1 + (value[fromEnd] as number)
    list.push({ from: value.toString('latin1', at + 1, fromEnd), client: value.toString('latin1', fromEnd + 1, clientEnd) })
    at = clientEnd
  }
  return list
}

function endOfPublishers(value: Buffer): number {
  let at = headerBytes
  for (let lengths = 2 * value.readUInt16BE(28); lengths > 0; lengths--) at += 1 + (value[at] as number)
  return at
}

function frameTopicStart(value: Buffer, frameStart: number): number {
  let at = frameStart + 1
  while ((value[at++] as number) > 127);
  return at + 2
}

function checkValue(stream: string, value: Buffer): void {
  if (value.length < headerBytes || value[0] !== version) {
    throw new Error(`a bucket of ${stream} has the unknown version ${value[0] ?? 'none'}`)
  }
  if (crc32(value.subarray(6)) !== value.readUInt32BE(2)) {
    throw new Error(`the bucket of ${stream} that begins at seq ${value.readUIntBE(14, 6)} fails its checksum`)
  }
}
