/** A will is published at most once, and once where its connection ended without a DISCONNECT [P-4.27]. */
import type { Facts } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

export function willsOnce(facts: Facts): Finding {
  const notes = new Notes()
  const armed = new Map<number, number>()
  const disarmed = new Set<number>()
  for (const event of facts.record) {
    if (event.k !== 'will') continue
    if (event.what === 'armed') armed.set(event.m, event.t)
    if (event.what === 'disarmed') disarmed.add(event.m)
  }
  for (const { m, sent } of facts.messages.values()) {
    if (sent.door !== 'will') continue
    const places = facts.placesOf(m)
    notes.expect(places.length <= 1, () => `will ${m} was published ${places.length} times: at ${places.map(({ pos }) => pos).join(', ')}`)
    // Where a DISCONNECT was sent nobody knows whether it arrived.
    if (!facts.settled || !armed.has(m) || disarmed.has(m)) continue
    notes.expect(places.length === 1, () => `will ${m} of ${sent.client}, armed at ${armed.get(m)}, was never published`)
  }
  return notes
}
