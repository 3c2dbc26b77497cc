/** What may not be: entries without a grant, deliveries without one, and deliveries to the revoked [P-4.9, P-10.25, P-10.26]. */
import type { OpenEvent } from '../record.ts'
import { messageOf, type Facts } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

/** P-10.25 allows 2 s, P-10.26 5 s to a server that cannot learn of it; the rest is for the clocks of a busy machine. What faults take is not counted. */
const deadlineMs = 7_000
/** The node of the older connection looks every second, `nodeBeatMs`; to one whose database does not answer P-10.26 gives 5 s; the rest is as above. */
const replacedDeadlineMs = 7_000

export function grantsKept(facts: Facts): Finding {
  const notes = new Notes()
  for (const { m, sent } of facts.messages.values()) {
    if (sent.forbidden !== true) continue
    notes.expect(facts.placesOf(m).length === 0, () => `message ${m} of ${sent.user} stands in ${sent.stream} without a grant`)
  }
  const readers = new Map<number, OpenEvent>()
  for (const event of facts.record) {
    if (event.k === 'open') readers.set(event.sub, event)
    else if (event.k === 'subscribed' && event.code >= 0) {
      const { reader = '' } = readers.get(event.sub) ?? {}
      if (reader === 'intruder')
        notes.expect(event.code === 0x80, () => `${event.filter} was granted with ${event.code} at ${event.t} without a grant`)
    } else if (event.k === 'plain' && readers.get(event.sub)?.reader === 'intruder') {
      notes.expect(false, () => `${event.topic} was delivered at ${event.t} without a grant`)
    }
  }
  return notes
}

/** What was published after the deadline never comes to the revoked. */
export function revocationsKept(facts: Facts): Finding {
  const notes = new Notes()
  const revokedAt = new Map<string, number>()
  const users = new Map<number, OpenEvent>()
  for (const event of facts.record) if (event.k === 'revoked') revokedAt.set(event.uid, facts.after(event.t, deadlineMs))
  notes.examined += [...revokedAt.values()].filter((deadline) => deadline < facts.lastSentAt).length
  for (const event of facts.record) {
    if (event.k === 'open') users.set(event.sub, event)
    if (event.k !== 'plain') continue
    const { user = '' } = users.get(event.sub) ?? {}
    const deadline = revokedAt.get(user)
    if (deadline === undefined || event.retain) continue
    const m = messageOf(event.text, '')
    const sent = m === undefined ? undefined : facts.messages.get(m)?.sent
    if (!sent) continue
    notes.expect(sent.t <= deadline, () => {
      return `${user} was revoked, in force at ${deadline} at the latest, and got message ${m} at ${event.t}, which was published at ${sent.t}`
    })
  }
  return notes
}

/** A connection whose client id is served elsewhere gets nothing that is published after the deadline [P-4.26, P-13.43]. */
export function replacedKept(facts: Facts): Finding {
  const notes = new Notes()
  const replacedAt = new Map<number, number>()
  for (const event of facts.record) if (event.k === 'replaced') replacedAt.set(event.sub, facts.after(event.t, replacedDeadlineMs))
  notes.examined += [...replacedAt.values()].filter((deadline) => deadline < facts.lastSentAt).length
  for (const event of facts.record) {
    if (event.k !== 'plain') continue
    const deadline = replacedAt.get(event.sub)
    const m = messageOf(event.text, '')
    const sent = m === undefined ? undefined : facts.messages.get(m)?.sent
    if (deadline === undefined || !sent || event.retain) continue
    notes.expect(sent.t <= deadline, () => {
      return `connection ${event.sub} was replaced, over at ${deadline} at the latest, and got message ${m} at ${event.t}, which was published at ${sent.t}`
    })
  }
  return notes
}

/** Nothing that stands behind the withdrawal of a member came to that member [P-16.2, P-16.5]. */
export function withdrawalsKept(facts: Facts): Finding {
  const notes = new Notes()
  const withdrawnAt = new Map<string, number>()
  for (const { name, entries } of facts.logs.values()) {
    for (const { topic, text, seq } of entries.values()) {
      if (topic !== `${name}/$acl`) continue
      const { withdrawn } = JSON.parse(text) as { withdrawn: string }
      withdrawnAt.set(`${withdrawn} ${name}`, Math.min(seq, withdrawnAt.get(`${withdrawn} ${name}`) ?? Infinity))
    }
  }
  const readers = new Map<number, OpenEvent>()
  for (const event of facts.record) {
    if (event.k === 'open') readers.set(event.sub, event)
    else if (event.k === 'withdrawn')
      notes.expect(withdrawnAt.has(`${event.uid} ${event.stream}`), () => `the withdrawal of ${event.uid} at ${event.pos} stands nowhere`)
    else if (event.k === 'plain' && !event.retain) {
      const { user = '' } = readers.get(event.sub) ?? {}
      const stream = event.topic.split('/').slice(0, 2).join('/')
      const since = withdrawnAt.get(`${user} ${stream}`)
      const m = messageOf(event.text, '')
      if (since === undefined || m === undefined) continue
      for (const { seq } of facts.placesOf(m))
        notes.expect(seq < since, () => `${user} was withdrawn from ${stream} at seq ${since} and got seq ${seq} at ${event.t}`)
    }
  }
  return notes
}
