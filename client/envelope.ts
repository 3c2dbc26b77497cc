/** Envelopes as entries of the app. */
import { TopicFilter } from '../protocol/topic-filter.ts'
import type { Clear, Codec } from './codec.ts'
import type { Entry, Receipt } from './entry.ts'
import { asClientError } from './errors.ts'
import { seqOf } from './position.ts'
import type { Envelope } from './wire.ts'

export interface ClockOffset {
  readonly offsetMs: number
  /** How far that may be off. */
  readonly errorMs: number
}

export interface EntryParts {
  readonly codec?: Codec | undefined
  /** How far the server's clock is ahead of this one. */
  readonly clockOffset?: ClockOffset | undefined
  readonly snapshot?: boolean
}

/** The topic below the stream; `open/-` has no prefix of its own [P-1.27]. */
export function topicBelow(stream: string, topic: string): string {
  return stream === 'open/-' ? topic : topic.slice(stream.length + 1)
}

/** The topic as an envelope has it, of one that begins with the stream's name. */
export function envelopeTopicOf(stream: string, topic: string): string {
  return stream === 'open/-' ? topic.slice(stream.length + 1) : topic
}

/** Whether an envelope's full topic matches a filter below the stream. */
export function matcherOf(stream: string, below: string): (topic: string) => boolean {
  const matches = matcherBelow(below)
  return (topic) => matches(topicBelow(stream, topic))
}

/** Whether a topic below a stream matches a filter. */
export function matcherBelow(filter: string): (topic: string) => boolean {
  if (filter === '#') return () => true
  const parsed = new TopicFilter(filter)
  return (topic) => parsed.matches(topic)
}

/** At once, unless a codec has to be asked. */
export function entryOf(stream: string, envelope: Envelope, parts: EntryParts): Entry | Promise<Entry> {
  const wire = clearOf(stream, envelope)
  // What the server writes is not encoded by anybody [P-4.29].
  if (!parts.codec || wire.topic.startsWith('$')) return entryWith(stream, envelope, parts, wire)
  return decoded(stream, envelope, parts, parts.codec, wire)
}

async function decoded(stream: string, envelope: Envelope, parts: EntryParts, codec: Codec, wire: Clear): Promise<Entry> {
  try {
    return entryWith(stream, envelope, parts, await codec.decode(stream, wire))
  } catch (thrown) {
    const unread = entryWith(stream, envelope, parts, { ...wire, data: undefined })
    return { ...unread, error: asClientError(thrown, 'undecodable') }
  }
}

function entryWith(stream: string, envelope: Envelope, parts: EntryParts, { topic, data, format }: Clear): Entry {
  const { pos = '', id = '', ts, from, client, retain = false, deleted = false, ephemeral = false } = envelope
  const { snapshot = false } = parts
  const seq = pos === '' ? 0 : seqOf(pos)
  const entry = { pos, seq, id, ts, from, client, topic, stream, retain, deleted, ephemeral, data, format, snapshot, pending: false }
  const receipt = receiptOf(envelope, parts)
  return receipt ? { ...entry, receipt } : entry
}

function clearOf(stream: string, envelope: Envelope): Clear {
  const topic = topicBelow(stream, envelope.topic)
  if (envelope.text !== undefined) return { topic, format: 'text', data: envelope.text }
  if (envelope.base64 !== undefined) return { topic, format: 'bytes', data: bytesOf(envelope.base64) }
  if (envelope.deleted || envelope.data === undefined) return { topic, format: 'none', data: undefined }
  return { topic, format: 'json', data: envelope.data }
}

function receiptOf({ hops, arrivedMs }: Envelope, { clockOffset }: EntryParts): Receipt | undefined {
  if (!hops || !clockOffset || arrivedMs === undefined) return undefined
  return { ...hops, delivered: arrivedMs + clockOffset.offsetMs, deliveredErrorMs: clockOffset.errorMs }
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
}
