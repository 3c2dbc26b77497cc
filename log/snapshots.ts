/**
 * Durable snapshots of a stream's state: immutable checksummed chunks first, the manifest last.
 *
 * A chunk holds the retained entries of one range of seq, and its name says where the range ends; the
 * ranges of a manifest follow one another. An entry never comes back once its topic has changed, so the
 * state within a range only shrinks, and a chunk is used again for as long as half of it is live. Which of its
 * entries still are stands in the chunk `ids`, which is written anew beside the remembered entry ids.
 */
import { createHash } from 'node:crypto'
import type { Limits } from '../seams/limits.ts'
import { drawNonce } from './bucket.ts'
import { Fold, type Retained } from './fold.ts'
import {
  decodeIds,
  decodeStates,
  encodeIds,
  encodeStates,
  fault,
  headerBytes,
  kindIds,
  kindStates,
  noIds,
  stateBytes,
  type Roll,
} from './snapshot-code.ts'
import type { SnapshotManifest, Store, StreamRecord } from './stores/store.ts'

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
    const senders = fold.inbox.pieces(record?.first ?? 1)
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
    const beside = await this.#writeIds(stream, encodeIds({ ids, idsForgottenUpTo, rolls, withdrawn, senders }), seq, old)
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
    const reason = fault(value, kind)
    if (reason !== undefined) throw damaged(stream, name, reason)
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
