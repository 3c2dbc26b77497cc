/** Chapter 8: acknowledgement and order. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { mustAnswer } from '../http.ts'
import { seqOf } from '../positions.ts'

export const order: readonly Check[] = [
  check('P-8.5 P-8.6', 'a 201 means that the entry is stored at its position', ['http'], async ({ me }) => {
    const { id, pos } = await me.append('x', { text: 'x' })
    const { entries } = await me.entries()
    same(
      entries.map((entry) => [entry['id'], entry['pos']]),
      [[id, pos]],
      'the history',
    )
    return `201 at ${pos}, where the history has it`
  }),
  check(
    'P-8.9',
    'publishes of one connection are appended in the order sent, whatever their QoS and door',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.putter()
      wire.sendTogether(
        wire.publishPacket(`${me.place}/x`, '0'),
        wire.publishPacket(`put/${me.place}/x`, JSON.stringify({ id: me.id('one'), text: '1' })),
        wire.publishPacket(`${me.place}/x`, '2', { qos: 2 }),
        wire.publishPacket(`${me.place}/x`, '3', { qos: 0, retain: true }),
        wire.publishPacket(`put/${me.place}/x`, JSON.stringify({ id: me.id('four'), text: '4' })),
        wire.publishPacket(`${me.place}/x`, '5', { messageId: 99 }),
      )
      await wire.acknowledged('puback', 99)
      same(
        (await me.entries()).entries.map(({ data, text }) => String(data ?? text)),
        ['0', '1', '2', '3', '4', '5'],
        'the history',
      )
      return 'six publishes of three QoS and two doors in one write: in that order'
    },
    onAws.order,
  ),
  check(
    'P-8.10',
    'what was acknowledged before another publish was sent has the lower seq',
    ['mqtt', 'http'],
    async ({ me }) => {
      const [one, two] = [await me.connect(), await me.putter()]
      const positions: unknown[] = []
      for (let round = 0; round < 3; round++) {
        await one.publish(`${me.place}/x`, `mqtt ${round}`)
        positions.push((await me.entries({ reverse: 'true', limit: '1' })).entries[0]?.['pos'])
        positions.push((await two.putWell(`${me.place}/x`, { id: me.id(`put-${round}`), text: 'put' })).pos)
        positions.push((await me.append('x', { text: 'http' })).pos)
      }
      const seqs = positions.map(seqOf)
      must(
        seqs.every((seq, at) => at === 0 || seq > (seqs[at - 1] as number)),
        `the numbers are ${seqs.join(', ')}`,
      )
      return `in turns over MQTT, put and HTTP: ${seqs.join(', ')}`
    },
    onAws.acknowledgement,
  ),
  check(
    'P-8.12',
    'an ephemeral message comes after what its connection published before',
    ['mqtt'],
    async ({ me }) => {
      const reader = await me.listen(`${me.place}/#`)
      const writer = await me.connect()
      for (let round = 0; round < 5; round++) {
        writer.sendTogether(
          writer.publishPacket(`${me.place}/x`, `durable ${round}`),
          writer.publishPacket(`${me.place}/x`, `ephemeral ${round}`, { qos: 0 }),
        )
        same([(await reader.message()).text, (await reader.message()).text], [`durable ${round}`, `ephemeral ${round}`], `round ${round}`)
      }
      return 'five times durable, then ephemeral'
    },
    onAws.order,
  ),
  check('P-8.13', 'a reader sees nothing that the history does not have', ['mqtt', 'http'], async ({ me }) => {
    const reader = await me.listen(`sync/${me.place}/#`)
    const writer = await me.connect()
    for (let round = 0; round < 5; round++) {
      writer.publishNow(`${me.place}/x`, `round ${round}`)
      const { json } = await reader.json((found) => 'id' in found && 'topic' in found, 'the envelope')
      const { entries } = await me.entries({ reverse: 'true', limit: '1' })
      same(entries[0]?.['pos'], json['pos'], 'the newest entry of the history when it was delivered')
    }
    return 'five entries: in the history as soon as they are delivered'
  }),
  check('P-8.5 P-11.29', 'a repeated POST is answered 200 with the first position', ['http'], async ({ me }) => {
    const { pos } = await me.append('x', { id: me.id('again'), text: 'x' })
    const repeated = mustAnswer(await me.post('x', { id: me.id('again'), text: 'x' }), 200, 'the repeated POST')
    same([repeated.json['pos'], repeated.json['duplicate']], [pos, true], 'pos and duplicate')
    return `201, then 200 with duplicate at ${pos}`
  }),
]
