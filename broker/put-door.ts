/** The put door [P-5.1]: JSON in, the answer on `reply/{client}/{id}`, then the PUBACK. */
import { isUtf8 } from 'node:buffer'
import { encodeEnvelope } from '../log/envelope.ts'
import { Draft, encodeFrame } from '../log/draft.ts'
import { conflictingEntry, idOfPut, parsePut } from '../log/put.ts'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { formatPosition } from '../protocol/positions.ts'
import type { Link } from './link.ts'
import type { Step } from './publisher.ts'

export interface PutRequest {
  readonly topic: string
  readonly mayDeleteAny: boolean
  readonly issuedAtMs: number | undefined
  readonly payload: Buffer
  readonly packetId: number
  readonly receivedMs: number
  /** What is wrong with its topic: answered like everything else that is wrong with a put. */
  readonly error: SyncError | undefined
}

/** These are answered by nobody: the client finds out by asking again [P-5.14]. */
const unanswered: ReadonlySet<string> = new Set(['store-unavailable', 'stopping', 'clock-skew', 'internal'])

/** The step that answers a put, and the draft it waits for unless the put was refused. Undefined if the connection was closed. */
export function draftOfPut(link: Link, request: PutRequest): { step: Step; draft?: Draft } | undefined {
  const { topic, mayDeleteAny, issuedAtMs, payload, packetId, receivedMs, error: topicError } = request
  const json = parseJson(payload)
  const id = idOfPut(json)
  if (!link.session?.hearsReply(`reply/${link.client}/${id ?? '$ctl'}`)) {
    link.refuse(new SyncError('bad-put', `${topic}: no subscription covers its answer on reply/${link.client}/${id ?? '$ctl'} [P-5.17]`), {
      topic,
    })
    return undefined
  }
  const answered = (answer: () => void): Step => ({
    settled: false,
    bytes: payload.length,
    finish: () => {
      answer()
      if (!link.closed) link.ack('puback', packetId)
    },
  })
  try {
    const put = parsePut(json, link.hub.log.epoch)
    if (topicError) throw topicError
    checkPayload(link, topic, put.payload)
    const step = answered(() => answerPut(link, draft))
    const settled = (): void => {
      step.settled = true
      link.publisher.settled()
    }
    const { condition, since } = put
    const draft = Draft.of({
      topic,
      ...encodeFrame(topic, put.payload),
      qos: 1,
      retain: put.retain,
      from: link.uid,
      client: link.client,
      id: put.id,
      condition,
      since,
      mayDeleteAny,
      issuedAtMs,
      receivedMs,
      sink: { settled },
    })
    return { step, draft }
  } catch (error) {
    const refusal = asSyncError(error)
    link.refused(refusal, { topic })
    if (id === undefined) return { step: answered(() => link.control({ ctl: 'bad-put', reason: refusal.message })) }
    return { step: answered(() => reply(link, id, { error: refusal.code, reason: refusal.message })) }
  }
}

function answerPut(link: Link, draft: Draft): void {
  const { id, error, duplicate } = draft
  const { epoch } = link.hub.log
  if (!error) {
    reply(link, id, { pos: formatPosition(epoch, draft.seq, draft.mark), ...(duplicate && { duplicate }) })
    return
  }
  if (unanswered.has(error.code)) return link.refuse(error, { topic: draft.topic })
  link.refused(error, { topic: draft.topic })
  const current = conflictingEntry(draft)
  if (current === undefined) return reply(link, id, { error: error.code, reason: error.message })
  const envelope = current && encodeEnvelope(current, formatPosition(epoch, current.seq, current.mark)).toString()
  // The envelope is JSON text already: payloads stand in it verbatim.
  link.reply(id, Buffer.from(`{"id":"${id}","error":"conflict","current":${envelope ?? 'null'}}`))
}

function reply(link: Link, id: string, members: Record<string, unknown>): void {
  link.reply(id, Buffer.from(JSON.stringify({ id, ...members })))
}

function checkPayload(link: Link, topic: string, payload: Buffer): void {
  const { payloadBytesMax } = link.hub.limits
  if (payload.length > payloadBytesMax) {
    throw new SyncError('payload-too-large', `${topic}: a payload of ${payload.length} bytes, at most ${payloadBytesMax}`)
  }
}

function parseJson(payload: Buffer): unknown {
  // Decoding would put U+FFFD where the client has written something else.
  if (!isUtf8(payload)) return undefined
  try {
    return JSON.parse(payload.toString())
  } catch {
    return undefined // No JSON: answered as a put that is no object.
  }
}
