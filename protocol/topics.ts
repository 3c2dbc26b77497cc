/** Topics and the stream each belongs to [P-1.2]. */
import { SyncError } from './errors.ts'
import { isCanonicalName, isCanonicalUid } from './names.ts'

/** The kinds of stream; the first topic level of the four canonical ones. */
export type StreamKind = 'users' | 'spaces' | 'outbox' | 'inbox' | 'open'

/** The stream every topic outside the reserved first levels belongs to, where the configuration turns it on [P-1.6]. */
export const openStream = 'open/-'

const canonicalKinds: ReadonlySet<string> = new Set(['users', 'spaces', 'outbox', 'inbox'])
const doors: ReadonlySet<string> = new Set(['put', 'sync', 'reply', 'auth'])

/** Names below a stream that only the server writes. */
export const aclTopicLevel = '$acl'

export interface TopicRules {
  readonly openEnabled: boolean
  readonly streamTopicLevelsMax: number
  readonly streamTopicBytesMax: number
  readonly topicLevelsMax: number
  readonly topicBytesMax: number
}

/** Whether the first level belongs to Tidemark, so that it can be no topic of the `open` stream. */
export function isReservedLevel(level: string): boolean {
  return canonicalKinds.has(level) || doors.has(level) || level.startsWith('sync@')
}

/**
 * The stream that a topic to be published belongs to, e.g. `users/alice` for `users/alice/notes/1`.
 * Throws `bad-topic` saying what is wrong, or `forbidden` for an inbox, which only the relay writes [P-15.2].
 */
export function streamOfTopic(topic: string, rules: TopicRules): string {
  checkCharacters(topic, 'bad-topic')
  if (/[+#]/.test(topic)) throw badTopic(topic, 'wildcards cannot be published to')
  const levels = topic.split('/')
  const kind = levels[0] as string
  if (!canonicalKinds.has(kind)) return streamOfOpenTopic(topic, levels, rules)
  checkSize(topic, levels, rules)
  const stream = streamName(levels, 'bad-topic', topic)
  if (levels.length < 3) throw badTopic(topic, 'a stream has no topic of its own, only topics below it')
  for (const level of levels) checkLevel(level, topic, 'bad-topic')
  if (kind === 'inbox') throw new SyncError('forbidden', `${quote(topic)}: only the relay writes to an inbox [P-15.2]`)
  if (kind === 'outbox') checkReceiver(topic, levels)
  return stream
}

/** Where the relay delivers what is published to an outbox. */
export interface Delivery {
  /** The uids of the outbox and of the inbox. */
  readonly from: string
  readonly to: string
  readonly stream: string
  readonly topic: string
}

/** `inbox/bob/alice/x` for `outbox/alice/bob/x` [P-15.1]; the topic is one that `streamOfTopic` has found valid. */
export function deliveryOf(topic: string): Delivery {
  const [, from = '', to = '', ...below] = topic.split('/')
  const stream = `inbox/${to}`
  return { from, to, stream, topic: [stream, from, ...below].join('/') }
}

function checkReceiver(topic: string, levels: readonly string[]): void {
  const to = levels[2] as string
  if (levels.length < 4) throw badTopic(topic, 'a message is published to outbox/{uid}/{to}/ and at least one level below')
  if (!isCanonicalUid(to)) throw badTopic(topic, `${quote(to)} is not a canonical name [P-1.11]`)
}

/**
 * The stream named by two levels, e.g. of an HTTP path or the beginning of a filter.
 * Throws the given code where the names are not canonical.
 */
export function streamName(levels: readonly string[], code: 'bad-topic' | 'bad-filter' | 'bad-request', whole: string): string {
  const [kind, id] = levels
  if (kind === undefined || id === undefined || !canonicalKinds.has(kind)) {
    throw new SyncError(code, `${quote(whole)}: no stream begins like this`)
  }
  const canonical = kind === 'spaces' ? isCanonicalName(id) : isCanonicalUid(id)
  if (!canonical) throw new SyncError(code, `${quote(whole)}: ${quote(id)} is not a canonical name [P-1.11]`)
  return `${kind}/${id}`
}

function streamOfOpenTopic(topic: string, levels: readonly string[], rules: TopicRules): string {
  const kind = levels[0] as string
  if (isReservedLevel(kind)) throw badTopic(topic, `the first level ${quote(kind)} is no place to publish`)
  if (kind === '$SYS' || kind === '$share') throw badTopic(topic, `${kind} belongs to the server`)
  if (!rules.openEnabled) throw badTopic(topic, 'topics outside users/ and spaces/ need the open stream, which is off')
  if (levels.length > rules.topicLevelsMax) throw badTopic(topic, `more than ${rules.topicLevelsMax} levels`)
  if (Buffer.byteLength(topic) > rules.topicBytesMax) throw badTopic(topic, `more than ${rules.topicBytesMax} bytes`)
  return openStream
}

/** [P-1.15]: what a level of the four kinds may not hold, in topics and in filters. */
export function checkLevel(level: string, whole: string, code: 'bad-topic' | 'bad-filter'): void {
  if (level === '') throw new SyncError(code, `${quote(whole)}: empty level`)
  if (level.startsWith('$')) throw new SyncError(code, `${quote(whole)}: a level that begins with $ belongs to the server`)
  if (/[*?]/.test(level)) throw new SyncError(code, `${quote(whole)}: * and ? are not portable`)
}

/** Half of a surrogate pair: JSON can hold one, UTF-8 cannot. */
export const loneSurrogate = /\p{Surrogate}/u

/** [MQTT-1.5.3]: no NUL, no broken UTF-8 (decoding leaves U+FFFD, which is refused with it). */
export function checkCharacters(text: string, code: 'bad-topic' | 'bad-filter'): void {
  if (text === '') throw new SyncError(code, 'the topic is empty')
  if (text.includes('\0')) throw new SyncError(code, `${quote(text)}: NUL in a topic [MQTT-1.5.3-2]`)
  if (text.includes('\ufffd') || loneSurrogate.test(text)) throw new SyncError(code, `${quote(text)}: not UTF-8 [MQTT-1.5.3-1]`)
}

function checkSize(topic: string, levels: readonly string[], rules: TopicRules): void {
  if (levels.length > rules.streamTopicLevelsMax) throw badTopic(topic, `${levels.length} levels, at most ${rules.streamTopicLevelsMax}`)
  const bytes = Buffer.byteLength(topic)
  if (bytes > rules.streamTopicBytesMax) throw badTopic(topic, `${bytes} bytes, at most ${rules.streamTopicBytesMax}`)
}

function badTopic(topic: string, reason: string): SyncError {
  return new SyncError('bad-topic', `${quote(topic)}: ${reason}`)
}

/** A name from the wire, short enough and safe to print. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? text.slice(0, 100) + '…' : text)
}
