/** What was acknowledged stands exactly once, at the position that was told, for every door [P-8.6, P-8.8, P-9.6]. */
import type { Facts } from './facts.ts'
import { Notes, type Finding } from './promise.ts'

export function acknowledgedOnce(facts: Facts): Finding {
  const notes = new Notes()
  for (const { m, sent, acked } of facts.messages.values()) {
    // AWS may bring it twice, and it has no id: taken.ts looks at those.
    if (sent.door === 'aws') continue
    const places = facts.placesOf(m)
    const what = `message ${m} (${sent.door} of ${sent.client} to ${sent.stream})`
    if (places.length > 1 || acked.length > 0)
      notes.expect(places.length <= 1, () => `${what} stands ${places.length} times: at ${places.map(({ pos }) => pos).join(', ')}`)
    if (acked.length === 0) continue
    notes.expect(places.length > 0, () => `${what} was acknowledged at ${acked[0]?.t} and stands nowhere`)
    for (const { pos, t } of acked) {
      const [place] = places
      if (pos !== undefined && place) notes.expect(place.pos === pos, () => `${what} was told ${pos} at ${t} and stands at ${place.pos}`)
    }
    const [place] = places
    if (place) notes.expect(isAsSent(place, sent), () => `${what} stands at ${place.pos} as ${JSON.stringify(place)}`)
  }
  return notes
}

/** A whole reading, and when it asked for its end. */
interface Reading {
  readonly stream: string
  readonly seqs: number[]
  asked: number
}

/** Each whole reading at the end shows every entry from the first readable one to the head. A will that nobody waited for may come behind it. */
export function foundByEveryDoor(facts: Facts): Finding {
  const notes = new Notes()
  /** The last one of each stream and node: one that could not be finished was begun again. */
  const replays = new Map<number, Reading & { readonly place: string }>()
  const pages = new Map<string, Reading>()
  for (const event of facts.record) {
    if (event.k === 'open' && event.final === true) {
      const { stream = '', node, sub } = event
      const place = `${node} ${stream}`
      for (const [earlier, replay] of replays) if (replay.place === place) replays.delete(earlier)
      replays.set(sub, { stream, seqs: [], place, asked: event.t })
    } else if (event.k === 'got') replays.get(event.sub)?.seqs.push(Number(event.e[0].split('.')[1]))
    else if (event.k === 'page' && event.final === true && event.state !== true) {
      const { stream } = event
      const key = `history from node ${event.node} of ${stream}`
      const reading = pages.get(key) ?? { stream, seqs: [], asked: 0 }
      reading.asked = event.call
      for (const [pos] of event.entries) reading.seqs.push(Number(pos.split('.')[1]))
      pages.set(key, reading)
    }
  }
  const readings = [...[...replays].map(([sub, replay]) => [`replay ${sub} of ${replay.stream}`, replay] as const), ...pages]
  for (const [what, { stream, seqs, asked }] of readings) {
    const stood = facts.log(stream).lowest(asked)
    const trimmed = facts.trims.filter((trim) => trim.stream === stream).map(({ first }) => first)
    notes.expect((seqs.at(-1) ?? 0) >= stood, () => `${what} ends at ${seqs.at(-1)}, and ${stood} stood`)
    notes.expect((seqs[0] ?? 0) <= Math.max(1, ...trimmed), () => `${what} begins at ${seqs[0]}`)
    notes.expect(
      seqs.every((seq, index) => index === 0 || seq === (seqs[index - 1] ?? 0) + 1),
      () => `${what} is not contiguous`,
    )
    notes.examined += seqs.length
  }
  return notes
}

function isAsSent(
  entry: { topic: string; text: string; from: string; client: string; flags: string; id: string },
  sent: { topic: string; text: string; user: string; client: string; retain: boolean; id?: string },
): boolean {
  const flags = sent.retain ? (sent.text === '' ? 'd' : 'r') : ''
  const { topic, text, from, client } = entry
  const isId = sent.id === undefined || entry.id === sent.id
  const isClient = sent.client.endsWith('…') ? client.startsWith(sent.client.slice(0, -1)) : client === sent.client
  return topic === sent.topic && text === sent.text && from === sent.user && isClient && entry.flags === flags && isId
}
