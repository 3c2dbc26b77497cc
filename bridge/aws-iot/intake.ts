/** From a message of a client to the log: what AWS IoT Core hands over is acknowledged when it is on disk, or can never be. */
import { isUtf8 } from 'node:buffer'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { anonymousUid } from '../../auth/index.ts'
import { Draft, encodeFrame, type DraftRequest } from '../../log/draft.ts'
import { encodeEnvelope } from '../../log/envelope.ts'
import type { Log } from '../../log/log.ts'
import { hasMembers } from '../../log/members.ts'
import { conflictingEntry, idOfPut, parsePut } from '../../log/put.ts'
import { asSyncError, SyncError } from '../../protocol/errors.ts'
import { formatPosition } from '../../protocol/positions.ts'
import { quote, streamOfTopic, type TopicRules } from '../../protocol/topics.ts'
import type { Clock } from '../../seams/clock.ts'
import { awsInternalTriesMax, awsMessageBytesMax, awsRetryMsMax, awsRetryMsMin, type Limits } from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import type { Telemetry } from '../../seams/telemetry.ts'
import { topicBelow } from '../target.ts'
import type { BoundPrincipal, Principals } from './principals.ts'

/** The client of an entry that was published as it is: AWS does not say whose it was [P-20.5]. */
export const plainClient = '~mqtt'

export interface IntakeParts {
  readonly log: Log
  readonly principals: Principals
  readonly clock: Clock
  readonly limits: Limits
  readonly rules: TopicRules
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Sends the answer to a put to the client that asked. */
  readonly answer: (client: string, id: string, payload: string) => void
}

/** What the store may do later: nobody is told, and the message is not acknowledged. */
const later: ReadonlySet<string> = new Set(['store-unavailable', 'stopping', 'clock-skew', 'internal'])

/** One message of a client; `topic` without the root. */
export interface Published {
  readonly topic: string
  readonly payload: Buffer
  /** Who published it, encoded, where AWS says so. */
  readonly uid?: string | undefined
  /** The same each time that the same message comes, where AWS says so. */
  readonly id?: string | undefined
}

