/** Filters on the wire: what they name [P-1.6]. How they match: topic-filter.ts. */
import { SyncError } from './errors.ts'
import { parsePosition, type Position } from './positions.ts'
import { checkCharacters, checkLevel, isReservedLevel, openStream, quote, streamName, type TopicRules } from './topics.ts'

/** Where a sync subscription begins [P-6.2]. */
export type SyncStart = 'now' | 'earliest' | 'snapshot' | Position

/** What a filter on the wire asks for. `filter` is always in terms of plain topics. */
export type Subscription =
  | { readonly door: 'plain'; readonly stream: string; readonly filter: string }
  | { readonly door: 'sync'; readonly stream: string; readonly filter: string; readonly start: SyncStart; readonly first: string }
  | { readonly door: 'reply'; readonly client: string; readonly filter: string }
  | { readonly door: 'tap'; readonly filter: string }

/** Reads a filter from a SUBSCRIBE; throws `bad-filter` or `bad-position`. */
export function parseFilter(wire: string, rules: TopicRules): Subscription {
  checkCharacters(wire, 'bad-filter')
  const levels = wire.split('/')
  checkWildcards(wire, levels)
  if (levels.length > rules.topicLevelsMax) throw badFilter(wire, `${levels.length} levels, at most ${rules.topicLevelsMax}`)
  if (Buffer.byteLength(wire) > rules.topicBytesMax) throw badFilter(wire, `more than ${rules.topicBytesMax} bytes`)
  const first = levels[0] as string
  if (first === '+' || first === '#') {
    return rules.openEnabled ? { door: 'plain', stream: openStream, filter: wire } : { door: 'tap', filter: wire }
  }
  if (first === 'reply') return parseReplyFilter(wire, levels)
  if (first === 'sync' || first.startsWith('sync@')) return parseSyncFilter(wire, levels, rules)
  return parsePlainFilter(wire, levels, rules)
}

function parsePlainFilter(wire: string, levels: readonly string[], rules: TopicRules): Subscription {
  const first = levels[0] as string
  if (first === 'users' || first === 'spaces' || first === 'outbox' || first === 'inbox') {
    if (levels[1] === '+' || levels[1] === '#') return { door: 'tap', filter: wire }
    const stream = streamName(levels, 'bad-filter', wire)
    if (levels.length < 3) throw badFilter(wire, `a stream has no topic of its own; did you mean ${wire}/#?`)
    for (const level of levels) checkLevel(level, wire, 'bad-filter')
    checkSize(wire, levels, rules)
    return { door: 'plain', stream, filter: wire }
  }
  if (isReservedLevel(first)) throw badFilter(wire, `nothing is delivered on ${quote(first)}`)
  if (first === '$SYS' || first === '$share') throw badFilter(wire, `${first} is not offered`)
  if (!rules.openEnabled) throw badFilter(wire, 'topics outside users/ and spaces/ need the open stream, which is off')
  return { door: 'plain', stream: openStream, filter: wire }
}

function parseSyncFilter(wire: string, levels: readonly string[], rules: TopicRules): Subscription {
  const first = levels[0] as string
  const start = first === 'sync' ? 'now' : parseStart(first.slice('sync@'.length))
  return { door: 'sync', ...filterOfStream(wire, levels.slice(1), rules), start, first }
}

/** The filter of one stream, named by its first two levels without wildcards [P-6.3]. */
export interface StreamFilter {
  readonly stream: string
  /** In terms of plain topics. */
  readonly filter: string
}

/** Reads what stands behind the first level of a sync filter, and in `from` of an event stream; throws `bad-filter`. */
export function parseStreamFilter(text: string, rules: TopicRules): StreamFilter {
  checkCharacters(text, 'bad-filter')
  const levels = text.split('/')
  checkWildcards(text, levels)
  const found = filterOfStream(text, levels, rules)
  const plainLevels = found.filter.split('/').length
  if (plainLevels > rules.topicLevelsMax) throw badFilter(text, `${plainLevels} levels, at most ${rules.topicLevelsMax}`)
  if (Buffer.byteLength(found.filter) > rules.topicBytesMax) throw badFilter(text, `more than ${rules.topicBytesMax} bytes`)
  return found
}

function filterOfStream(wire: string, levels: readonly string[], rules: TopicRules): StreamFilter {
  if (levels[0] === 'open' && levels[1] === '-') {
    if (!rules.openEnabled) throw badFilter(wire, 'the open stream is off')
    if (levels.length < 3) throw badFilter(wire, 'a stream has no topic of its own; append /#')
    return { stream: openStream, filter: levels.slice(2).join('/') }
  }
  const stream = streamName(levels, 'bad-filter', wire)
  if (levels.length < 3) throw badFilter(wire, 'a stream has no topic of its own; append /#')
  const ownName = isExact(levels) && serverNames.has(levels.at(-1) as string)
  for (const level of ownName ? levels.slice(0, -1) : levels) checkLevel(level, wire, 'bad-filter')
  checkSize(wire, levels, rules)
  return { stream, filter: levels.join('/') }
}

/** As large as the topics of a stream may be [P-1.19]. */
function checkSize(wire: string, levels: readonly string[], { streamTopicLevelsMax, streamTopicBytesMax }: TopicRules): void {
  if (levels.length > streamTopicLevelsMax) throw badFilter(wire, `${levels.length} levels, at most ${streamTopicLevelsMax}`)
  const bytes = Buffer.byteLength(levels.join('/'))
  if (bytes > streamTopicBytesMax) throw badFilter(wire, `${bytes} bytes, at most ${streamTopicBytesMax}`)
}

/** The server's own names, asked for exactly: its entries, and control messages, which come anyway [P-6.9]. */
const serverNames: ReadonlySet<string> = new Set(['$acl', '$ctl'])

function isExact(levels: readonly string[]): boolean {
  return !levels.includes('+') && !levels.includes('#')
}

/** Reads `earliest`, `snapshot` or a position; throws `bad-position`. */
export function parseStart(text: string): SyncStart {
  return text === 'earliest' || text === 'snapshot' ? text : parsePosition(text)
}

/** What may stand behind the client: a wildcard, the control messages, an entry id [P-7.2]. */
const replyName = /^(?:#|\+|\$ctl|[A-Za-z0-9_-]{1,64})$/

function parseReplyFilter(wire: string, levels: readonly string[]): Subscription {
  const client = levels[1]
  const name = levels[2] ?? ''
  if (client === undefined || client === '+' || client === '#' || levels.length !== 3 || !replyName.test(name)) {
    throw badFilter(wire, 'replies are read on reply/{client}/# with the exact client')
  }
  return { door: 'reply', client, filter: wire }
}

function checkWildcards(wire: string, levels: readonly string[]): void {
  levels.forEach((level, at) => {
    if (level.includes('#') && (level !== '#' || at !== levels.length - 1)) {
      throw badFilter(wire, '# stands alone and last [MQTT-4.7.1-2]')
    }
    if (level.includes('+') && level !== '+') throw badFilter(wire, '+ stands alone in its level [MQTT-4.7.1-3]')
  })
}

/** The topic of a filter's control messages: cut at its first wildcard level, plus `$ctl`; an exact filter is its own [P-6.9]. */
export function controlTopic(wire: string): string {
  const levels = wire.split('/')
  const wildcard = levels.findIndex((level) => level === '+' || level === '#')
  return wildcard < 0 ? wire : [...levels.slice(0, wildcard), '$ctl'].join('/')
}

function badFilter(wire: string, reason: string): SyncError {
  return new SyncError('bad-filter', `${quote(wire)}: ${reason}`)
}
