/** What stands in an outbox stands in the inbox, once, as the same message [P-15.1, P-15.3, P-15.5]. */
import type { Entry, Facts } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

export function relayed(facts: Facts): Finding {
  const notes = new Notes()
  const inboxes = new Map<string, Entry[]>()
  for (const { name, entries } of facts.logs.values()) {
    if (!name.startsWith('inbox/')) continue
    for (const entry of entries.values()) inboxes.set(keyOf(entry), [...(inboxes.get(keyOf(entry)) ?? []), entry])
  }
  for (const [key, found] of inboxes)
    notes.expect(found.length === 1, () => `${key} was delivered ${found.length} times: at ${found.map(({ pos }) => pos).join(', ')}`)
  for (const { name, entries } of facts.logs.values()) {
    if (!name.startsWith('outbox/')) continue
    for (const entry of entries.values()) {
      const [delivered] = inboxes.get(keyOf({ ...entry, topic: deliveredTo(entry.topic) })) ?? []
      notes.expect(delivered !== undefined, () => `${entry.topic}: the message at ${entry.pos} stands in no inbox`)
      const isSame = delivered?.text === entry.text && delivered.from === entry.from && delivered.client === entry.client
      notes.expect(!delivered || isSame, () => `${entry.topic}: the message at ${entry.pos} stands as ${JSON.stringify(delivered)}`)
    }
  }
  return notes
}

function keyOf({ topic, id }: { topic: string; id: string }): string {
  return `${topic} ${id}`
}

/** Of what is published to `outbox/alice/bob/x`: `inbox/bob/alice/x`. */
function deliveredTo(topic: string): string {
  const [, from = '', to = '', ...rest] = topic.split('/')
  return ['inbox', to, from, ...rest].join('/')
}
