/** What AWS IoT Core has acknowledged comes into the log, once or more often, as it was published and as nobody's in particular [P-20.2, P-20.5]. */
import type { Facts } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

export function takenStands(facts: Facts): Finding {
  const notes = new Notes()
  const taken = new Map<number, number>()
  for (const event of facts.record) if (event.k === 'taken') taken.set(event.m, event.t)
  for (const { m, sent } of facts.messages.values()) {
    if (sent.door !== 'aws') continue
    const what = `message ${m} to ${sent.topic}`
    const places = facts.placesOf(m)
    // What AWS has not acknowledged it may have none the less.
    if (facts.settled && taken.has(m)) {
      notes.expect(places.length > 0, () => `${what} was taken by AWS at ${taken.get(m)} and stands nowhere`)
    }
    for (const { pos, topic, text, from, client, flags } of places) {
      const isAsSent = topic === sent.topic && text === sent.text && from === sent.user && client === sent.client && flags === ''
      notes.expect(isAsSent, () => `${what} stands at ${pos} on ${topic} as that of ${from}, client ${client}`)
    }
  }
  return notes
}
