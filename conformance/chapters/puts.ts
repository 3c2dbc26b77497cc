/** Chapter 5: the put door. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { partsOf } from '../positions.ts'
import type { Attempt } from '../attempt.ts'
import type { Json } from '../wire.ts'

export const puts: readonly Check[] = [
  check('P-5.1 P-5.10 P-8.4', 'a put is answered with id and position, and is stored', ['mqtt', 'http'], async ({ me }) => {
    const wire = await me.putter()
    const { id, pos } = await wire.putWell(`${me.place}/x`, { id: me.id('put-1'), data: { n: 1 } })
    partsOf(pos)
    const { entries } = await me.entries()
    same(
      entries.map((entry) => [entry['id'], entry['pos'], entry['data']]),
      [[id, pos, { n: 1 }]],
      'the history',
    )
    return `answered ${pos}, where the history has it`
  }),
  check(
    'P-5.12',
    'the answer comes at QoS 0 and before the PUBACK',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.putter()
      const messageId = wire.publishNow(`put/${me.place}/x`, JSON.stringify({ id: me.id('first'), text: 'x' }))
      await wire.acknowledged('puback', messageId)
      const answer = wire.unread().find(({ topic }) => topic === `reply/${wire.clientId}/${me.id('first')}`)
      must(answer !== undefined, 'the PUBACK came before the answer')
      same([answer.qos, answer.retain], [0, false], 'QoS and retain of the answer')
      return 'answer, then PUBACK'
    },
    onAws.answer,
  ),
  check('P-5.3 P-5.4 P-5.5', 'data, text and base64 become the payload', ['mqtt'], async ({ me }) => {
    const wire = await me.putter()
    await wire.follow(`${me.place}/#`)
    const bytes = Buffer.from([1, 0, 255])
    const three: readonly (readonly [Json, Buffer])[] = [
      [{ id: me.id('a'), data: { a: [1, null, 'ü'] } }, Buffer.from('{"a":[1,null,"ü"]}')],
      [{ id: me.id('b'), text: 'grüße' }, Buffer.from('grüße')],
      [{ id: me.id('c'), base64: bytes.toString('base64') }, bytes],
    ]
    for (const [put, payload] of three) {
      await wire.putWell(`${me.place}/x`, put)
      const { bytes: delivered, text, qos } = await wire.message(`${me.place}/x`)
      // Of a put AWS's subscribers get a copy [P-20.8].
      must(delivered.equals(payload) && qos === (me.isAws ? 0 : 1), `${JSON.stringify(put)} was delivered as ${text} at QoS ${qos}`)
    }
    return `three puts, delivered as JSON text, UTF-8 and bytes at QoS ${me.isAws ? 0 : 1}`
  }),
  check('P-5.6 P-5.9', 'a put with retain stands in the state, one without payload deletes', ['mqtt', 'http'], async ({ me }) => {
    const wire = await me.putter()
    await wire.putWell(`${me.place}/x`, { id: me.id('keep'), text: 'kept', retain: true })
    same(
      (await me.state()).entries.map(({ text }) => text),
      ['kept'],
      'the state',
    )
    await wire.putWell(`${me.place}/x`, { id: me.id('drop'), retain: true })
    same((await me.state()).entries, [], 'the state after the deletion')
    return 'in the state, then out of it'
  }),
  check('P-5.9 P-5.11 P-5.13 P-5.16', 'a put that breaks the rules is answered with bad-put, and PUBACKed', ['mqtt'], async ({ me }) => {
    const wire = await me.putter()
    const wrong: readonly Json[] = [
      { id: me.id('two'), data: 1, text: 'x' },
      { id: me.id('none') },
      { id: me.id('type'), text: 5 },
      { id: me.id('if'), text: 'x', if: 'none' },
      { id: me.id('unknown'), text: 'x', colour: 'red' },
    ]
    for (const put of wrong) same((await wire.put(`${me.place}/x`, put))['error'], 'bad-put', `the put ${String(put['id'])}`)
    const position = await wire.put(`${me.place}/x`, { id: me.id('since'), text: 'x', since: 'nonsense' })
    same(position['error'], 'bad-position', 'a malformed since')
    return 'two payloads, none, a wrong type, if without retain, an unknown member: bad-put, and the connection stays'
  }),
  check(
    'P-5.11 P-12.12',
    'a put without a grant is answered forbidden, and the connection stays',
    ['mqtt'],
    async ({ me, strangerUid }) => {
      const wire = await me.putter()
      same((await wire.put(`users/${strangerUid}/x`, { id: me.id('theirs'), text: 'x' }))['error'], 'forbidden', 'the answer')
      await wire.putWell(`${me.place}/x`, { id: me.id('mine'), text: 'x' })
      return 'forbidden, PUBACK, and the next put is taken'
    },
    onAws.deniedPublish,
  ),
  check(
    'P-5.15 P-7.7',
    'what is no JSON object, or has no id, is told on $ctl and PUBACKed',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.putter()
      for (const payload of ['not JSON', '[1]', '{"text":"x"}', '{"id":"a b","text":"x"}']) {
        const messageId = wire.publishNow(`put/${me.place}/x`, payload)
        await wire.json((json, topic) => topic === `reply/${wire.clientId}/$ctl` && json['ctl'] === 'bad-put', `bad-put for ${payload}`)
        await wire.acknowledged('puback', messageId)
      }
      return 'four payloads: bad-put on $ctl, and a PUBACK'
    },
    onAws.answer,
  ),
  check(
    'P-5.17',
    'a put that nobody would see the answer of closes the connection',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.connect()
      wire.publishNow(`put/${me.place}/x`, JSON.stringify({ id: me.id('unseen'), text: 'x' }))
      await wire.mustClose('after a put without a subscription to its answer', 'puback')
      return 'closed, without PUBACK'
    },
    onAws.answer,
  ),
  check(
    'P-5.18',
    'a put with QoS 0 or 2 or with retain closes the connection',
    ['mqtt'],
    async ({ me }) => {
      for (const options of [{ qos: 0 }, { qos: 2 }, { retain: true }] as const) await closes(me, options)
      return 'closed all three times'
    },
    onAws.answer,
  ),
  check(
    'P-5.1 P-8.9',
    'puts in flight are answered in the order sent',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.putter()
      const ids = Array.from({ length: 10 }, (_, at) => me.id(`p${at}`))
      wire.sendTogether(...ids.map((id) => wire.publishPacket(`put/${me.place}/x`, JSON.stringify({ id, text: id }))))
      const answered: unknown[] = []
      for (let at = 0; at < ids.length; at++) answered.push((await wire.json((json) => 'pos' in json, 'an answer')).json['id'])
      same(answered, ids, 'the answers')
      return 'ten puts in one write, ten answers in order'
    },
    onAws.order,
  ),
]

async function closes(me: Attempt['me'], options: { qos?: 0 | 2; retain?: true }): Promise<void> {
  const wire = await me.putter()
  wire.send({
    ...wire.publishPacket(`put/${me.place}/x`, JSON.stringify({ id: me.id('x'), text: 'x' }), { qos: options.qos ?? 1 }),
    retain: options.retain ?? false,
  })
  await wire.mustClose(`after a put with ${JSON.stringify(options)}`, 'puback')
}
