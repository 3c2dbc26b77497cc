/**
 * Drives the log on the embedded store and tells descriptor 3 what was settled:
 * `node child.ts {data folder} {seed} {entries} {unsafe: none|sync|folderSync}`.
 *
 * Lines: `epoch E`, `entry STREAM SEQ MARK`, `storing KEY CHANGE` and `stored KEY CHANGE`, `trim STREAM FIRST` and
 * `trimmed STREAM FIRST`, `begin PHASE` and `end PHASE`.
 */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { Draft, encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { LevelStore } from '../../log/stores/level.ts'
import type { RecordChange, StreamRecord } from '../../log/stores/store.ts'
import { silentLogger } from '../../seams/logger.ts'
import { seededRandom } from './support/random.ts'
import { collection, documentAfter, documentKeys, entryAt, limits, streams, uid, writeBufferBytes } from './workload.ts'

const [data = '', seed = '1', entriesWanted = '2000', unsafe = 'none'] = process.argv.slice(2)
const random = seededRandom(Number(seed))
const next = new Map<string, number>(streams.map((stream) => [stream, 1]))
const changes = new Map<string, number>(documentKeys.map((key) => [key, 0]))

/** Says when the parts of a snapshot are written. */
class TellingStore extends LevelStore {
  override putChunk(stream: string, name: string, value: Buffer): Promise<void> {
    return during('snapshot', () => super.putChunk(stream, name, value))
  }

  override changeRecord(stream: string, change: RecordChange): Promise<StreamRecord> {
    return during('snapshot', () => super.changeRecord(stream, change))
  }

  override removeChunk(stream: string, name: string): Promise<void> {
    return during('snapshot', () => super.removeChunk(stream, name))
  }
}

let log = await during('first opening', open)
let written = 0
for (let round = 1; written < Number(entriesWanted); round++) {
  await Promise.all([...publishSome(), ...storeSome()])
  if (round % 11 === 0) await repeatOne()
  if (round % 23 === 0) await trimOne()
  if (round % 37 === 0) await reopen()
}
await log.close()

async function open(): Promise<Log> {
  const mutation = unsafe === 'none' ? {} : { unsafe: { [unsafe]: false } }
  const store = new TellingStore({ folder: join(data, 'log'), logger: silentLogger, writeBufferBytes, ...mutation })
  const opened = await Log.open({ store, limits })
  tell(`epoch ${opened.epoch}`)
  return opened
}

async function reopen(): Promise<void> {
  await log.close()
  log = await during('reopening', open)
}

function publishSome(): Promise<void>[] {
  const count = 1 + Math.floor(random() * 14)
  written += count
  return Array.from({ length: count }, () => {
    const stream = streams[Math.floor(random() * streams.length)] as string
    const seq = next.get(stream) as number
    next.set(stream, seq + 1)
    return publish(stream, seq, (draft) => {
      if (draft.seq !== seq || draft.duplicate) throw new Error(`${stream}: seq ${draft.seq} instead of ${seq}`)
      tell(`entry ${stream} ${seq} ${draft.mark}`)
    })
  })
}

function storeSome(): Promise<void>[] {
  if (random() < 0.5) return []
  const key = documentKeys[Math.floor(random() * documentKeys.length)] as string
  const change = (changes.get(key) as number) + 1
  changes.set(key, change)
  const value = documentAfter(key, change)
  tell(`storing ${key} ${change}`)
  const stored = value === null ? log.documents.remove(collection, key) : log.documents.put(collection, key, value)
  return [stored.then(() => tell(`stored ${key} ${change}`))]
}

/** An id that was given before appends nothing, also when only a snapshot still knows it. */
async function repeatOne(): Promise<void> {
  const stream = streams[Math.floor(random() * streams.length)] as string
  const seqs = Array.from({ length: (next.get(stream) as number) - 1 }, (_, index) => index + 1)
  const seq = seqs.filter((each) => entryAt(stream, each).id !== '')[Math.floor(random() * 20)]
  if (seq === undefined) return
  await publish(stream, seq, (draft) => {
    if (!draft.duplicate || draft.seq !== seq) throw new Error(`${stream}: the id of ${seq} stands at ${draft.seq}`)
  })
}

async function trimOne(): Promise<void> {
  const stream = streams[Math.floor(random() * streams.length)] as string
  const first = Math.max(1, Math.floor((next.get(stream) as number) * (0.3 + random() * 0.6)))
  tell(`trim ${stream} ${first}`)
  await during('trimming', () => log.trim(stream, first))
  tell(`trimmed ${stream} ${first}`)
}

function publish(stream: string, seq: number, settled: (draft: Draft) => void): Promise<void> {
  const { topic, payload, retain, id } = entryAt(stream, seq)
  return new Promise((resolve, reject) => {
    const sink = {
      settled(draft: Draft): void {
        if (draft.error) return reject(draft.error)
        settled(draft)
        resolve()
      },
    }
    const frame = encodeFrame(topic, payload)
    log.append(stream, Draft.of({ ...frame, topic, qos: 1, retain, id, from: uid, client: 'phone', receivedMs: Date.now(), sink }))
  })
}

async function during<Result>(phase: string, work: () => Promise<Result>): Promise<Result> {
  tell(`begin ${phase}`)
  const result = await work()
  tell(`end ${phase}`)
  return result
}

function tell(line: string): void {
  writeSync(3, `${line}\n`)
}