export class Intake {
  entries = 0
  answers = 0
  /** Messages that no log can hold, and puts that nobody can be told about. */
  refused = 0
  readonly #parts: IntakeParts

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  /**
   * Takes one message. Resolves when it may be acknowledged: appended, answered or for ever impossible, and then with the reason, unless
   * it is a put that proves no client. Rejects only with the signal's reason, and then it must come again.
   */
  async take(message: Published, signal: AbortSignal): Promise<SyncError | undefined> {
    const { topic } = message
    const receivedMs = this.#parts.clock.now()
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted()
      try {
        await this.#relieved(signal)
        if (topic.startsWith('put/')) await this.#put(topic.slice('put/'.length), message.payload, receivedMs)
        else await this.#plain(message, receivedMs)
        return undefined
      } catch (thrown) {
        const error = asSyncError(thrown)
        const isOver = !later.has(error.code) || (error.code === 'internal' && tries >= awsInternalTriesMax)
        if (isOver) {
          const door = topic.startsWith('put/') ? 'put' : 'plain'
          this.#refuse(door, topic, error)
          return door === 'put' && error.code !== 'internal' ? undefined : error
        }
        this.#parts.logger.warn({ topic, code: error.code, reason: error.message }, `a message waits to be appended: ${error.message}`)
        await pause(Math.min(awsRetryMsMax, awsRetryMsMin * 2 ** Math.min(tries, 20)), undefined, { signal })
      }
    }
  }

  /** Where the log has too much to write already, what comes waits here. */
  async #relieved(signal: AbortSignal): Promise<void> {
    const { log } = this.#parts
    if (!log.pressed) return
    const over = new AbortController()
    const given = once(signal, 'abort', { signal: over.signal }).catch(() => {}) // Relieved first: nobody waits for it.
    await Promise.race([new Promise<void>((resolve) => log.whenRelieved(resolve)), given])
    over.abort()
    signal.throwIfAborted()
  }

  async #plain({ topic, payload, uid, id }: Published, receivedMs: number): Promise<void> {
    const { rules } = this.#parts
    const stream = streamOfTopic(topic, rules)
    this.#checkPayload(topic, payload)
    const owner = stream.split('/')[1] as string
    await this.#append(stream, {
      topic,
      ...encodeFrame(topic, payload),
      qos: 1,
      retain: false,
      // AWS let only those publish who may write the stream: of a user's own that is the user, of a space anybody.
      from: uid ?? (hasMembers(stream) ? anonymousUid : owner),
      client: plainClient,
      id,
      mayDeleteAny: false,
      receivedMs,
    })
  }

  async #put(topic: string, payload: Buffer, receivedMs: number): Promise<void> {
    const json = objectOf(payload)
    const { token, ...put } = json ?? {}
    // What throws here is answered to nobody: a client that is not proved gets no answer, whatever it says it is called.
    const principal = await this.#parts.principals.of(token)
    const id = idOfPut(put)
    const { client } = principal
    if (id === undefined) {
      const reason = 'a put is a JSON object with an id of 1 to 64 of the characters A-Z a-z 0-9 _ -'
      return this.#answer(client, '$ctl', JSON.stringify({ ctl: 'bad-put', reason }))
    }
    try {
      const draft = await this.#appendPut(topic, put, principal, receivedMs)
      const pos = formatPosition(this.#parts.log.epoch, draft.seq, draft.mark)
      this.#answer(client, id, JSON.stringify({ id, pos, ...(draft.duplicate && { duplicate: true }) }))
    } catch (thrown) {
      const error = asSyncError(thrown)
      if (later.has(error.code)) throw error
      this.#parts.telemetry.refused('put', error.code)
      this.#answer(client, id, refusalOf(this.#parts.log, id, thrown, error))
    }
  }

  async #appendPut(topic: string, json: object, principal: BoundPrincipal, receivedMs: number): Promise<Draft> {
    const { log, rules } = this.#parts
    const { id, payload, retain, condition, since } = parsePut(json, log.epoch)
    const stream = streamOfTopic(topic, rules)
    const { granted } = topicBelow(stream, topic.slice(stream.length + 1), principal, rules)
    this.#checkPayload(topic, payload)
    return await this.#append(stream, {
      topic,
      ...encodeFrame(topic, payload),
      qos: 1,
      retain,
      from: principal.uid,
      client: principal.client,
      id,
      condition,
      since,
      mayDeleteAny: !hasMembers(stream) || principal.grants.allows('own', granted),
      issuedAtMs: hasMembers(stream) ? principal.issuedAtMs : undefined,
      receivedMs,
    })
  }

  /** Resolves with the settled draft; a refusal is thrown with the draft it is of. */
  #append(stream: string, fields: Omit<DraftRequest, 'sink'>): Promise<Draft> {
    return new Promise((resolve, reject) => {
      const settled = (draft: Draft): void => {
        if (draft.error) return reject(new Refused(draft.error, draft))
        this.entries++
        resolve(draft)
      }
      this.#parts.log.relay.append(stream, Draft.of({ ...fields, sink: { settled } }))
    })
  }

  #checkPayload(topic: string, payload: Buffer): void {
    const { payloadBytesMax } = this.#parts.limits
    if (payload.length <= payloadBytesMax) return
    throw new SyncError('payload-too-large', `${quote(topic)}: a payload of ${payload.length} bytes, at most ${payloadBytesMax}`)
  }

  #answer(client: string, id: string, payload: string): void {
    this.answers++
    this.#parts.answer(client, id, payload)
  }

  #refuse(door: 'put' | 'plain', topic: string, error: SyncError): void {
    this.refused++
    this.#parts.telemetry.refused(door, error.code)
    this.#parts.logger.warn({ topic, code: error.code, reason: error.message }, `a message from AWS is not in the log: ${error.message}`)
  }
}

/** With the draft, which knows what stands in the way. */
class Refused extends SyncError {
  readonly draft: Draft

  constructor(error: SyncError, draft: Draft) {
    super(error.code, error.message, error.details, error)
    this.draft = draft
  }
}

/** The answer to a put that was refused [P-5.11]. */
function refusalOf(log: Log, id: string, thrown: unknown, error: SyncError): string {
  const current = thrown instanceof Refused ? conflictingEntry(thrown.draft) : undefined
  if (current === undefined) return JSON.stringify({ id, error: error.code, reason: error.message })
  const envelope = current && encodeEnvelope(current, formatPosition(log.epoch, current.seq, current.mark)).toString()
  const answer = `{"id":"${id}","error":"conflict","current":${envelope ?? 'null'}}`
  // HTTP tells who has to see what stands there.
  return Buffer.byteLength(answer) <= awsMessageBytesMax ? answer : JSON.stringify({ id, error: 'conflict' })
}

function objectOf(payload: Buffer): Record<string, unknown> | undefined {
  // Decoding would put U+FFFD where the client has written something else.
  if (!isUtf8(payload)) return undefined
  try {
    const json: unknown = JSON.parse(payload.toString())
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : undefined
  } catch {
    return undefined // No JSON: refused as a put without a token.
  }
}
