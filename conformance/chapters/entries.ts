/** Chapter 3: entries and envelopes. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import type { Attempt } from '../attempt.ts'
import type { Json } from '../wire.ts'

export const entries: readonly Check[] = [
  check('P-3.1 P-3.2', 'QoS 0 is delivered live and not logged, QoS 1 is logged', ['mqtt', 'http'], async ({ me }) => {
    const wire = await me.listen(`${me.place}/#`)
    await wire.publish(`${me.place}/x`, 'ephemeral', { qos: 0 })
    await wire.publish(`${me.place}/x`, 'durable')
    same([(await wire.message()).text, (await wire.message()).text].sort(), ['durable', 'ephemeral'], 'what is delivered live')
    const { entries: logged } = await me.logged(1)
    same(
      logged.map((entry) => entry['text']),
      ['durable'],
      'what the history has',
    )
    return 'both delivered; the history has the one of QoS 1'
  }),
  check(
    'P-3.3 P-3.4 P-3.5 P-3.6 P-3.7 P-3.8',
    'an envelope says position, id, time, publisher, client and topic',
    ['mqtt', 'http'],
    async (attempt) => {
      const { me } = attempt
      const wire = await me.putter()
      const { id, pos } = await wire.putWell(`${me.place}/x`, { id: me.id('envelope'), text: 'x' })
      const envelope = await only(attempt)
      const { ts, from, client, topic } = envelope
      same([envelope['pos'], envelope['id']], [pos, id], 'pos and id')
      same([from, client, topic], [me.uid, wire.clientId, `${me.place}/x`], 'from, client and topic')
      must(typeof ts === 'number' && Math.abs(ts - Date.now()) < 3_600_000, `ts is ${String(ts)}`)
      return `${String(from)}, ${String(client)}, ${String(topic)} at ${String(ts)}`
    },
  ),
  check('P-3.5', 'times do not go back within a stream', ['http'], async ({ me }) => {
    for (const text of ['1', '2', '3', '4']) await me.append('time', { text })
    const times = (await me.entries()).entries.map(({ ts }) => ts as number)
    must(
      times.every((ts, at) => at === 0 || ts >= (times[at - 1] as number)),
      `ts goes back: ${times.join(', ')}`,
    )
    return `ts ${times.join(', ')}`
  }),
  check(
    'P-3.9 P-3.10 P-3.21',
    'retain and deleted are told; an empty retained publish deletes',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.connect()
      await wire.publish(`${me.place}/kept`, 'kept', { retain: true })
      same(
        (await me.state()).entries.map(({ text }) => text),
        ['kept'],
        'the state',
      )
      await wire.publish(`${me.place}/kept`, '', { retain: true })
      await wire.publish(`${me.place}/plain`, 'plain')
      const page = await me.entries()
      const flags = page.entries.map((entry) => [entry['retain'] ?? null, entry['deleted'] ?? null, 'text' in entry])
      same(
        flags,
        [
          [true, null, true],
          [true, true, false],
          [null, null, true],
        ],
        'retain, deleted and whether there is a text',
      )
      same((await me.state()).entries, [], 'the state after the deletion')
      return 'retain, deleted and neither; the state is empty after the deletion'
    },
    onAws.retain,
  ),
  check(
    'P-3.13',
    'an ephemeral message has neither position nor id',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.listen(`sync/${me.place}/#`)
      await wire.publish(`${me.place}/x`, '{"live":1}', { qos: 0 })
      const { json, qos } = await wire.json((found) => found['ephemeral'] === true, 'the ephemeral message on the sync door')
      same(['pos' in json, 'id' in json, json['data'], qos], [false, false, { live: 1 }, 0], 'pos, id, data and QoS')
      return `${JSON.stringify(json)} at QoS 0`
    },
    onAws.qos0,
  ),
  check('P-3.14', 'a payload that is JSON is shown as data, byte for byte', ['mqtt'], async ({ me }) => {
    const payload = '{"n": 1.0,  "big": 12345678901234567890, "n": [ ]}'
    const wire = await me.listen(`sync/${me.place}/#`)
    await wire.publish(`${me.place}/x`, payload)
    const { text } = await wire.json((json) => 'pos' in json && 'data' in json, 'the envelope with data')
    must(text.includes(`"data":${payload}`), `the bytes of the payload do not stand in ${text}`)
    return `${payload} stands in the envelope as sent`
  }),
  check('P-3.11 P-3.15 P-3.16', 'other text is shown as text, other bytes as base64', ['mqtt', 'http'], async ({ me }) => {
    const wire = await me.connect()
    const bytes = Buffer.from([0, 255, 1, 254])
    await wire.publish(`${me.place}/x`, 'grüße {')
    await me.logged(1)
    await wire.publish(`${me.place}/x`, bytes)
    const shown = (await me.logged(2)).entries.map(({ data, text, base64 }) => [data ?? null, text ?? null, base64 ?? null])
    same(
      shown,
      [
        [null, 'grüße {', null],
        [null, null, bytes.toString('base64')],
      ],
      'data, text and base64',
    )
    return 'text as text, four bytes as base64, exactly one member each'
  }),
  check('P-3.17', 'the receipt hops is in order where it is told', ['mqtt'], async ({ me }) => {
    const wire = await me.listen(`sync/${me.place}/#`)
    await wire.publish(`${me.place}/x`, 'hops')
    const { json } = await wire.json((found) => 'pos' in found && 'text' in found, 'the envelope')
    const hops = json['hops'] as Record<string, number> | undefined
    if (!hops) return 'it is not told, which it need not be'
    const times = ['received', 'authorised', 'committed', 'written'].map((name) => hops[name])
    must(
      times.every((ms, at) => typeof ms === 'number' && (at === 0 || ms >= (times[at - 1] as number))),
      `out of order, or incomplete: ${JSON.stringify(hops)}`,
    )
    return JSON.stringify(hops)
  }),
  check('P-3.18', 'an id of another form is refused', ['http'], async ({ me }) => {
    for (const id of ['a b', 'x'.repeat(65), '']) {
      const { status, json } = await me.post('x', { id, text: 'x' })
      same([status, json['code']], [400, 'bad-put'], `the id ${JSON.stringify(id).slice(0, 20)}`)
    }
    return 'a space, 65 characters and none are 400 bad-put'
  }),
  check('P-3.19 P-3.20', 'an entry has one id, and two reads of it show the same', ['mqtt', 'http'], async (attempt) => {
    const { me } = attempt
    const wire = await me.listen(`sync/${me.place}/#`)
    await wire.publish(`${me.place}/x`, 'without an id')
    const { json: live } = await wire.json((json) => 'pos' in json && 'text' in json, 'the envelope')
    must(/^[\w-]{1,64}$/.test(String(live['id'])), `the id is ${String(live['id'])}`)
    const [once, again] = [withoutHops(await only(attempt)), withoutHops(await only(attempt))]
    same(once, again, 'two reads')
    same(sorted(withoutHops(live)), sorted(once), 'the envelope on the sync door and in the history')
    return `${String(live['id'])} on the sync door and twice in the history`
  }),
  check(
    'P-3.22',
    'a payload above payloadBytesMax is refused, one of that size is taken',
    ['mqtt', 'http'],
    async ({ me, limits }) => {
      const wire = await me.connect()
      await wire.publish(`${me.place}/x`, Buffer.alloc(limits.payloadBytesMax, 'x'))
      wire.publishNow(`${me.place}/x`, Buffer.alloc(limits.payloadBytesMax + 1, 'x'))
      await wire.mustClose('after a payload of one byte too many')
      must(!wire.packets.waiting.some(({ cmd }) => cmd === 'puback'), 'it was acknowledged')
      same((await me.entries()).entries.length, 1, 'entries in the history')
      return `${limits.payloadBytesMax} bytes acknowledged, one more closes the connection`
    },
    onAws.names,
  ),
]

/** The one entry of the check. */
async function only({ me }: Attempt): Promise<Json> {
  const { entries: found } = await me.entries()
  same(found.length, 1, 'entries in the history')
  return found[0] as Json
}

function withoutHops({ hops: _hops, ...rest }: Json): Json {
  return rest
}

function sorted(json: Json): Json {
  return Object.fromEntries(Object.entries(json).sort(([one], [another]) => one.localeCompare(another)))
}
