/** The state of one stream: a fold of its log [P-9.1]. Everything here follows from the entries alone, so every node comes to the same. */
import { hash } from 'node:crypto'
import { emptyMark } from '../protocol/positions.ts'
import type { Limits } from '../seams/limits.ts'
import type { Bucket } from './bucket.ts'
import type { Entry } from './entry.ts'
import { InboxSizes, type SenderPieces } from './inbox-sizes.ts'

/** The last retained entry of a topic. */
export interface Retained {
  /** Its payload is a copy that does not pin its bucket. */
  readonly entry: Entry
  /** The uid of the first retained entry since the topic was last absent [P-9.2]. */
  readonly creator: string
}

/** An entry whose id its client gave, as long as it is remembered [P-9.4]. */
export interface KnownId {
  readonly seq: number
  readonly mark: string
  /** Of its content: 16 bytes. */
  readonly hash: Buffer
  readonly ts: number
}

/** A remembered id with its uid. */
export interface RememberedId extends KnownId {
  readonly from: string
  readonly id: string
}

/** What a fold is made of, as a snapshot keeps it. */
export interface FoldParts {
  readonly seq: number
  readonly mark: string
  /** Ascending by seq. */
  readonly states: readonly Retained[]
  /** Ascending by seq. */
  readonly ids: readonly RememberedId[]
  readonly idsForgottenUpTo: number
  /** When each withdrawn member was withdrawn last, ms. */
  readonly withdrawn: ReadonlyMap<string, number>
  readonly senders: SenderPieces
}

export type FoldLimits = Pick<Limits, 'idWindowMs' | 'idWindowEntries' | 'idWindowBytesMax' | 'relayBytesMax'>

/** About what a retained entry and an id take in memory beside their own bytes. */
const retainedOverheadBytes = 400
const idOverheadBytes = 300
const withdrawnBytes = 200
const senderBytes = 400
/** Bytes of a remembered id beside uid and id: what it takes in a snapshot, which is what `idWindowBytesMax` counts. */
export const idFixedBytes = 34

export class Fold {
  /** The state is that of the stream at this entry; 0 and `0000` at the beginning. */
  seq = 0
  mark = emptyMark
  /** Of an inbox: what its senders have in it. */
  readonly inbox: InboxSizes
  readonly #window: FoldLimits
  /** In the order of seq: a topic that changes moves to the end. */
  readonly #retained = new Map<string, Retained>()
  #retainedBytes = 0
  readonly #ids = new Map<string, RememberedId>()
  /** Ids in the order of seq; those before `#oldest` are forgotten. */
  #order: RememberedId[] = []
  #oldest = 0
  #idBytes = 0
  #idsForgottenUpTo = 0
  readonly #withdrawn = new Map<string, number>()

  constructor(limits: FoldLimits) {
    this.#window = limits
    this.inbox = new InboxSizes(limits)
  }

  /** A fold as it was when its parts were taken. */
  static restore(limits: FoldLimits, parts: FoldParts): Fold {
    const fold = new Fold(limits)
    fold.seq = parts.seq
    fold.mark = parts.mark
    for (const retained of parts.states) fold.#retain(retained)
    for (const known of parts.ids) fold.#remember(known)
    fold.#idsForgottenUpTo = parts.idsForgottenUpTo
    for (const [uid, ts] of parts.withdrawn) fold.#withdrawn.set(uid, ts)
    fold.inbox.restore(parts.senders)
    return fold
  }

  /** About what it takes in memory. */
  get bytes(): number {
    return (
      this.#retainedBytes +
      this.#idBytes +
      this.#ids.size * idOverheadBytes +
      this.#withdrawn.size * withdrawnBytes +
      this.inbox.senders * senderBytes +
      1_000
    )
  }

  retained(topic: string): Retained | undefined {
    return this.#retained.get(topic)
  }

