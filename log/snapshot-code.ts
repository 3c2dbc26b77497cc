/**
 * Snapshots as bytes: chunks of retained entries, and the chunk `ids` with what stands beside them.
 *
 *   0  CRC-32 of the rest, 4     4  version, 1     5  kind, 1     6  entries or ids, 4     then these, packed
 */
import { crc32 } from 'node:zlib'
import type { Entry } from './entry.ts'
import { idFixedBytes, type RememberedId, type Retained } from './fold.ts'
import type { Piece, SenderPieces } from './inbox-sizes.ts'

const version = 1
export const kindStates = 1
export const kindIds = 2
export const headerBytes = 10
const stateFixedBytes = 27
const retainFlag = 4
const pieceBytes = 10

/** What is wrong with a chunk of this kind; undefined where nothing is. */
export function fault(value: Buffer, kind: number): string | undefined {
  if (value.length < headerBytes || crc32(value.subarray(4)) !== value.readUInt32BE(0)) return 'it fails its checksum'
  return value[4] === version && value[5] === kind ? undefined : `it is of version ${value[4]}, kind ${value[5]}`
}

export function stateBytes({ entry, creator }: Retained): number {
  const { from, client, id, topic, payload } = entry
  return stateFixedBytes + from.length + client.length + id.length + creator.length + Buffer.byteLength(topic) + payload.length
}

export function encodeStates(states: readonly Retained[]): Buffer {
  const size = states.reduce((bytes, retained) => bytes + stateBytes(retained), headerBytes)
  const value = Buffer.allocUnsafeSlow(size)
  let at = headerBytes
  for (const { entry, creator } of states) {
    at = value.writeUIntBE(entry.seq, at, 6)
    at = value.writeUIntBE(entry.ts, at, 6)
    at += value.write(entry.mark, at, 'latin1')
    at = value.writeUInt8(entry.qos | (entry.retain ? retainFlag : 0), at)
    for (const name of [entry.from, entry.client, entry.id, creator]) {
      at = value.writeUInt8(name.length, at)
      at += value.write(name, at, 'latin1')
    }
    const topicBytes = value.write(entry.topic, at + 2)
    at = value.writeUInt16BE(topicBytes, at) + topicBytes
    at = value.writeUInt32BE(entry.payload.length, at)
    at += entry.payload.copy(value, at)
  }
  return seal(value, kindStates, states.length)
}

export function decodeStates(value: Buffer): Retained[] {
  const reader = new Reader(value)
  return Array.from({ length: value.readUInt32BE(6) }, () => {
    const seq = reader.uint(6)
    const ts = reader.uint(6)
    const mark = reader.text(4)
    const flags = reader.uint(1)
    const [from, client, id, creator] = [reader.name(), reader.name(), reader.name(), reader.name()]
    const topic = reader.bytes(reader.uint(2)).toString()
    const payload = Buffer.from(reader.bytes(reader.uint(4)))
    const entry: Entry = { seq, mark, id, ts, from, client, topic, payload, retain: true, qos: (flags & 3) as 0 | 1 | 2 }
    return { entry, creator }
  })
}

/** The seqs of a chunk's entries that are live, where not all are. */
export interface Roll {
  readonly index: number
  readonly seqs: readonly number[]
}

interface Beside {
  readonly ids: readonly RememberedId[]
  readonly idsForgottenUpTo: number
  readonly rolls: ReadonlyMap<number, ReadonlySet<number>>
  readonly withdrawn: ReadonlyMap<string, number>
  readonly senders: SenderPieces
}

export const noIds: Beside = { ids: [], idsForgottenUpTo: 0, rolls: new Map(), withdrawn: new Map(), senders: [] }

interface BesideToWrite {
  readonly ids: readonly RememberedId[]
  readonly idsForgottenUpTo: number
  readonly rolls: readonly Roll[]
  readonly withdrawn: readonly (readonly [uid: string, ts: number])[]
  readonly senders: SenderPieces
}

