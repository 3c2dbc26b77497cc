/**
 * Erasing a stream [P-17.1]: an entry says so, in a bucket of its own; the state begins anew with it, and when a snapshot of
 * that is durable everything before it goes.
 */
import { emptyMark, formatPosition } from '../protocol/positions.ts'
import { openStream } from '../protocol/topics.ts'
import { Draft, encodeFrame } from './draft.ts'
import type { Log } from './log.ts'

export interface ErasedBy {
  readonly uid: string
  readonly client: string
}

/** Resolves with the position of the entry that is the first one now, once nothing of what stood before it is stored as readable. */
export async function erase(log: Log, name: string, by: ErasedBy): Promise<string> {
  const stream = await log.stream(name)
  await log.confirmHead(stream)
  if (stream.headSeq === 0) return formatPosition(log.epoch, 0, emptyMark)
  const { seq, mark } = await appendErasure(log, name, by)
  await log.trim(name, seq, seq)
  return formatPosition(log.epoch, seq, mark)
}

function appendErasure(log: Log, name: string, { uid: from, client }: ErasedBy): Promise<Draft> {
  // Nobody can publish there: the open stream has no names for the server but this one.
  const topic = name === openStream ? '$SYS/$erased' : `${name}/$erased`
  const frame = encodeFrame(topic, Buffer.from(JSON.stringify({ erased: true })))
  return new Promise((resolve, reject) => {
    const settled = (draft: Draft): void => (draft.error ? reject(draft.error) : resolve(draft))
    const draft = Draft.of({ topic, ...frame, qos: 1, retain: false, from, client, receivedMs: log.clock.now(), sink: { settled } })
    draft.erases = true
    log.append(name, draft)
  })
}
