/** Chapter 2: positions. */
import { check, must, NotTried, same, type Check } from '../check.ts'
import { mustAnswer, mustRefuse } from '../http.ts'
import { other, partsOf, positionOf, seqOf } from '../positions.ts'

export const positions: readonly Check[] = [
  check('P-2.1 P-2.2 P-2.3 P-2.4', 'a position has the form epoch.seq.mark', ['http'], async ({ me }) => {
    const { pos } = await me.append('form', { text: 'x' })
    const { epoch, seq, mark } = partsOf(pos)
    return `${pos}: epoch ${epoch}, seq ${seq}, mark ${mark}`
  }),
  check('P-2.7', 'one position is valid on every door', ['mqtt', 'http'], async ({ me }) => {
    const wire = await me.putter()
    await wire.follow(`sync/${me.place}/#`)
    const first = await wire.putWell(`${me.place}/doors`, { id: me.id('doors-1'), text: 'one', retain: true })
    const envelope = await wire.json((json) => json['id'] === first.id && 'ts' in json, 'the envelope')
    same(envelope.json['pos'], first.pos, 'the position on the sync door, beside that of the put reply')
    const page = await me.entries()
    same(page.entries.at(-1)?.['pos'], first.pos, 'the position in the history')
    const state = await me.state()
    same(state.entries[0]?.['pos'], first.pos, 'the position in the state')
    const second = await me.post('doors', { text: 'two', retain: true, if: first.pos })
    mustAnswer(second, 201, 'a POST on condition of that position')
    const after = await me.entries({ after: first.pos })
    same(
      after.entries.map(({ pos }) => pos),
      [second.json['pos']],
      'what the history has after it',
    )
    const before = await me.entries({ before: String(second.json['pos']) })
    same(
      before.entries.map(({ pos }) => pos),
      [first.pos],
      'what the history has before the next one',
    )
    if (!me.isAws) {
      await wire.follow(`sync@${first.pos}/${me.place}/#`)
      await wire.json((json, topic) => topic.startsWith('sync@') && json['pos'] === second.json['pos'], 'the second entry by sync@')
    }
    const events = await me.events([`${me.place}/#@${first.pos}`])
    same((await events.next('entry')).json['pos'], second.json['pos'], 'the first event after it')
    return `${first.pos} in put reply, envelope, history and state; taken by ${me.isAws ? '' : 'sync@, '}after, if and from`
  }),
  check('P-2.8', 'head is the newest entry', ['http'], async ({ me }) => {
    const { pos } = await me.append('head', { text: 'x' })
    const page = await me.entries({ limit: '0' })
    must(seqOf(page.head) >= seqOf(pos), `head ${page.head} is before ${pos}, which was acknowledged`)
    must(seqOf(page.first) <= seqOf(page.head), `first ${page.first} is after head ${page.head}`)
    return `head ${page.head} after ${pos} was acknowledged, first ${page.first}`
  }),
  check('P-2.9', 'what has not the form of a position is bad-position', ['http'], async ({ me }) => {
    for (const after of ['nonsense', '12', `${await me.head()}.x`])
      mustRefuse(await me.ask(history(me.uid), { query: { after } }), 400, 'bad-position', `after=${after}`)
    return 'three texts of other forms are 400 bad-position'
  }),
  check('P-2.10', 'a position of another epoch is answered epoch', ['http'], async ({ me }) => {
    const parts = partsOf((await me.append('epoch', { text: 'x' })).pos)
    const after = positionOf({ ...parts, epoch: other(parts.epoch) })
    const { json } = mustRefuse(await me.ask(history(me.uid), { query: { after } }), 410, 'epoch', `after=${after}`)
    return `410 epoch, with head ${String(json['head'])}`
  }),
  check('P-2.11', 'a position beyond the head is answered ahead', ['http'], async ({ me }) => {
    const parts = partsOf((await me.append('ahead', { text: 'x' })).pos)
    const after = positionOf({ ...parts, seq: parts.seq + 1_000_000 })
    mustRefuse(await me.ask(history(me.uid), { query: { after } }), 410, 'ahead', `after=${after}`)
    return `${after} is 410 ahead`
  }),
  check('P-2.12 P-2.5', 'a position before what can be read is answered trimmed', ['http'], async ({ me }) => {
    const { first } = await me.entries({ limit: '0' })
    const parts = partsOf(first)
    if (parts.seq < 2) throw new NotTried('nothing was trimmed from this stream')
    const after = positionOf({ ...parts, seq: 0, mark: '0000' })
    mustRefuse(await me.ask(history(me.uid), { query: { after } }), 410, 'trimmed', `after=${after}`)
    return `${after} is 410 trimmed, where the stream begins at ${first}`
  }),
  check('P-2.13', 'a position with a foreign mark is answered epoch', ['http'], async ({ me }) => {
    const parts = partsOf((await me.append('mark', { text: 'x' })).pos)
    const after = positionOf({ ...parts, mark: other(parts.mark) })
    mustRefuse(await me.ask(history(me.uid), { query: { after } }), 410, 'epoch', `after=${after}`)
    return `${after} is 410 epoch`
  }),
  check('P-2.14 P-2.15', 'earliest is served, and is where the stream begins', ['http'], async ({ me }) => {
    await me.append('earliest', { text: 'x' })
    const page = await me.entries({ after: 'earliest', topic: '#', limit: '1' })
    same(page.entries[0]?.['pos'], page.first, 'the first entry after earliest')
    const parts = partsOf(page.first)
    if (parts.seq === 1) {
      const beginning = positionOf({ ...parts, seq: 0, mark: '0000' })
      const begun = await me.entries({ after: beginning, topic: '#', limit: '1' })
      same(begun.entries[0]?.['pos'], page.first, `the first entry after ${beginning}`)
    }
    return `after=earliest begins with ${page.first}`
  }),
  check('P-2.16', 'snapshot is no position for the history', ['http'], async ({ me }) => {
    mustRefuse(await me.ask(history(me.uid), { query: { after: 'snapshot' } }), 400, 'bad-position', 'after=snapshot')
    return 'after=snapshot is 400 bad-position'
  }),
]

function history(uid: string): string {
  return `/v1/streams/users/${encodeURIComponent(uid)}/entries`
}
