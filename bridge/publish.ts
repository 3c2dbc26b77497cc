/** One publish over HTTP: the JSON of a put, headers that stand for members, and what became of it [P-11.27 – P-11.29]. */
import type { Principal } from '../auth/index.ts'
import { encodeFrame } from '../log/draft.ts'
import type { Entry } from '../log/entry.ts'
import type { Log } from '../log/log.ts'
import { hasMembers } from '../log/members.ts'
import { parsePut, type Put } from '../log/put.ts'
import { SyncError } from '../protocol/errors.ts'
import { formatPosition } from '../protocol/positions.ts'
import { envelopeOfEntry } from './envelopes.ts'
import type { RouteParts } from './parts.ts'
import { RawJson } from './problem.ts'
import { topicBelow } from './target.ts'

/** The client of entries published with a token that names none [P-1.14]. */
export const httpClient = '~http'

export interface PublishRequest {
  readonly stream: string
  readonly principal: Principal
  readonly body: unknown
  readonly idempotencyKey: string | undefined
  readonly ifPosition: string | undefined
  /** When the server had the request, ms. */
  readonly receivedMs: number
}

export interface Published {
  readonly id: string
  readonly pos: string
  readonly duplicate: boolean
}

/** Resolves when the entry is on disk. Throws the code of the refusal; `conflict` with `current`, an envelope or null. */
export async function publish(parts: RouteParts, request: PublishRequest): Promise<Published> {
  const { log, limits, rules } = parts
  const { stream, principal, receivedMs } = request
  const { topic: below, ...put } = withHeaders(request)
  if (typeof below !== 'string') throw badPut('topic must be the levels below the stream')
  const { topic, granted } = topicBelow(stream, below, principal, rules)
  const { id, payload, retain, condition, since } = parsePutWithoutId(put, log.epoch)
  if (payload.length > limits.payloadBytesMax) {
    throw new SyncError('payload-too-large', `${payload.length} bytes of payload, at most ${limits.payloadBytesMax}`)
  }
  // As a connection is not read while the log is pressed, a request waits.
  if (log.pressed) await new Promise<void>((resolve) => log.whenRelieved(resolve))
  return await append(log, stream, {
    topic,
    ...encodeFrame(topic, payload),
    qos: 1,
    retain,
    from: principal.uid,
    client: principal.client ?? httpClient,
    ...(id === undefined ? {} : { id }),
    ...(condition ? { condition } : {}),
    ...(since === undefined ? {} : { since }),
    mayDeleteAny: !stream.startsWith('spaces/') || principal.grants.allows('own', granted),
    ...(hasMembers(stream) && { issuedAtMs: principal.issuedAtMs }),
    receivedMs,
  })
}

async function append(log: Log, stream: string, fields: Parameters<Log['publish']>[1]): Promise<Published> {
  try {
    const { seq, mark, duplicate } = await log.relay.publish(stream, fields)
    const id = fields.id ?? (await derivedId(log, stream, seq))
    return { id, pos: formatPosition(log.epoch, seq, mark), duplicate }
  } catch (error) {
    throw withCurrent(error, log.epoch)
  }
}

/** The id that the commit gave the entry [P-3.19]; the entry was appended just now, so it is in memory. */
async function derivedId(log: Log, name: string, seq: number): Promise<string> {
  const stream = await log.stream(name)
  const [bucket] = await log.read(stream, seq, 1)
  if (!bucket || bucket.firstSeq > seq) throw new Error(`${name}: seq ${seq} was trimmed before it could be named`)
  return bucket.id(seq - bucket.firstSeq)
}

/** The headers are the same as their members; where both are given they must agree [P-11.28]. */
function withHeaders({ body, idempotencyKey, ifPosition }: PublishRequest): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw badPut('the body must be a JSON object')
  const put: Record<string, unknown> = { ...body }
  for (const [header, member, value] of [
    ['Idempotency-Key', 'id', idempotencyKey],
    ['If-Position', 'if', ifPosition],
  ] as const) {
    if (value === undefined) continue
    if (put[member] !== undefined && put[member] !== value) throw new SyncError('bad-request', `${header} and the member ${member} differ`)
    put[member] = value
  }
  return put
}

/** On the put door an id is needed to tell the answer by; here it is optional, so another stands in for the reading. */
function parsePutWithoutId(put: Readonly<Record<string, unknown>>, epoch: string): Omit<Put, 'id'> & { readonly id: string | undefined } {
  if (put['id'] !== undefined) return parsePut(put, epoch)
  return { ...parsePut({ ...put, id: 'none' }, epoch), id: undefined }
}

/** The entry that stands in the way, as its envelope byte for byte [P-9.15]. */
function withCurrent(error: unknown, epoch: string): unknown {
  if (!(error instanceof SyncError) || error.code !== 'conflict') return error
  const entry = error.details['current'] as Entry | null | undefined
  const current = new RawJson(entry ? envelopeOfEntry(epoch, entry).toString() : 'null')
  return new SyncError('conflict', error.message, { ...error.details, current }, error)
}

function badPut(reason: string): SyncError {
  return new SyncError('bad-put', reason, { reason })
}
