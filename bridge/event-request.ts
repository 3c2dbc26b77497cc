/** Which filters a request for events names, and where each begins [P-18.2 – P-18.5]. */
import type { Principal } from '../auth/index.ts'
import { SyncError } from '../protocol/errors.ts'
import { parseStart, parseStreamFilter, type StreamFilter, type SyncStart } from '../protocol/filters.ts'
import { openStream, quote, type TopicRules } from '../protocol/topics.ts'

export interface WantedFilter extends StreamFilter {
  /** As asked, without its place: what its events are marked with. */
  readonly text: string
  readonly start: SyncStart
}

/** What the events of several filters are resumed by: the places of all, in the order asked. */
export function eventId(places: readonly string[]): string {
  return places.join(',')
}

/** Throws `bad-request`, `bad-filter`, `bad-position`, or `forbidden` with the filter that no grant covers. */
export function wantedFilters(
  from: readonly string[],
  lastEventId: string | undefined,
  principal: Principal,
  rules: TopicRules,
): WantedFilter[] {
  const asked = from.map(splitPlace)
  const texts = new Set(asked.map(({ text }) => text))
  if (texts.size < asked.length) throw new SyncError('bad-request', 'a filter is named twice; its events could not be told apart')
  const places = lastEventId === undefined || lastEventId === '' ? undefined : lastEventId.split(',')
  if (places && places.length !== asked.length) {
    throw new SyncError('bad-request', `Last-Event-ID has ${places.length} places for ${asked.length} filters: it is of another request`)
  }
  return asked.map(({ text, place }, index) => {
    const first = place === '' ? 'now' : parseStart(place)
    const start = places ? parseStart(places[index] as string) : first
    const { stream, filter } = parseStreamFilter(text, rules)
    const granted = stream === openStream ? `${openStream}/${filter}` : filter
    if (!principal.grants.covers('subscribe', granted)) {
      throw new SyncError('forbidden', `no grant to subscribe covers ${quote(text)}`, { filter: text })
    }
    return { text, stream, filter, start }
  })
}

/** The place stands behind the last `@`, which no place can hold. */
function splitPlace(from: string): { text: string; place: string } {
  const at = from.lastIndexOf('@')
  return at < 0 ? { text: from, place: '' } : { text: from.slice(0, at), place: from.slice(at + 1) }
}
