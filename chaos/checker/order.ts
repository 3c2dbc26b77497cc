/** Contiguous seqs of one history, and entries in the order in which they were published [P-1.1, P-8.9, P-8.10]. */
import type { Facts } from './facts.ts'
import { parsePosition } from './positions.ts'
import { Notes, type Finding } from './promise.ts'

export function contiguous(facts: Facts): Finding {
  const notes = new Notes()
  const epochs = new Set<string>()
  for (const { name, entries, lastSeq, disagreements, sightings } of facts.logs.values()) {
    notes.examined += sightings
    notes.violations.push(...disagreements)
    let ts = 0
    for (let seq = 1; seq <= lastSeq; seq++) {
      const entry = entries.get(seq)
      notes.expect(entry !== undefined, () => `${name}: nobody ever saw seq ${seq} of ${lastSeq}`)
      if (!entry) continue
      epochs.add(parsePosition(entry.pos)?.epoch ?? '')
      notes.expect(entry.ts >= ts, () => `${name}: seq ${seq} is of ${entry.ts}, before that of the entry before it, ${ts}`)
      ts = entry.ts
    }
  }
  notes.expect(epochs.size === 1, () => `there are ${epochs.size} epochs: ${[...epochs].join(', ')}`)
  return notes
}

/** What one connection sent to a stream stands in the order sent. */
export function publishersOrder(facts: Facts): Finding {
  const notes = new Notes()
  const newest = new Map<string, { readonly seq: number; readonly m: number }>()
  const sends = facts.record.filter((event) => event.k === 'send')
  // AWS hands messages to whichever connection of the bridge is free; the SDK waits for the answer to each [P-20.13].
  const isAtAws = facts.run?.store === 'aws-iot'
  for (const { m, conn, stream } of sends) {
    const message = facts.messages.get(m)
    const [place] = facts.placesOf(m)
    if (!message || !place || (isAtAws && !message.sent.client.endsWith('…'))) continue
    // Of what was sent more than once it is not known which attempt was the one.
    const isFirst =
      message.attempts.length === 1 || message.acked.some((acked) => acked.conn === message.sent.conn && acked.duplicate !== true)
    if (!isFirst || message.sent.conn !== conn) continue
    const before = newest.get(`${conn} ${stream}`)
    notes.expect(before === undefined || place.seq > before.seq, () => {
      return `${stream}: connection ${conn} sent message ${m} after ${before?.m}, and it stands at ${place.seq}, before ${before?.seq}`
    })
    newest.set(`${conn} ${stream}`, { seq: place.seq, m })
  }
  return notes
}

/** What stood for certain before another message was sent has the lower seq. */
export function realTimeOrder(facts: Facts): Finding {
  const notes = new Notes()
  for (const { m, sent } of facts.messages.values()) {
    const [place] = facts.placesOf(m)
    if (!place) continue
    const log = facts.log(sent.stream)
    const stood = log.lowest(sent.t)
    notes.expect(
      place.seq > stood,
      () => `${log.name}: message ${m} was sent at ${sent.t}, when seq ${stood} stood, and stands at ${place.seq}`,
    )
  }
  return notes
}
