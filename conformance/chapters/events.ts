/** Chapter 18: event streams. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { mustRefuse } from '../http.ts'
import { other, partsOf, positionOf } from '../positions.ts'

export const events: readonly Check[] = [
  check('P-18.1 P-18.7 P-11.37', 'an event stream shows history, then what is live', ['http'], async ({ me }) => {
    const from = await me.head()
    await me.append('x', { text: 'before' })
    const reader = await me.events([`${me.place}/#@${from}`])
    must(/^text\/event-stream\b/.test(reader.contentType), `the content type is ${reader.contentType}`)
    const first = await reader.next('entry')
    await me.append('x', { text: 'after' })
    const second = await reader.next('entry')
    same([first.json['text'], second.json['text']], ['before', 'after'], 'the entries')
    same(
      (await me.entries()).entries.map(({ pos }) => pos),
      [first.json['pos'], second.json['pos']],
      'their positions, beside the history',
    )
    return 'one entry of the history and a live one, as text/event-stream'
  }),
  check('P-18.3 P-2.15 P-2.16', 'earliest, snapshot and nothing are places', ['http'], async ({ me }) => {
    await me.append('x', { text: 'kept', retain: true })
    await me.append('x', { text: 'logged' })
    const earliest = await me.events([`${me.place}/#@earliest`])
    same([(await earliest.next('entry')).json['text'], (await earliest.next('entry')).json['text']], ['kept', 'logged'], 'from earliest')
    const snapshot = await me.events([`${me.place}/#@snapshot`])
    await snapshot.next('snapshot-start')
    same((await snapshot.next('entry')).json['text'], 'kept', 'from snapshot')
    await snapshot.next('snapshot-end')
    const now = await me.events([`${me.place}/#`])
    await now.next('at')
    await me.append('x', { text: 'live' })
    same((await now.next('entry')).json['text'], 'live', 'from now')
    return 'earliest: both; snapshot: the retained one; nothing: what comes'
  }),
  check('P-18.4 P-18.2', 'one bad filter or place refuses the whole request', ['http'], async ({ me, strangerUid }) => {
    const ask = (...from: string[]): ReturnType<typeof me.ask> =>
      me.ask(`/v1/events?${from.map((one) => `from=${encodeURIComponent(one)}`).join('&')}`)
    const good = `${me.place}/#`
    mustRefuse(await ask(good, 'users/+/x'), 400, 'bad-filter', 'a filter across streams')
    mustRefuse(await ask(good, `${me.place}/a@nonsense`), 400, 'bad-position', 'a place that is none')
    mustRefuse(await ask(good, `${good}@earliest`), 400, 'bad-request', 'a filter named twice')
    mustRefuse(await ask(), 400, 'bad-request', 'no filter')
    const refused = mustRefuse(await ask(good, `users/${strangerUid}/#`), 403, 'forbidden', 'a filter of another user')
    same(refused.json['filter'], `users/${strangerUid}/#`, 'filter')
    return 'bad-filter, bad-position, twice bad-request, and forbidden with the filter'
  }),
  check('P-18.5 P-18.11', 'a reader goes on behind Last-Event-ID without a gap or a double', ['http'], async ({ me }) => {
    const filters = [`${me.place}/a/#@${await me.head()}`, `${me.place}/b/#@${await me.head()}`]
    for (const n of [1, 2, 3]) for (const level of ['a', 'b']) await me.append(`${level}/x`, { text: `${level}${n}` })
    const reader = await me.events(filters)
    const seen: string[] = []
    let id = ''
    while (seen.length < 3) {
      const event = await reader.next('entry')
      seen.push(String(event.json['text']))
      id = event.id ?? ''
    }
    reader.close()
    same(id.split(',').length, 2, 'places in the id')
    await me.append('a/x', { text: 'a4' })
    const again = await me.events(filters, { 'last-event-id': id })
    while (seen.length < 7) seen.push(String((await again.next('entry')).json['text']))
    same([...seen].sort(), ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'b3'], 'what came over both connections')
    const { status } = await me.ask(`/v1/events?from=${encodeURIComponent(`${me.place}/#`)}`, { headers: { 'last-event-id': id } })
    same(status, 400, 'an id with more places than filters')
    return `cut after three of seven, and the others came behind ${id}`
  }),
  check('P-18.6', 'data say the filter as asked, without its place', ['http'], async ({ me }) => {
    const reader = await me.events([`${me.place}/a/#@earliest`, `${me.place}/b`])
    await me.append('a/x', { text: 'a' })
    await me.append('b', { data: { lines: 'one\ntwo' } })
    const [one, two] = [await reader.next('entry'), await reader.next('entry')]
    same([String(one.json['filter']), String(two.json['filter'])].sort(), [`${me.place}/a/#`, `${me.place}/b`], 'filter')
    return 'both events name their filter'
  }),
  check(
    'P-18.8',
    'ephemeral messages come as events without an id of their own',
    ['mqtt', 'http'],
    async ({ me }) => {
      const reader = await me.events([`${me.place}/#`])
      await reader.next('at')
      const wire = await me.connect()
      await wire.publish(`${me.place}/x`, 'live', { qos: 0 })
      const { id, json } = await reader.next('ephemeral')
      same([id ?? null, json['text'], 'pos' in json], [null, 'live', false], 'id, text and pos')
      return 'the event ephemeral, without id and pos'
    },
    onAws.qos0,
  ),
  check('P-18.9 P-18.4', 'at comes first, and a place that cannot be served is answered by reset', ['http'], async ({ me }) => {
    const parts = partsOf((await me.append('x', { text: 'x' })).pos)
    const foreign = positionOf({ ...parts, epoch: other(parts.epoch) })
    const reader = await me.events([`${me.place}/#@${foreign}`, `${me.place}/x@earliest`])
    const reset = await reader.next('reset')
    same([reset.json['reason'], reset.json['filter'], reset.json['ctl']], ['epoch', `${me.place}/#`, 'reset'], 'reason, filter and ctl')
    same((await reader.next('entry')).json['filter'], `${me.place}/x`, 'the filter that goes on')
    await reader.next('at', ({ json }) => json['pos'] === json['head'])
    return 'reset for one filter, entries and at for the other'
  }),
  check('P-18.12 P-12.11', 'an event stream ends with closed when its token expires', ['http', 'short token'], async (attempt) => {
    const { me } = attempt
    const { token, expiresMs } = await attempt.shortToken()
    const reader = await me.events([`${me.place}/#`], { authorization: `Bearer ${token}` })
    await reader.next('at')
    await attempt.until(expiresMs - attempt.timeoutMs / 2)
    const { json, id } = await reader.next('closed')
    same([json['code'], id ?? null], ['token-expired', null], 'code, and id')
    return 'closed with token-expired at the time'
  }),
  check(
    'P-18.5 P-2.7',
    'events go on where the history or sync@ stopped, and the other way round',
    ['mqtt', 'http'],
    async ({ me }) => {
      const { pos } = await me.append('x', { text: 'one' })
      await me.append('x', { text: 'two' })
      const reader = await me.events([`${me.place}/#@${pos}`])
      const { id, json } = await reader.next('entry')
      same(json['text'], 'two', 'the event after a position of HTTP')
      await me.append('x', { text: 'three' })
      const wire = await me.listen(`sync@${id}/${me.place}/#`)
      same((await wire.json((found) => 'id' in found, 'the entry')).json['text'], 'three', 'by sync@ behind the id of an event')
      return `from ${pos} by events to ${id}, and on by sync@`
    },
    onAws.catchUp,
  ),
]
