/** QoS 2 publishes stand exactly once as long as the session lives, which is always in these runs [P-4.3]. */
import type { Facts } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

export function exactlyOnce(facts: Facts): Finding {
  const notes = new Notes()
  /** Since when a session lives. */
  const born = new Map<string, number>()
  const seen = new Set<string>()
  for (const event of facts.record) {
    if (event.k !== 'open' || !event.reader.startsWith('exactly')) continue
    if (event.present !== true) born.set(event.reader, event.t)
    notes.expect(event.present === true || !seen.has(event.reader), () => `the session of ${event.reader} was gone at ${event.t}`)
    seen.add(event.reader)
  }
  for (const { m, sent, attempts, acked } of facts.messages.values()) {
    if (sent.door !== 'qos2') continue
    const places = facts.placesOf(m)
    const what = `QoS 2 message ${m} of ${sent.client}, sent ${attempts.length} times,`
    notes.expect(places.length <= 1, () => `${what} stands at ${places.map(({ pos }) => pos).join(', ')}`)
    if (facts.settled?.missing.length === 0)
      notes.expect(acked.length > 0 && places.length === 1, () => `${what} stands ${places.length} times at the end`)
  }
  return notes
}
