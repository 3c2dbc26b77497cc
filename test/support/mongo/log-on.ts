/** Logs on a MongoDB store, and what stands in one of their streams. */
import { encodeFrame, type Draft } from '../../../log/draft.ts'
import { Log } from '../../../log/log.ts'
import { MongoStore } from '../../../log/stores/mongo.ts'
import { defaultLimits, type Limits } from '../../../seams/limits.ts'
import { silentLogger, type Logger } from '../../../seams/logger.ts'

export const stream = 'users/alice'
const opened: Log[] = []

export async function logOn(url: string, limits: Partial<Limits> = {}, logger: Logger = silentLogger): Promise<Log> {
  const store = new MongoStore({ url, logger })
  const log = await Log.open({ store, logger, limits: { ...defaultLimits, headPollMs: 3_600_000, ...limits } })
  opened.push(log)
  return log
}

export async function closeLogs(): Promise<void> {
  await Promise.all(opened.splice(0).map((log) => log.close()))
}

/** Resolves with the settled draft, as a client would get its acknowledgement. */
export function publish(log: Log, text: string, name = stream): Promise<Draft> {
  const topic = `${name}/notes`
  const frame = encodeFrame(topic, Buffer.from(text))
  return log.publish(name, { topic, ...frame, qos: 1, retain: false, from: 'alice', client: 'desk', receivedMs: Date.now() })
}

/** Every entry in the order of the log; throws where the log has a hole. */
export async function entriesOf(url: string, name = stream): Promise<string[]> {
  const store = new MongoStore({ url, logger: silentLogger })
  await store.open()
  try {
    const texts: string[] = []
    for (const bucket of await store.read(name, { from: 1, to: Number.MAX_SAFE_INTEGER, bytesMax: Number.MAX_SAFE_INTEGER })) {
      if (bucket.firstSeq !== texts.length + 1) throw new Error(`after ${texts.length} comes ${bucket.firstSeq}`)
      for (let index = 0; index < bucket.count; index++) texts.push(bucket.payload(index).toString())
    }
    return texts
  } finally {
    await store.close()
  }
}
