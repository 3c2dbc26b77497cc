/** What the store's driver costs a node: a commit, a document in it, a look at a head, a read. */
import { encodeFrame, Draft } from '../../../log/draft.ts'
import { drawNonce, packBucket, type Bucket } from '../../../log/bucket.ts'
import { MongoStore } from '../../../log/stores/mongo.ts'
import { defaultLimits } from '../../../seams/limits.ts'
import { silentLogger } from '../../../seams/logger.ts'
import type { Figure } from './figure.ts'

const payload = Buffer.alloc(100, 'x')
const streamsPerCommit = 256
const entriesInLarge = 10
const rounds = 5
const recordsSwept = 400
const { headsPerQuestionMax } = defaultLimits

export async function driverFigures(url: string): Promise<Figure[]> {
  const store = new MongoStore({ url, logger: silentLogger })
  await store.open()
  try {
    const heads = new Map<string, number>()
    const commit = async (streams: number): Promise<void> => {
      const buckets = Array.from({ length: streams }, (_, at) => nextBucket(heads, `users/driver-${at}`))
      await store.commit(buckets)
    }
    const single = await cpuMicrosOf(500, 1, () => commit(1))
    const whole = await cpuMicrosOf(10, 1, () => commit(streamsPerCommit))
    const document = (whole - single) / (streamsPerCommit - 1)
    const look = await cpuMicrosOf(1_000, 64, () => store.load('users/driver-7'))
    const head = heads.get('users/driver-7') ?? 0
    const asked = Array.from({ length: headsPerQuestionMax }, (_, at) => ({ stream: `users/driver-${at}`, seq: 9 }))
    const question = await cpuMicrosOf(40, 1, () => store.moved(asked.map((known) => ({ ...known, seenMs: performance.now() }))))
    const read = await cpuMicrosOf(1_000, 64, () => store.read('users/driver-7', { from: head, to: head, bytesMax: 1 }))
    for (let at = 0; at < recordsSwept; at++) await store.documents.put('swept', `bench-${at}/phone`, { seenMs: Date.now(), cursors: [] })
    const swept = await cpuMicrosOf(10, 1, () => store.documents.list('swept', { limit: recordsSwept }))
    const [small, large] = [await storedBytes(1), await storedBytes(entriesInLarge)]
    return [
      { name: 'commitMicros', value: single - document, unit: 'µs', what: 'a commit, whatever is in it' },
      { name: 'documentMicros', value: document, unit: 'µs', what: 'a bucket in a commit' },
      { name: 'lookMicros', value: look, unit: 'µs', what: 'a look at a head: two finds' },
      { name: 'headAskedMicros', value: question / headsPerQuestionMax, unit: 'µs', what: 'a head in a question about a thousand' },
      { name: 'readMicros', value: read, unit: 'µs', what: 'a read of a bucket' },
      { name: 'sweptMicros', value: swept / recordsSwept, unit: 'µs', what: 'a record in a page of them' },
      {
        name: 'entryBytes',
        value: (large - small) / (entriesInLarge - 1) - payload.length,
        unit: 'B',
        what: 'an entry beside its payload',
      },
      { name: 'bucketBytes', value: small - (large - small) / (entriesInLarge - 1), unit: 'B', what: 'a bucket beside its entries' },
    ]
  } finally {
    await store.close()
  }
}

/** Of this process, per call, with so many on their way at once: the best of some rounds, as whatever else runs only adds to it. */
async function cpuMicrosOf(calls: number, atOnce: number, call: () => Promise<unknown>): Promise<number> {
  const found: number[] = []
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage()
    await inParallel(calls, atOnce, call)
    const { user, system } = process.cpuUsage(before)
    found.push((user + system) / calls)
  }
  return Math.min(...found)
}

async function inParallel(calls: number, atOnce: number, call: () => Promise<unknown>): Promise<void> {
  let left = calls
  const work = async (): Promise<void> => {
    while (left-- > 0) await call()
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

function nextBucket(heads: Map<string, number>, stream: string, entries = 1): Bucket {
  const firstSeq = (heads.get(stream) ?? 0) + 1
  heads.set(stream, firstSeq + entries - 1)
  return packBucket(
    stream,
    firstSeq,
    drawNonce(),
    Date.now(),
    Array.from({ length: entries }, () => draftFor(stream)),
  )
}

function draftFor(stream: string): Draft {
  const topic = `${stream}/notes/1`
  const from = { from: stream.split('/')[1] as string, client: 'phone-1' }
  return Draft.of({
    ...encodeFrame(topic, payload),
    topic,
    qos: 1,
    retain: false,
    ...from,
    receivedMs: Date.now(),
    sink: { settled: () => {} },
  })
}

async function storedBytes(entries: number): Promise<number> {
  const { BSON } = await import('mongodb')
  const { stream, nonce, value } = nextBucket(new Map(), 'users/driver-234567', entries)
  const id = `${stream}\u0001${'0'.repeat(16)}`
  return BSON.calculateObjectSize({ _id: id, s: stream, w: nonce.toString('base64url'), b: value })
}
