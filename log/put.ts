/** The put message: what SDKs publish over MQTT and HTTP, with an id and perhaps a condition [P-5.1]. */
import { SyncError } from '../protocol/errors.ts'
import { parsePosition } from '../protocol/positions.ts'
import { loneSurrogate } from '../protocol/topics.ts'
import type { Condition, Draft } from './draft.ts'
import type { Entry } from './entry.ts'

/** A put, read and checked, without its topic. */
export interface Put {
  readonly id: string
  readonly payload: Buffer
  readonly retain: boolean
  readonly condition: Condition | undefined
  readonly since: number | undefined
}

const entryId = /^[A-Za-z0-9_-]{1,64}$/
const members: ReadonlySet<string> = new Set(['id', 'data', 'text', 'base64', 'retain', 'if', 'since'])
const canonicalBase64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** The id of a put that may be broken otherwise, so that a refusal can name it; undefined where there is none of the right form. */
export function idOfPut(json: unknown): string | undefined {
  const id = isObject(json) ? json['id'] : undefined
  return typeof id === 'string' && entryId.test(id) ? id : undefined
}

/** Reads a put; throws `bad-put` or `bad-position` saying what is wrong [P-5.2] to [P-5.9]. */
export function parsePut(json: unknown, epoch: string): Put {
  if (!isObject(json)) throw badPut('a put is a JSON object')
  const id = idOfPut(json)
  if (id === undefined) throw badPut('id must be 1 to 64 of the characters A-Z a-z 0-9 _ -')
  for (const name of Object.keys(json)) if (!members.has(name)) throw badPut(`unknown member ${JSON.stringify(name.slice(0, 40))}`)
  const { retain = false } = json
  if (typeof retain !== 'boolean') throw badPut('retain must be true or false')
  const condition = json['if'] === undefined ? undefined : parseCondition(json['if'])
  if (condition && !retain) throw badPut('if needs "retain": true')
  return { id, payload: payloadOf(json, retain), retain, condition, since: parseSince(json['since'], epoch) }
}

/** The condition of a put or of the header If-Position; throws `bad-put` or `bad-position`. */
export function parseCondition(text: unknown): Condition {
  if (typeof text !== 'string') throw badPut('if must be a position, none or id:{entry id}')
  if (text === 'none') return { is: 'none' }
  if (!text.startsWith('id:')) return { is: 'position', ...parsePosition(text) }
  const id = text.slice('id:'.length)
  if (!entryId.test(id)) throw badPut('if names no entry id behind id:')
  return { is: 'id', id }
}

/** The entry that stands in the way of a refused conditional write: null where the topic is not in the state. */
export function conflictingEntry(draft: Draft): Entry | null | undefined {
  return draft.error?.code === 'conflict' ? ((draft.error.details['current'] ?? null) as Entry | null) : undefined
}

function payloadOf(json: Record<string, unknown>, retain: boolean): Buffer {
  const given = ['data', 'text', 'base64'].filter((name) => json[name] !== undefined)
  if (given.length > 1) throw badPut(`only one of ${given.join(', ')} can be given`)
  if (given.length === 0) {
    if (retain) return Buffer.alloc(0)
    throw badPut('one of data, text and base64 must be given, unless "retain": true deletes the topic')
  }
  const { data, text, base64 } = json
  if (data !== undefined) return Buffer.from(JSON.stringify(data))
  if (text !== undefined) {
    if (typeof text !== 'string') throw badPut('text must be a string')
    if (loneSurrogate.test(text)) throw badPut('text holds half of a surrogate pair, which UTF-8 cannot say; send base64')
    return Buffer.from(text)
  }
  if (typeof base64 !== 'string' || !canonicalBase64.test(base64)) throw badPut('base64 must be base64 with padding')
  return Buffer.from(base64, 'base64')
}

/** A position of another history is older than anything remembered: -1 [P-9.9]. */
function parseSince(since: unknown, epoch: string): number | undefined {
  if (since === undefined) return undefined
  if (typeof since !== 'string') throw new SyncError('bad-position', 'since must be a position')
  const position = parsePosition(since)
  return position.epoch === epoch ? position.seq : -1
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

function badPut(reason: string): SyncError {
  return new SyncError('bad-put', reason, { reason })
}