  /** The last retained entry of every topic, ascending by seq. */
  states(): Retained[] {
    return [...this.#retained.values()]
  }

  /** The entry that the user published under this id, if it is still remembered [P-9.5]. */
  id(from: string, id: string): KnownId | undefined {
    return this.#ids.get(idKey(from, id))
  }

  /** Every remembered id, ascending by seq. */
  ids(): RememberedId[] {
    return this.#order.slice(this.#oldest).filter((known) => this.#ids.get(idKey(known.from, known.id)) === known)
  }

  /** Ids of entries up to this seq may have left the window: not finding one of them proves nothing [P-9.9]. */
  get idsForgottenUpTo(): number {
    return this.#idsForgottenUpTo
  }

  /** When each withdrawn member was withdrawn last, ms [P-16.2]. */
  get withdrawn(): ReadonlyMap<string, number> {
    return this.#withdrawn
  }

  /** Whether nobody has withdrawn the user since the token was issued. */
  isMember(uid: string, issuedAtMs: number): boolean {
    const ts = this.#withdrawn.get(uid)
    return ts === undefined || issuedAtMs > ts
  }

  /** Takes in the next bucket. Entries already taken in have no effect; throws if entries are missing before it. */
  apply(bucket: Bucket): void {
    const { lastSeq, firstSeq } = bucket
    if (lastSeq <= this.seq) return
    if (firstSeq > this.seq + 1) {
      throw new Error(`the state of ${bucket.stream} stands at seq ${this.seq}: the bucket that begins at ${firstSeq} leaves a gap`)
    }
    const { mark } = bucket
    if (bucket.erases) this.#erase(lastSeq)
    this.inbox.apply(bucket, this.seq + 1 - firstSeq)
    if (bucket.hasRetained || bucket.hasGivenIds || bucket.hasAcl) this.#applyEntries(bucket, mark)
    this.seq = lastSeq
    this.mark = mark
    if (this.#oldest < this.#order.length) this.#forget(bucket.ts)
  }

  #applyEntries(bucket: Bucket, mark: string): void {
    for (let index = this.seq + 1 - bucket.firstSeq; index < bucket.count; index++) {
      const retain = bucket.retain(index)
      const id = bucket.givenId(index)
      if (bucket.isAcl(index)) this.#withdrawn.set(bucket.withdrawn(index), bucket.ts)
      if (id !== '') {
        const content = contentHash(bucket.topic(index), bucket.payload(index), retain)
        this.#remember({ from: bucket.from(index), id, seq: bucket.firstSeq + index, mark, hash: content, ts: bucket.ts })
      }
      if (!retain) continue
      const topic = bucket.topic(index)
      const before = this.#remove(topic)
      if (bucket.payload(index).length === 0) continue
      const entry = bucket.entry(index)
      this.#retain({ entry: { ...entry, payload: Buffer.from(entry.payload) }, creator: before?.creator ?? entry.from })
    }
  }

  /** Who was withdrawn stays so. */
  #erase(seq: number): void {
    this.#retained.clear()
    this.#retainedBytes = 0
    this.#ids.clear()
    this.#idBytes = 0
    this.#order = []
    this.#oldest = 0
    this.#idsForgottenUpTo = seq
    this.inbox.clear()
  }

  #retain(retained: Retained): void {
    this.#retained.set(retained.entry.topic, retained)
    this.#retainedBytes += retainedBytes(retained)
  }

  #remove(topic: string): Retained | undefined {
    const before = this.#retained.get(topic)
    if (!before) return undefined
    this.#retained.delete(topic)
    this.#retainedBytes -= retainedBytes(before)
    return before
  }

  #remember(known: RememberedId): void {
    const key = idKey(known.from, known.id)
    const before = this.#ids.get(key)
    if (before) this.#idBytes -= idBytes(before) // Its place in the order is passed over when it comes to its turn.
    this.#ids.set(key, known)
    this.#order.push(known)
    this.#idBytes += idBytes(known)
  }

  /** The window only ever moves forward, so when it is looked at makes no difference to what it holds. */
  #forget(nowMs: number): void {
    const { idWindowMs, idWindowEntries, idWindowBytesMax } = this.#window
    for (; this.#oldest < this.#order.length; this.#oldest++) {
      const known = this.#order[this.#oldest] as RememberedId
      const key = idKey(known.from, known.id)
      if (this.#ids.get(key) !== known) continue
      const young = nowMs - known.ts < idWindowMs || known.seq > this.seq - idWindowEntries
      if (young && this.#idBytes <= idWindowBytesMax) break
      this.#ids.delete(key)
      this.#idBytes -= idBytes(known)
      this.#idsForgottenUpTo = known.seq
    }
    if (this.#oldest > 1_000 && this.#oldest * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#oldest)
      this.#oldest = 0
    }
  }
}

/** 16 bytes that tell one content from another [P-9.6]: SHA-256 over retain, the length of the topic, topic and payload. */
export function contentHash(topic: string, payload: Uint8Array, retain: boolean): Buffer {
  const topicBytes = Buffer.byteLength(topic)
  const framed = Buffer.allocUnsafe(5 + topicBytes + payload.length)
  framed[0] = retain ? 1 : 0
  framed.writeUInt32BE(topicBytes, 1)
  framed.write(topic, 5)
  framed.set(payload, 5 + topicBytes)
  // A digest as a string is cheaper than one as a buffer, of which a slice would pin the rest.
  return Buffer.from(hash('sha256', framed, 'binary').slice(0, 16), 'latin1')
}

function idKey(from: string, id: string): string {
  return `${from} ${id}` // Neither of them can hold a space.
}

function idBytes({ from, id }: RememberedId): number {
  return idFixedBytes + from.length + id.length
}

function retainedBytes({ entry }: Retained): number {
  return retainedOverheadBytes + entry.topic.length + entry.payload.length
}
