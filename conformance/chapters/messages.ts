/** Chapter 15: messages between users; to oneself where there is no second user. */
import type { Attempt } from '../attempt.ts'
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { mustAnswer, mustRefuse, type Answer } from '../http.ts'
import { pathOf, type Person } from '../person.ts'
import type { Json } from '../wire.ts'
import { closesOnPublish, refusesFilter } from './topics.ts'

export const messages: readonly Check[] = [
  check(
    'P-15.1 P-15.4 P-1.5',
    'what is published to an outbox stands in the inbox, with the same id',
    ['mqtt', 'http', 'second user'],
    async ({ me, other }) => {
      const [out, into] = ways(me, other)
      const reader = await other.listen(`${into}/#`)
      const writer = await me.connect()
      await writer.publish(`${out}/x`, 'hello')
      // AWS acknowledges by itself; there the copy comes after the commit [P-20.8].
      if (me.isAws) same((await reader.message()).topic, `${into}/x`, 'the live message')
      const [sent, received] = [await entriesBelow(me, out), await entriesBelow(other, into)]
      if (!me.isAws) same((await reader.message()).topic, `${into}/x`, 'the live message')
      same(received.map(shown), sent.map(shown), 'id, text, from and client in inbox and outbox')
      same([received.length, received[0]?.['from']], [1, me.uid], 'messages, and from')
      return `PUBACK, then ${String(received[0]?.['id'])} stands in both`
    },
  ),
  check('P-15.1', 'a user may write to their own inbox by way of the outbox', ['http'], async ({ me }) => {
    const [out, into] = ways(me, me)
    const { json } = mustAnswer(await send(me, out, { text: 'note', id: me.id('note') }), 201, 'the message')
    const [sent, received] = [await entriesBelow(me, out), await entriesBelow(me, into)]
    same([sent[0]?.['pos'], received[0]?.['id']], [json['pos'], me.id('note')], 'pos in the outbox, and id in the inbox')
    return `201 at ${String(json['pos'])} of the outbox, and in the inbox`
  }),
  check('P-15.2', 'nobody publishes to an inbox', ['mqtt', 'http'], async ({ me }) => {
    mustRefuse(await send(me, `inbox/${me.uid}/${me.uid}/${me.below}`, { text: 'x' }), 403, 'forbidden', 'a POST to the inbox')
    return await closesOnPublish(me, `inbox/${me.uid}/${me.uid}/x`)
  }),
  check('P-15.5', 'a message with the same id comes once; with other content it is refused', ['http'], async ({ me }) => {
    const [out, into] = ways(me, me)
    const first = mustAnswer(await send(me, out, { id: me.id('once'), text: 'x' }), 201, 'the message')
    const again = mustAnswer(await send(me, out, { id: me.id('once'), text: 'x' }), 200, 'the repeated one')
    same([again.json['pos'], again.json['duplicate']], [first.json['pos'], true], 'pos and duplicate')
    mustRefuse(await send(me, out, { id: me.id('once'), text: 'y' }), 422, 'id-reused', 'other content')
    same(
      (await entriesBelow(me, into)).map(({ text }) => text),
      ['x'],
      'the inbox',
    )
    return '201, 200 with duplicate, 422; one message in the inbox'
  }),
  check('P-15.8', 'a message with retain or a condition is refused', ['http'], async ({ me }) => {
    const [out] = ways(me, me)
    mustRefuse(await send(me, out, { text: 'x', retain: true }), 400, 'bad-request', 'retain')
    mustRefuse(await send(me, out, { text: 'x', retain: true, if: 'none' }), 400, 'bad-request', 'if')
    return 'both 400 bad-request'
  }),
  check(
    'P-15.9',
    'an ephemeral message is shown in inbox and outbox, and kept in neither',
    ['mqtt', 'http'],
    async ({ me }) => {
      const [out, into] = ways(me, me)
      const reader = await me.listen(`${into}/#`, `${out}/#`)
      const writer = await me.connect()
      await writer.publish(`${out}/x`, 'now', { qos: 0 })
      const topics = [(await reader.message()).topic, (await reader.message()).topic].sort()
      same(topics, [`${into}/x`, `${out}/x`].sort(), 'the topics of the live messages')
      same([await entriesBelow(me, into), await entriesBelow(me, out)], [[], []], 'inbox and outbox')
      return 'live on both topics, and not in the history'
    },
    onAws.qos0,
  ),
  check('P-15.10', 'two messages without an id are two messages', ['mqtt', 'http'], async ({ me }) => {
    const [out, into] = ways(me, me)
    const writer = await me.connect()
    const reader = await me.listen(`sync/${into}/#`)
    for (const time of [1, 2]) await writer.publish(`${out}/x`, 'same', { messageId: time })
    for (const time of [1, 2]) await reader.json((json) => 'id' in json, `message ${time} in the inbox`)
    const ids = (await entriesBelow(me, into)).map(({ id }) => id)
    must(ids.length === 2 && ids[0] !== ids[1], `the ids are ${ids.join(', ')}`)
    return ids.join(' and ')
  }),
  check('P-15.1 P-1.5', 'nobody writes to the outbox of another user, or reads their inbox', ['mqtt', 'http'], async (attempt) => {
    const { me, strangerUid } = attempt
    mustRefuse(await send(me, `outbox/${strangerUid}/${me.uid}/x`, { text: 'x' }), 403, 'forbidden', 'a POST to another outbox')
    for (const kind of ['inbox', 'outbox']) await refusesFilter(me, `${kind}/${strangerUid}/#`)
    return await foreignOutbox(attempt)
  }),
]

function foreignOutbox({ me, strangerUid }: Attempt): Promise<string> {
  return closesOnPublish(me, `outbox/${strangerUid}/${me.uid}/x`)
}

/** The check's own topics in the outbox of one and in the inbox of the other. */
function ways(from: Person, to: Person): [string, string] {
  return [`outbox/${from.uid}/${to.uid}/${from.below}`, `inbox/${to.uid}/${from.uid}/${from.below}`]
}

async function send(person: Person, place: string, put: Json): Promise<Answer> {
  const [kind = '', uid = '', ...below] = place.split('/')
  return await person.postTo(`${kind}/${uid}`, { topic: `${below.join('/')}/x`, ...put })
}

async function entriesBelow(person: Person, place: string): Promise<readonly Json[]> {
  const [kind = '', uid = '', ...below] = place.split('/')
  const answer = await person.ask(`/v1/streams/${pathOf(`${kind}/${uid}`)}/entries`, { query: { topic: `${below.join('/')}/#` } })
  return mustAnswer(answer, 200, `the history of ${kind}/${uid}`).json['entries'] as Json[]
}

function shown({ id, text, from, client }: Json): unknown[] {
  return [id, text, from, client]
}
