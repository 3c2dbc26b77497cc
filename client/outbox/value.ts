/** What an app publishes, as it waits in the outbox and goes over the wire. */
import type { PublishOptions } from '../api.ts'
import { base64Of } from '../base64.ts'
import type { Bounds } from '../bounds.ts'
import type { Clear } from '../codec.ts'
import { ClientError } from '../errors.ts'
import type { Put } from '../wire.ts'
import type { Body, Waiting } from './store.ts'

const entryId = /^[\w-]{1,64}$/
/** Half of a surrogate pair: JSON can hold one, UTF-8 cannot. */
const notUtf8 = /\p{Surrogate}/u
const utf8 = new TextEncoder()

/** What waits in a queue of its own: a publish as its call gave it. */
export type Draft = Pick<Waiting, 'id' | 'stream' | 'topic' | 'body' | 'retain' | 'if'>

/**
 * A copy of the value, so that what the app does to it later changes nothing. Throws `bad-value` for what JSON cannot
 * hold: functions, symbols, BigInt, cycles, NaN and infinite numbers, anywhere in it; `undefined` only as the whole value,
 * with retain, which deletes. As in all JSON, members that are `undefined` are left out.
 */
export function clearOf(topic: string, value: unknown, { retain, as }: PublishOptions): Clear {
  if (value instanceof Uint8Array) return { topic, format: 'bytes', data: value.slice() }
  if (as === 'text') {
    if (typeof value !== 'string') throw bad('as: text needs a string')
    if (notUtf8.test(value)) throw bad('the text holds half of a surrogate pair, which UTF-8 cannot say')
    return { topic, format: 'text', data: value }
  }
  if (value !== undefined) return { topic, format: 'json', data: copyOf(value) }
  if (!retain) throw bad('undefined can be published with retain only, where it deletes')
  return { topic, format: 'none', data: undefined }
}

export function bodyOf({ format, data }: Clear, retain: boolean): Body {
  if (format === 'none') return { deleted: true }
  if (format === 'json') return { data }
  // A retained message without a payload is a deletion [P-3.21], which nobody means who publishes an empty text.
  if (retain && (data as string | Uint8Array).length === 0) throw bad('an empty retained message would delete: publish undefined for that')
  return format === 'text' ? { text: data as string } : { base64: base64Of(data as Uint8Array) }
}

/** `if` as the wire has it [P-9.12 – P-9.14]. */
export function conditionOf({ if: expected, retain }: PublishOptions): string | undefined {
  if (expected === undefined) return undefined
  if (!retain) throw bad('if needs retain: true')
  if (typeof expected === 'string') return expected
  // What a deletion leaves is absence, whoever has deleted.
  if (expected.deleted) return 'none'
  return expected.pending ? `id:${expected.id}` : expected.pos
}

/** What would close the connection instead of being answered must never be sent [P-1.20, P-1.21, P-5.15]. */
export function checkNames(id: string, topic: string, bounds: Bounds): void {
  if (!entryId.test(id)) throw bad('an id is 1 to 64 of the characters A-Z a-z 0-9 _ -')
  const levels = topic.split('/')
  const { streamTopicLevelsMax: levelsMax, streamTopicBytesMax: bytesMax } = bounds
  if (levels.includes('')) throw badTopic(topic, 'a level is empty')
  if (/[+#\0\ufffd]/.test(topic) || notUtf8.test(topic)) throw badTopic(topic, '+, #, NUL and what is no UTF-8 cannot be published to')
  if (levels.length > levelsMax) throw badTopic(topic, `${levels.length} levels, at most ${levelsMax}`)
  if (bytesOf(topic) > bytesMax) throw badTopic(topic, `more than ${bytesMax} bytes`)
}

export function putOf({ id, body, retain, if: condition, since }: Waiting): Put {
  return {
    id,
    ...('deleted' in body ? {} : body),
    ...(retain && { retain: true as const }),
    ...(condition !== undefined && { if: condition }),
    ...(since && { since }),
  }
}

/** Bytes of JSON: what it takes on the wire, and nearly so on the device. */
export function sizeOf(item: Draft): number {
  // Members that come later, as `since`, have a bound of their own.
  return bytesOf(JSON.stringify(item.body)) + item.topic.length + 256
}

export function sameContent(one: Draft, other: Draft): boolean {
  return one.topic === other.topic && one.retain === other.retain && JSON.stringify(one.body) === JSON.stringify(other.body)
}

function copyOf(value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(value, checked)) as unknown
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error), error)
  }
}

function checked(name: string, value: unknown): unknown {
  const type = typeof value
  if (type === 'function' || type === 'symbol' || (type === 'number' && !Number.isFinite(value))) {
    throw bad(`JSON cannot hold ${type === 'number' ? String(value) : `a ${type}`}${name && ` (member ${name})`}`)
  }
  return value
}

function bytesOf(text: string): number {
  return utf8.encode(text).length
}

function badTopic(topic: string, reason: string): ClientError {
  return new ClientError('bad-topic', `${JSON.stringify(topic.slice(0, 100))}: ${reason}`)
}

function bad(message: string, cause?: unknown): ClientError {
  return cause instanceof ClientError ? cause : new ClientError('bad-value', message, {}, cause)
}