/** Null where there is nothing to keep. */
export function encodeIds({ ids, idsForgottenUpTo, rolls, withdrawn, senders }: BesideToWrite): Buffer | null {
  if (ids.length === 0 && idsForgottenUpTo === 0 && rolls.length === 0 && withdrawn.length === 0 && senders.length === 0) return null
  const idBytes = ids.reduce((bytes, { from, id }) => bytes + idFixedBytes + from.length + id.length, 0)
  const packedRolls = rolls.map(({ index, seqs }) => ({ index, count: seqs.length, steps: packSteps(seqs) }))
  const rollBytes = packedRolls.reduce((bytes, { steps }) => bytes + 8 + steps.length, 0)
  const withdrawnBytes = withdrawn.reduce((bytes, [uid]) => bytes + 7 + uid.length, withdrawn.length + senders.length === 0 ? 0 : 4)
  const senderBytes = senders.reduce(
    (bytes, [uid, pieces]) => bytes + 3 + uid.length + pieces.length * pieceBytes,
    senders.length === 0 ? 0 : 4,
  )
  const value = Buffer.allocUnsafeSlow(headerBytes + 10 + idBytes + rollBytes + withdrawnBytes + senderBytes)
  let at = value.writeUIntBE(idsForgottenUpTo, headerBytes, 6)
  for (const { from, id, seq, mark, ts, hash } of ids) {
    at = value.writeUIntBE(seq, at, 6)
    at = value.writeUIntBE(ts, at, 6)
    at += value.write(mark, at, 'latin1')
    at += hash.copy(value, at)
    for (const name of [from, id]) {
      at = value.writeUInt8(name.length, at)
      at += value.write(name, at, 'latin1')
    }
  }
  at = value.writeUInt32BE(rolls.length, at)
  for (const { index, count, steps } of packedRolls) {
    at = value.writeUInt32BE(index, at)
    at = value.writeUInt32BE(count, at)
    at += steps.copy(value, at)
  }
  if (withdrawn.length + senders.length > 0) at = value.writeUInt32BE(withdrawn.length, at)
  for (const [uid, ts] of withdrawn) {
    at = value.writeUIntBE(ts, at, 6)
    at = value.writeUInt8(uid.length, at)
    at += value.write(uid, at, 'latin1')
  }
  if (senders.length > 0) at = value.writeUInt32BE(senders.length, at)
  for (const [uid, pieces] of senders) {
    at = value.writeUInt8(uid.length, at)
    at += value.write(uid, at, 'latin1')
    at = value.writeUInt16BE(pieces.length, at)
    for (const { lastSeq, bytes } of pieces) at = value.writeUInt32BE(bytes, value.writeUIntBE(lastSeq, at, 6))
  }
  return seal(value, kindIds, ids.length)
}

export function decodeIds(value: Buffer): Beside {
  const reader = new Reader(value)
  const idsForgottenUpTo = reader.uint(6)
  const ids = Array.from({ length: value.readUInt32BE(6) }, () => {
    const seq = reader.uint(6)
    const ts = reader.uint(6)
    const mark = reader.text(4)
    const hash = Buffer.from(reader.bytes(16))
    const [from, id] = [reader.name(), reader.name()]
    return { from, id, seq, mark, ts, hash }
  })
  const rolls = new Map<number, ReadonlySet<number>>()
  for (let left = reader.uint(4); left > 0; left--) {
    const index = reader.uint(4)
    let seq = 0
    rolls.set(index, new Set(Array.from({ length: reader.uint(4) }, () => (seq += reader.step()))))
  }
  const withdrawn = new Map<string, number>()
  // Nothing follows where nobody was withdrawn, and in chunks of the release before.
  for (let left = reader.isAtEnd ? 0 : reader.uint(4); left > 0; left--) {
    const ts = reader.uint(6)
    withdrawn.set(reader.name(), ts)
  }
  // Nor where nobody sends.
  const senders = Array.from({ length: reader.isAtEnd ? 0 : reader.uint(4) }, () => {
    const uid = reader.name()
    const pieces = Array.from({ length: reader.uint(2) }, (): Piece => ({ lastSeq: reader.uint(6), bytes: reader.uint(4) }))
    return [uid, pieces] as const
  })
  return { ids, idsForgottenUpTo, rolls, withdrawn, senders }
}

/** Ascending numbers as the steps from one to the next: seven bits to a byte, the lowest first, the top bit for more. */
function packSteps(seqs: readonly number[]): Buffer {
  const bytes: number[] = []
  let before = 0
  for (const seq of seqs) {
    let step = seq - before
    for (; step > 127; step = Math.floor(step / 128)) bytes.push((step % 128) + 128)
    bytes.push(step)
    before = seq
  }
  return Buffer.from(bytes)
}

/** Reads a chunk front to back. Users and clients come again and again: each name is one string. */
class Reader {
  readonly #value: Buffer
  readonly #names = new Map<string, string>()
  #at = headerBytes

  constructor(value: Buffer) {
    this.#value = value
  }

  get isAtEnd(): boolean {
    return this.#at === this.#value.length
  }

  uint(length: number): number {
    this.#at += length
    return this.#value.readUIntBE(this.#at - length, length)
  }

  bytes(length: number): Buffer {
    this.#at += length
    return this.#value.subarray(this.#at - length, this.#at)
  }

  text(length: number): string {
    this.#at += length
    return this.#value.toString('latin1', this.#at - length, this.#at)
  }

  step(): number {
    let step = 0
    for (let unit = 1; ; unit *= 128) {
      const byte = this.uint(1)
      step += (byte % 128) * unit
      if (byte < 128) return step
    }
  }

  name(): string {
    const name = this.text(this.uint(1))
    const known = this.#names.get(name)
    if (known === undefined) this.#names.set(name, name)
    return known ?? name
  }
}

function seal(value: Buffer, kind: number, count: number): Buffer {
  value[4] = version
  value[5] = kind
  value.writeUInt32BE(count, 6)
  value.writeUInt32BE(crc32(value.subarray(4)), 0)
  return value
}
