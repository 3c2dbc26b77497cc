/**
 * How many bytes the messages of each sender take in an inbox [P-15.11], as part of its fold. They are counted in pieces: a piece
 * counts until the last of its messages is trimmed, so that nothing needs to be read again when a stream is trimmed.
 */
import { relaySendersMax, type Limits } from '../seams/limits.ts'
import type { Bucket } from './bucket.ts'
import type { Stream } from './stream.ts'

/** Messages of one sender that follow one another. */
export interface Piece {
  readonly lastSeq: number
  readonly bytes: number
}

/** By sender, the one that has sent longest ago first; ascending by seq. */
export type SenderPieces = readonly (readonly [uid: string, pieces: readonly Piece[]])[]

/** How many bytes one sender may have in an inbox, and where that begins. */
export interface InboxRoom {
  readonly first: number
  readonly bytesMax: number
}

/** So the bound is exact to a part in so many. */
const piecesPerBound = 64
/** However high the bound is, a piece must fit its place in a snapshot. */
const pieceBytesMax = 64 * 1024 * 1024

/** Undefined for streams that are no inbox, and where the bound is off. */
export function roomOf({ name, first }: Stream, { relayBytesMax: bytesMax }: Limits): InboxRoom | undefined {
  return isInbox(name) && bytesMax > 0 ? { first, bytesMax } : undefined
}

export class InboxSizes {
  readonly #pieceBytes: number
  readonly #senders = new Map<string, Piece[]>()

  constructor({ relayBytesMax }: Pick<Limits, 'relayBytesMax'>) {
    this.#pieceBytes = Math.min(Math.ceil(relayBytesMax / piecesPerBound), pieceBytesMax)
  }

  /** Takes in the entries of the bucket from this index on; nothing of a stream that is no inbox. */
  apply(bucket: Bucket, from: number): void {
    if (this.#pieceBytes === 0 || !isInbox(bucket.stream)) return
    for (let index = from; index < bucket.count; index++) {
      const bytes = (bucket.frameStarts[index + 1] as number) - (bucket.frameStarts[index] as number)
      this.#add(bucket.from(index), { lastSeq: bucket.firstSeq + index, bytes })
    }
  }

  /** Of messages that are not trimmed where the stream begins at `first`, and of up to a piece that are. */
  bytesOf(uid: string, first: number): number {
    return (this.#senders.get(uid) ?? []).reduce((sum, { lastSeq, bytes }) => (lastSeq < first ? sum : sum + bytes), 0)
  }

  /** What still counts where the stream begins at `first`. */
  pieces(first: number): SenderPieces {
    const counting = [...this.#senders].map(([uid, all]) => [uid, all.filter(({ lastSeq }) => lastSeq >= first)] as const)
    return counting.filter(([, pieces]) => pieces.length > 0)
  }

  restore(senders: SenderPieces): void {
    for (const [uid, pieces] of senders) this.#senders.set(uid, [...pieces])
  }

  clear(): void {
    this.#senders.clear()
  }

  get senders(): number {
    return this.#senders.size
  }

  #add(uid: string, { lastSeq, bytes }: Piece): void {
    const pieces = this.#senders.get(uid) ?? []
    const open = pieces.at(-1)
    if (open && open.bytes < this.#pieceBytes) pieces[pieces.length - 1] = { lastSeq, bytes: open.bytes + bytes }
    else pieces.push({ lastSeq, bytes })
    // To the end: who has sent longest ago is forgotten first.
    this.#senders.delete(uid)
    this.#senders.set(uid, pieces)
    if (this.#senders.size <= relaySendersMax) return
    const [oldest] = this.#senders.keys()
    this.#senders.delete(oldest as string)
  }
}

function isInbox(stream: string): boolean {
  return stream.startsWith('inbox/')
}
