/** QoS 0: never logged, never kept for anyone, and to each reader in the order of the connection that published it [P-3.2, P-4.9, P-8.12]. */
import type { OpenEvent } from '../record.ts'
import { matches, messageOf, type Facts } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

export function liveOnly(facts: Facts): Finding {
  const notes = new Notes()
  for (const { m, sent } of facts.messages.values()) {
    if (sent.door !== 'qos0') continue
    notes.expect(facts.placesOf(m).length === 0, () => `message ${m} with QoS 0 stands at ${facts.placesOf(m)[0]?.pos}`)
  }
  const readers = new Map<number, OpenEvent>()
  /** Of a connection, or of a kept session. */
  const filters = new Map<string, string[]>()
  const filtersOf = (sub: number): string[] => {
    const { clean, reader = '' } = readers.get(sub) ?? {}
    const key = clean === false ? reader : `${sub}`
    return filters.get(key) ?? filters.set(key, []).get(key) ?? []
  }
  /** By reader and connection of the publisher: the newest message that came. */
  const newest = new Map<string, number>()
  for (const event of facts.record) {
    if (event.k === 'open') {
      readers.set(event.sub, event)
      if (event.stream !== undefined) filtersOf(event.sub).push(`${event.stream}/${event.filter}`)
    } else if (event.k === 'subscribed' && event.code <= 1) filtersOf(event.sub).push(event.filter)
    if ((event.k !== 'plain' && event.k !== 'live') || !facts.isLive(event.text)) continue
    const { sub, topic, text, t } = event
    const sent = facts.messages.get(messageOf(text, '') ?? 0)?.sent
    if (!sent) continue
    const what = `message ${sent.m} with QoS 0, which came to ${readers.get(sub)?.reader} at ${t},`
    const key = `${sub} ${sent.conn}`
    const before = newest.get(key) ?? 0
    notes.expect(sent.m > before, () => `${what} came after message ${before} of the same connection`)
    newest.set(key, sent.m)
    notes.expect(topic === sent.topic && text === sent.text, () => `${what} came on ${topic} and was sent to ${sent.topic}`)
    const isFor = filtersOf(sub).some((filter) => matches(filter, topic))
    notes.expect(isFor, () => `${what} matches no filter of it`)
    if (event.k === 'plain') notes.expect(!event.retain && !event.dup, () => `${what} was marked as retained or repeated`)
  }
  return notes
}
