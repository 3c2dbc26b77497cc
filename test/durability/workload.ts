/** What the recorded program writes. Everything follows from stream and seq, so that a verifier knows every entry without being told. */
import { createHash } from 'node:crypto'
import { defaultLimits, type Limits } from '../../seams/limits.ts'

export const streams = ['users/alice', 'users/bob', 'spaces/team'] as const
export const uid = 'alice'
export const collection = 'places'
export const documentKeys = Array.from({ length: 12 }, (_, index) => `alice/device-${index}`)
/** LevelDB begins a new log file whenever this much has been written. */
export const writeBufferBytes = 64 * 1024
/** Snapshots come often, in several chunks; little is read from memory. */
export const limits: Limits = { ...defaultLimits, snapshotEntriesMax: 80, snapshotChunkBytesMax: 8 * 1024, tailCacheBytesMax: 32 * 1024 }

export interface ExpectedEntry {
  readonly topic: string
  readonly payload: Buffer
  readonly retain: boolean
  /** Empty where none is given. */
  readonly id: string
}

const known = new Map<string, ExpectedEntry>()

/** The entry that stands at this seq. */
export function entryAt(stream: string, seq: number): ExpectedEntry {
  const name = `${stream} ${seq}`
  let entry = known.get(name)
  if (!entry) known.set(name, (entry = makeEntry(stream, seq, name)))
  return entry
}

function makeEntry(stream: string, seq: number, name: string): ExpectedEntry {
  const draw = createHash('sha256').update(name).digest()
  const retain = draw.readUInt8(0) % 3 === 0
  const deletes = retain && draw.readUInt8(1) % 5 === 0
  // Bytes that do not compress, so that files fill up as planned.
  const payloadBytes = deletes ? 0 : 40 + (draw.readUInt16BE(2) % 1_100)
  const payload = createHash('shake256', { outputLength: Math.max(1, payloadBytes) })
    .update(name)
    .digest()
    .subarray(0, payloadBytes)
  return { topic: `${stream}/t${draw.readUInt8(4) % 24}`, payload, retain, id: draw.readUInt8(5) % 4 === 0 ? `id-${seq}` : '' }
}

/** What a document holds after its n-th change; null: it was removed. */
export function documentAfter(key: string, change: number): unknown {
  return change % 5 === 0
    ? null
    : {
        change,
        text: createHash('sha256')
          .update(`${key} ${change}`)
          .digest('hex')
          .repeat(1 + (change % 9)),
      }
}
