/** What a path and a parameter name: a stream, and a filter below it [P-11.13, P-11.18]. */
import type { Principal } from '../auth/index.ts'
import { SyncError } from '../protocol/errors.ts'
import { parseFilter } from '../protocol/filters.ts'
import { TopicFilter } from '../protocol/topic-filter.ts'
import { isReservedLevel, openStream, quote, streamName, streamOfTopic, type TopicRules } from '../protocol/topics.ts'

export interface StreamPath {
  readonly kind: string
  readonly id: string
}

const kinds: ReadonlySet<string> = new Set(['users', 'spaces', 'outbox', 'inbox'])

/** The stream of a path. Throws `not-found` or `bad-topic`. */
export function streamOfPath({ kind, id }: StreamPath, rules: TopicRules): string {
  if (kind === 'open' && rules.openEnabled) {
    if (id !== '-') throw new SyncError('bad-topic', `the open stream is called ${openStream}`)
    return openStream
  }
  if (!kinds.has(kind)) throw new SyncError('not-found', `there are no streams of the kind ${quote(kind)}`)
  return streamName([kind, id], 'bad-topic', `${kind}/${id}`)
}

/** Which entries of a stream are asked for. */
export interface Wanted {
  /** Undefined: every entry of the stream. */
  readonly filter: TopicFilter | undefined
}

/** Judges a filter on the levels below a stream as a SUBSCRIBE of it would be. Throws `bad-filter` or `forbidden`. */
export function wantedBelow(stream: string, below: string, principal: Principal, rules: TopicRules): Wanted {
  const filter = stream === openStream ? openFilter(below, rules) : `${stream}/${below}`
  const asked = stream === openStream ? `${openStream}/${below}` : filter
  // `tap` is about what passes by, not about what is kept [P-1.33].
  const parsed = parseFilter(filter, rules)
  if (parsed.door !== 'plain' || parsed.stream !== stream) throw new SyncError('bad-filter', `${quote(below)} is no filter below ${stream}`)
  if (!principal.grants.covers('subscribe', asked)) throw new SyncError('forbidden', `no grant to subscribe covers ${quote(asked)}`)
  return { filter: asked === `${stream}/#` && stream !== openStream ? undefined : new TopicFilter(filter) }
}

/** The full topic of a publish below a stream, and how grants call it. Throws `bad-topic` or `forbidden`. */
export function topicBelow(stream: string, below: string, principal: Principal, rules: TopicRules): { topic: string; granted: string } {
  const granted = `${stream}/${below}`
  const topic = stream === openStream ? below : granted
  // JSON can hold half a surrogate pair, which no UTF-8 can [P-1.20].
  if (/\p{Surrogate}/u.test(below)) throw new SyncError('bad-topic', `${quote(below)} is not Unicode`)
  if (streamOfTopic(topic, rules) !== stream) throw new SyncError('bad-topic', `${quote(below)} is no topic below ${stream}`)
  if (!principal.grants.allows('publish', granted)) throw new SyncError('forbidden', `no grant to publish allows ${quote(granted)}`)
  return { topic, granted }
}

function openFilter(below: string, rules: TopicRules): string {
  const [first = ''] = below.split('/')
  if (isReservedLevel(first))
    throw new SyncError('bad-filter', `${quote(below)}: topics of the open stream never begin with ${quote(first)}`)
  if (!rules.openEnabled) throw new SyncError('bad-filter', 'the open stream is off')
  return below
}
