/**
 * Durable snapshots of a stream's state: immutable checksummed chunks first, the manifest last.
 *
 * A chunk holds the retained entries of one range of seq, and its name says where the range ends; the
 * ranges of a manifest follow one another. An entry never comes back once its topic has changed, so the
 * state within a range only shrinks, and a chunk is used again for as long as half of it is live. Which of its
 * entries still are stands in the chunk `ids`, which is written anew beside the remembered entry ids.
 *
 *   0  CRC-32 of the rest, 4     4  version, 1     5  kind, 1     6  entries or ids, 4     then these, packed
 */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Limits } from '../seams/limits.ts'
import { drawNonce } from './bucket.ts'
import type { Entry } from './entry.ts'
import { Fold, idFixedBytes, type RememberedId, type Retained } from './fold.ts'
import type { SnapshotManifest, Store, StreamRecord } from './stores/store.ts'

const version = 1
const kindStates = 1
const kindIds = 2
const headerBytes = 10
const stateFixedBytes = 27
const retainFlag = 4

type ChunkOfManifest = SnapshotManifest['chunks'][number]

export class Snapshots {
  readonly #store: Store
  readonly #limits: Limits

  constructor(store: Store, limits: Limits) {
    this.#store = store
    this.#limits = limits
  }

  /** The state of the newest snapshot, an empty one where there is none. Throws an Error naming stream and chunk where one is damaged. */
  async load(stream: string, record: StreamRecord | undefined): Promise<Fold> {
    const manifest = record?.snapshot
    if (!manifest) return new Fold(this.#limits)
    const beside = manifest.ids === null ? noIds : decodeIds(await this.#chunk(stream, manifest.ids, kindIds))
    const states: Retained[] = []
    for (const [index, { name, live }] of manifest.chunks.entries()) {
      const all = decodeStates(await this.#chunk(stream, name, kindStates))
      const roll = beside.rolls.get(index)
      const kept = roll ? all.filter(({ entry }) => roll.has(entry.seq)) : all
      if (kept.length !== live) throw damaged(stream, name, `${kept.length} live entries instead of ${live}`)
      for (const retained of kept) states.push(retained)
    }
    return Fold.restore(this.#limits, { ...beside, states, seq: manifest.seq, mark: manifest.mark })
  }

  /**
   * Writes what changed since the record's snapshot and returns the new manifest, which is not recorded yet:
   * until it is, the chunks written are garbage that harms nobody. The fold may move on meanwhile.
   */
  async write(stream: string, fold: Fold, record: StreamRecord | undefined): Promise<SnapshotManifest> {
    const old = record?.snapshot ?? null
    if (old && fold.seq <= old.seq) return old
    const { seq, mark, idsForgottenUpTo } = fold
    const ids = fold.ids()
    const withdrawn = [...fold.withdrawn]
    const groups = planGroups(stream, fold.states(), seq, old, this.#limits.snapshotChunkBytesMax)
    const chunks: ChunkOfManifest[] = []
    const rolls: Roll[] = []
    for (const { states, upTo, kept } of groups) {
      if (kept) {
        if (states.length < kept.total) rolls.push({ index: chunks.length, seqs: states.map(({ entry }) => entry.seq) })
        chunks.push({ ...kept, live: states.length })
      } else {
        const name = `s${upTo}-${drawName()}`
        await this.#store.putChunk(stream, name, encodeStates(states))
        chunks.push({ name, live: states.length, total: states.length })
      }
    }
    const beside = await this.#writeIds(stream, encodeIds({ ids, idsForgottenUpTo, rolls, withdrawn }), seq, old)
    return { seq, mark, chunks, ids: beside }
  }

  /** Removes the chunks that only the old manifest names; call it when the record with the new one is durable. */
  async removeStale(stream: string, old: SnapshotManifest | null, now: SnapshotManifest | null): Promise<void> {
    const named = new Set(chunkNames(now))
    const stale = chunkNames(old).filter((name) => !named.has(name))
    await Promise.all(stale.map((name) => this.#store.removeChunk(stream, name)))
  }

  /** The same content as in the old snapshot is not written again: its name carries its hash. */
  async #writeIds(stream: string, value: Buffer | null, seq: number, old: SnapshotManifest | null): Promise<string | null> {
    if (!value) return null
    const content = createHash('sha256').update(value).digest('base64url').slice(0, 22)
    if (old?.ids?.includes(`.${content}.`)) return old.ids
    const name = `i${seq}.${content}.${drawName()}`
    await this.#store.putChunk(stream, name, value)
    return name
  }

  async #chunk(stream: string, name: string, kind: number): Promise<Buffer> {
    const value = await this.#store.getChunk(stream, name)
    if (!value) throw damaged(stream, name, 'it is missing')
    if (value.length < headerBytes || crc32(value.subarray(4)) !== value.readUInt32BE(0))
      throw damaged(stream, name, 'it fails its checksum')
    if (value[4] !== version || value[5] !== kind) throw damaged(stream, name, `it is of version ${value[4]}, kind ${value[5]}`)
    return value
  }
}

/** Entries that stand in one chunk: one that is kept, or one to be written. */
interface Group {
  readonly states: readonly Retained[]
  readonly bytes: number
  readonly upTo: number
  readonly kept: ChunkOfManifest | undefined
}

/**
 * Groups the state by the old chunks and the new entries, and merges a group with the one before it where
 * both fit in one chunk and that one is at most twice as large. So of two neighbours, either both together
 * exceed a chunk or the first is more than twice the second, which bounds their number, and an entry is
 * written again only when its group has grown by half.
 */
function planGroups(
  stream: string,
  states: readonly Retained[],
  seq: number,
  old: SnapshotManifest | null,
  chunkBytesMax: number,
): Group[] {
  const bytesMax = chunkBytesMax - headerBytes
  const groups: Group[] = []
  let at = 0
  for (const chunk of old?.chunks ?? []) {
    const start = at
    const upTo = endOfRange(stream, chunk.name)
    let bytes = 0
    for (; at < states.length && (states[at] as Retained).entry.seq <= upTo; at++) bytes += stateBytes(states[at] as Retained)
    if (at === start) continue
    const live = at - start
    if (live > chunk.live) throw damaged(stream, chunk.name, `its range holds ${live} entries instead of at most ${chunk.live}`)
    push({ states: states.slice(start, at), bytes, upTo, kept: live * 2 >= chunk.total ? chunk : undefined })
  }
  while (at < states.length) {
    const start = at
    let bytes = stateBytes(states[at++] as Retained)
    for (; at < states.length; at++) {
      const more = stateBytes(states[at] as Retained)
      if (bytes + more > bytesMax) break
      bytes += more
    }
    const upTo = at === states.length ? seq : (states[at - 1] as Retained).entry.seq
    push({ states: states.slice(start, at), bytes, upTo, kept: undefined })
  }
  return groups

  function push(group: Group): void {
    let merged = group
    for (let before = groups.at(-1); before; before = groups.at(-1)) {
      const bytes = before.bytes + merged.bytes
      if (bytes > bytesMax || before.bytes > merged.bytes * 2) break
      merged = { states: [...before.states, ...merged.states], bytes, upTo: merged.upTo, kept: undefined }
      groups.pop()
    }
    groups.push(merged)
  }
}

function stateBytes({ entry, creator }: Retained): number {
  const { from, client, id, topic, payload } = entry
  return stateFixedBytes + from.length + client.length + id.length + creator.length + Buffer.byteLength(topic) + payload.length
}

function encodeStates(states: readonly Retained[]): Buffer {
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

function decodeStates(value: Buffer): Retained[] {
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
interface Roll {
  readonly index: number
  readonly seqs: readonly number[]
}

interface Beside {
  readonly ids: readonly RememberedId[]
  readonly idsForgottenUpTo: number
  readonly rolls: ReadonlyMap<number, ReadonlySet<number>>
  readonly withdrawn: ReadonlyMap<string, number>
}

const noIds: Beside = { ids: [], idsForgottenUpTo: 0, rolls: new Map(), withdrawn: new Map() }

interface BesideToWrite {
  readonly ids: readonly RememberedId[]
  readonly idsForgottenUpTo: number
  readonly rolls: readonly Roll[]
  readonly withdrawn: readonly (readonly [uid: string, ts: number])[]
}

/** Null where there is nothing to keep. */
function encodeIds({ ids, idsForgottenUpTo, rolls, withdrawn }: BesideToWrite): Buffer | null {
  if (ids.length === 0 && idsForgottenUpTo === 0 && rolls.length === 0 && withdrawn.length === 0) return null
  const idBytes = ids.reduce((bytes, { from, id }) => bytes + idFixedBytes + from.length + id.length, 0)
  const packedRolls = rolls.map(({ index, seqs }) => ({ index, count: seqs.length, steps: packSteps(seqs) }))
  const rollBytes = packedRolls.reduce((bytes, { steps }) => bytes + 8 + steps.length, 0)
  const withdrawnBytes = withdrawn.reduce((bytes, [uid]) => bytes + 7 + uid.length, withdrawn.length === 0 ? 0 : 4)
  const value = Buffer.allocUnsafeSlow(headerBytes + 10 + idBytes + rollBytes + withdrawnBytes)
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
  if (withdrawn.length > 0) at = value.writeUInt32BE(withdrawn.length, at)
  for (const [uid, ts] of withdrawn) {
    at = value.writeUIntBE(ts, at, 6)
    at = value.writeUInt8(uid.length, at)
    at += value.write(uid, at, 'latin1')
  }
  return seal(value, kindIds, ids.length)
}

function decodeIds(value: Buffer): Beside {
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
  return { ids, idsForgottenUpTo, rolls, withdrawn }
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

/** Unique for every write, so that one that was never recorded is in nobody's way. */
function drawName(): string {
  return drawNonce().toString('base64url')
}

function endOfRange(stream: string, name: string): number {
  const seq = /^s(\d+)-/.exec(name)?.[1]
  if (seq === undefined) throw damaged(stream, name, 'its name does not say where its range ends')
  return Number(seq)
}

/** Every chunk that the snapshot is made of. */
export function chunkNames(manifest: SnapshotManifest | null): string[] {
  if (!manifest) return []
  const names = manifest.chunks.map(({ name }) => name)
  return manifest.ids === null ? names : [...names, manifest.ids]
}

function damaged(stream: string, chunk: string, reason: string): Error {
  return new Error(`the snapshot of ${stream} is damaged at chunk ${chunk}: ${reason}`)
}
