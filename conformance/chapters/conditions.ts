/** Chapter 9: state, ids and conditions. */
import type { Attempt } from '../attempt.ts'
import { check, must, NotTried, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { mustAnswer, mustRefuse } from '../http.ts'
import { other, partsOf, positionOf } from '../positions.ts'

export const conditions: readonly Check[] = [
  check(
    'P-9.1',
    'every door shows the same state',
    ['mqtt', 'http'],
    async ({ me }) => {
      const writer = await me.connect()
      for (const [level, text] of [
        ['a', '1'],
        ['b', '1'],
        ['a', '2'],
        ['c', '1'],
        ['b', ''],
      ] as const)
        await writer.publish(`${me.place}/${level}`, text === '' ? '' : `${level}${text}`, { retain: true })
      const wanted = ['a2', 'c1']
      const state = await me.state()
      same(
        state.entries.map(({ text }) => text),
        wanted,
        'the state over HTTP',
      )
      const plain = await me.listen(`${me.place}/#`)
      same([(await plain.message()).text, (await plain.message()).text].sort(), wanted, 'the retained messages')
      const snapshot = await me.listen(`sync@snapshot/${me.place}/#`)
      const shown = [await snapshot.json((json) => 'id' in json, 'state'), await snapshot.json((json) => 'id' in json, 'state')]
      same(
        shown.map(({ json }) => json['pos']),
        state.entries.map(({ pos }) => pos),
        'the snapshot, beside HTTP',
      )
      return 'HTTP, retained messages and snapshot: a2 and c1'
    },
    onAws.retain,
  ),
  check('P-9.4', 'the same id in another stream is another id', ['http'], async ({ me, deployment }) => {
    const id = `id-${deployment.root}`
    const { pos } = await me.append('x', { id, text: 'x' })
    const message = await me.postTo(`outbox/${me.uid}`, { id, topic: `${me.uid}/${me.below}`, text: 'x' })
    mustAnswer(message, 201, 'a POST with the same id to the outbox')
    return `${pos} in ${me.stream}, ${String(message.json['pos'])} in the outbox`
  }),
  check('P-9.6', 'a repeated put with the same id appends nothing', ['mqtt', 'http'], async ({ me }) => {
    const [one, two] = [await me.putter(), await me.putter()]
    const put = { id: me.id('once'), data: { n: 1 }, retain: true }
    const first = await one.putWell(`${me.place}/x`, put)
    const again = await two.putWell(`${me.place}/x`, put)
    same([again.pos, again.duplicate], [first.pos, true], 'pos and duplicate')
    const overHttp = mustAnswer(await me.post('x', put), 200, 'the same over HTTP')
    same([overHttp.json['pos'], overHttp.json['duplicate']], [first.pos, true], 'pos and duplicate over HTTP')
    same((await me.entries()).entries.length, 1, 'entries')
    return `three times, over two connections and HTTP: one entry at ${first.pos}`
  }),
  check('P-9.7 P-12.15', 'an id with other content is refused as id-reused', ['mqtt', 'http'], async ({ me }) => {
    const wire = await me.putter()
    await wire.putWell(`${me.place}/x`, { id: me.id('used'), text: 'one' })
    same((await wire.put(`${me.place}/x`, { id: me.id('used'), text: 'two' }))['error'], 'id-reused', 'other text')
    same((await wire.put(`${me.place}/y`, { id: me.id('used'), text: 'one' }))['error'], 'id-reused', 'another topic')
    mustRefuse(await me.post('x', { id: me.id('used'), text: 'one', retain: true }), 422, 'id-reused', 'retain, over HTTP')
    return 'other text, another topic, and retain: id-reused'
  }),
  check('P-9.8', 'a refused publish leaves its id free', ['http'], async ({ me }) => {
    await me.append('x', { text: 'x', retain: true })
    mustRefuse(
      await me.post('x', { id: me.id('free'), text: 'y', retain: true, if: 'none' }),
      412,
      'conflict',
      'a condition that does not hold',
    )
    mustAnswer(await me.post('x', { id: me.id('free'), text: 'z' }), 201, 'the same id with other content')
    return '412, then 201 with the same id'
  }),
  check('P-9.9 P-12.16', 'a retry with since of another history is unknown-outcome', ['http'], async ({ me }) => {
    const parts = partsOf(await me.head())
    const since = positionOf({ ...parts, epoch: other(parts.epoch) })
    mustRefuse(await me.post('x', { id: me.id('retry'), text: 'x', since }), 409, 'unknown-outcome', `since ${since}`)
    same((await me.entries()).entries, [], 'the history')
    const fresh = mustAnswer(await me.post('x', { id: me.id('retry'), text: 'x', since: await me.head() }), 201, 'since the head')
    return `409, and nothing is appended; since the head: ${String(fresh.json['pos'])}`
  }),
  check('P-9.11', 'the id is judged before the condition', ['mqtt'], async ({ me }) => {
    const wire = await me.putter()
    const put = { id: me.id('create'), text: 'x', retain: true, if: 'none' }
    const { pos } = await wire.putWell(`${me.place}/x`, put)
    const again = await wire.putWell(`${me.place}/x`, put)
    same([again.pos, again.duplicate], [pos, true], 'pos and duplicate')
    return 'a repeated conditional put is a duplicate, no conflict'
  }),
  check('P-9.12 P-9.15 P-12.14', 'a put on condition of a position succeeds on that one only', ['mqtt'], async ({ me }) => {
    const wire = await me.putter()
    const topic = `${me.place}/x`
    const { pos } = await wire.putWell(topic, { id: me.id('v1'), text: 'one', retain: true })
    const second = await wire.putWell(topic, { id: me.id('v2'), text: 'two', retain: true, if: pos })
    const refused = await wire.put(topic, { id: me.id('v3'), text: 'three', retain: true, if: pos })
    const current = refused['current'] as Record<string, unknown> | null
    same([refused['error'], current?.['pos'], current?.['text']], ['conflict', second.pos, 'two'], 'error, and the current entry')
    const elsewhere = positionOf({ ...partsOf(pos), epoch: other(partsOf(pos).epoch) })
    same(
      (await wire.put(topic, { id: me.id('v4'), text: 'x', retain: true, if: elsewhere }))['error'],
      'conflict',
      'a position of another history',
    )
    return `on ${pos}: taken, then conflict with current ${second.pos}`
  }),
  check('P-9.13', 'a put on condition of none succeeds where there is none', ['mqtt'], async ({ me }) => {
    const wire = await me.putter()
    const topic = `${me.place}/x`
    const put = (id: string): Promise<Readonly<Record<string, unknown>>> =>
      wire.put(topic, { id: me.id(id), text: id, retain: true, if: 'none' })
    must('pos' in (await put('first')), 'the first was refused')
    same((await put('second'))['error'], 'conflict', 'the second')
    await wire.putWell(topic, { id: me.id('drop'), retain: true })
    must('pos' in (await put('third')), 'the one after the deletion was refused')
    same(
      (await wire.put(`${me.place}/y`, { id: me.id('absent'), text: 'x', retain: true, if: `id:${me.id('first')}` }))['current'],
      null,
      'current of an absent topic',
    )
    return 'taken, conflict, and taken again after the deletion'
  }),
  check('P-9.14', 'a put on condition of an id chains queued writes', ['mqtt'], async ({ me }) => {
    const wire = await me.putter()
    const topic = `${me.place}/x`
    await wire.putWell(topic, { id: me.id('one'), text: '1', retain: true })
    await wire.putWell(topic, { id: me.id('two'), text: '2', retain: true, if: `id:${me.id('one')}` })
    await wire.putWell(topic, { id: me.id('three'), text: '3', retain: true, if: `id:${me.id('two')}` })
    same(
      (await wire.put(topic, { id: me.id('four'), text: '4', retain: true, if: `id:${me.id('two')}` }))['error'],
      'conflict',
      'on an older id',
    )
    return 'one, two, three are taken in a chain; an older id is a conflict'
  }),
  check('P-9.16', 'of many puts with one condition exactly one succeeds', ['mqtt', 'http'], async ({ me }) => {
    const wires = await Promise.all(Array.from({ length: 6 }, () => me.putter()))
    const tried = wires.map((wire, at) =>
      wire.put(`${me.place}/x`, { id: me.id(`race-${at}`), text: String(at), retain: true, if: 'none' }),
    )
    const answers = await Promise.all(tried)
    same(
      answers.map(({ error }) => (typeof error === 'string' ? error : 'taken')).sort(),
      [...Array<string>(5).fill('conflict'), 'taken'],
      'the answers',
    )
    same((await me.entries()).entries.length, 1, 'entries')
    return 'six at once: one taken, five conflicts, one entry'
  }),
  check('P-9.2 P-9.3 P-1.4', 'in a space only the creator, or who owns it, deletes', ['http', 'second user', 'space'], async (attempt) => {
    const { me, other: second, space } = attempt
    mustMerelyWrite(attempt, space)
    const topic = `${me.below}/card`
    mustAnswer(await me.postTo(space, { topic, text: 'mine', retain: true }), 201, 'creating')
    mustAnswer(await second.postTo(space, { topic, text: 'overwritten', retain: true }), 201, 'overwriting by the second user')
    const refused = await second.postTo(space, { topic, retain: true })
    mustRefuse(refused, 403, 'forbidden', 'deleting by the second user')
    mustAnswer(await me.postTo(space, { topic, retain: true }), 201, 'deleting by the creator')
    return 'the second user overwrites, and may not delete; the creator may'
  }),
]

function mustMerelyWrite({ other: second }: Attempt, space: string): void {
  if (!second.scope.includes(`publish:${space}/#`)) throw new NotTried(`the second user may not write to ${space}`)
  if (second.scope.includes(`own:${space}/#`)) throw new NotTried(`the second user owns ${space}`)
}
