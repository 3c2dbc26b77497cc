/** Opens a folder as a loss of power left it and holds it to what had been acknowledged. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { ClassicLevel } from 'classic-level'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { LevelStore } from '../../log/stores/level.ts'
import type { Stream } from '../../log/stream.ts'
import { silentLogger } from '../../seams/logger.ts'
import type { Expectation } from './expectation.ts'
import { collection, documentAfter, documentKeys, entryAt, limits, streams, uid, writeBufferBytes } from './workload.ts'

export interface Verdict {
  /** Why the store did not open, though it was there. */
  readonly refused: string | undefined
  /** What is wrong with its content; if it refused to open: with its content after a repair. */
  readonly wrong: readonly string[]
  /** Acknowledged entries that were looked at. */
  readonly entries: number
}

export async function verify(data: string, expected: Expectation, { repairs = true } = {}): Promise<Verdict> {
  const folder = join(data, 'log')
  let refused: string | undefined
  let log: Log
  try {
    log = await open(folder)
  } catch (error) {
    refused = messageOf(error)
    if (!repairs) return { refused, wrong: [], entries: 0 }
    if (existsSync(folder)) await ClassicLevel.repair(folder)
    try {
      log = await open(folder)
    } catch (again) {
      return { refused, wrong: [`refused again after a repair: ${messageOf(again)}`], entries: 0 }
    }
  }
  const wrong: string[] = []
  let entries = 0
  if (expected.epoch !== undefined && log.epoch !== expected.epoch) wrong.push(`epoch ${log.epoch} instead of ${expected.epoch}`)
  const told = (error: unknown): number => {
    wrong.push(`error: ${messageOf(error)}`)
    return 0
  }
  for (const name of streams) entries += await verifyStream(log, name, expected, wrong).catch(told)
  await verifyDocuments(log, expected, wrong).catch(told)
  await log.close()
  return { refused, wrong, entries }
}

async function open(folder: string): Promise<Log> {
  return await Log.open({ store: new LevelStore({ folder, logger: silentLogger, writeBufferBytes }), limits })
}

async function verifyStream(log: Log, name: string, expected: Expectation, wrong: string[]): Promise<number> {
  const marks = expected.marks.get(name) ?? []
  const { acknowledged, asked } = expected.trimmed.get(name) ?? { acknowledged: 1, asked: 1 }
  const stream = await log.stream(name)
  const { headSeq, first } = stream
  if (headSeq < marks.length) wrong.push(`${name}: the head is ${headSeq}, ${marks.length} was acknowledged`)
  if (first !== acknowledged && first !== asked)
    wrong.push(`${name}: begins at ${first}; ${acknowledged} was acknowledged, ${asked} asked for`)
  const entries = await verifyEntries(log, stream, marks, wrong)
  if (first > 1 && marks[first - 2] !== undefined && marks[first - 2] !== stream.markBefore)
    wrong.push(`${name}: the mark before ${first} differs`)
  await verifyState(log, stream, wrong)
  const { seq } = await log.publish(name, { ...encodeFrame(`${name}/t`, Buffer.from('new')), ...plain, topic: `${name}/t` })
  if (seq !== headSeq + 1) wrong.push(`${name}: a new entry has seq ${seq} behind the head ${headSeq}`)
  return entries
}

const plain = { qos: 1, retain: false, from: uid, client: 'phone', receivedMs: 0 } as const

/** Every entry from the first to the head is there, once, with its content; also those that nobody was told of. */
async function verifyEntries(log: Log, stream: Stream, marks: readonly string[], wrong: string[]): Promise<number> {
  const { name, headSeq, first } = stream
  let seq = first
  while (seq <= headSeq) {
    const buckets = await log.read(stream, seq)
    if (buckets.length === 0) return complain(`${seq} to ${headSeq} are missing`)
    for (const bucket of buckets) {
      if (bucket.firstSeq > seq) return complain(`${seq} is missing, ${bucket.firstSeq} follows`)
      for (; seq <= Math.min(bucket.lastSeq, headSeq); seq++) {
        const index = seq - bucket.firstSeq
        const { topic, payload, retain, id } = entryAt(name, seq)
        const same = bucket.topic(index) === topic && bucket.payload(index).equals(payload) && bucket.retain(index) === retain
        if (!same || bucket.givenId(index) !== id) return complain(`${seq} has other content`)
        const mark = marks[seq - 1]
        if (mark !== undefined && mark !== bucket.mark) return complain(`${seq} has another mark`)
      }
    }
  }
  return Math.max(0, marks.length - first + 1)

  function complain(what: string): number {
    wrong.push(`${name}: ${what}`)
    return 0
  }
}

/** The state at the head is what all entries from 1 on make, also those that were trimmed; and so are the remembered ids. */
async function verifyState(log: Log, stream: Stream, wrong: string[]): Promise<void> {
  const { name, headSeq } = stream
  const retained = new Map<string, number>()
  const ids: number[] = []
  for (let seq = 1; seq <= headSeq; seq++) {
    const { topic, payload, retain, id } = entryAt(name, seq)
    if (id !== '') ids.push(seq)
    if (!retain) continue
    retained.delete(topic)
    if (payload.length > 0) retained.set(topic, seq)
  }
  const fold = await log.state(stream)
  const found = fold.states().map(({ entry }) => [entry.topic, entry.seq] as const)
  if (!isDeepStrictEqual(found, [...retained])) wrong.push(`${name}: the state at ${headSeq} differs from that of the entries`)
  if (fold.states().some(({ entry }) => !entry.payload.equals(entryAt(name, entry.seq).payload)))
    wrong.push(`${name}: the state has other content`)
  if (
    !isDeepStrictEqual(
      fold.ids().map(({ seq }) => seq),
      ids,
    )
  )
    wrong.push(`${name}: the ids at ${headSeq} differ from those of the entries`)
}

async function verifyDocuments(log: Log, expected: Expectation, wrong: string[]): Promise<void> {
  for (const key of documentKeys) {
    const { acknowledged, asked } = expected.changes.get(key) ?? { acknowledged: 0, asked: 0 }
    const found = (await log.documents.get(collection, key))?.value ?? null
    const possible = [acknowledged, asked].map((change) => (change === 0 ? null : documentAfter(key, change)))
    if (!possible.some((value) => isDeepStrictEqual(value, found)))
      wrong.push(`document ${key} is neither as after change ${acknowledged} nor ${asked}`)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
