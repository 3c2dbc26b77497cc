/** Chapter 20: what the bridge promises where AWS IoT Core carries the connections. */
import { check, must, same, type Check } from '../check.ts'
import { connectPacket } from '../connect-packet.ts'
import { onlyAws } from '../differences.ts'
import { pathOf } from '../person.ts'
import type { Json } from '../wire.ts'
import { closesOnPublish, refusesFilter } from './topics.ts'

const isEntry = (json: Json): boolean => 'pos' in json && 'id' in json && 'topic' in json

export const awsIot: readonly Check[] = [
  check(
    'P-20.1',
    'sync@ and auth/renew are not offered',
    ['mqtt'],
    async ({ me }) => {
      const told = await refusesFilter(me, `sync@earliest/${me.place}/#`)
      return `${told}; ${await closesOnPublish(me, 'auth/renew', me.token)}`
    },
    onlyAws,
  ),
  check(
    'P-20.2 P-20.7',
    'a plain publish at QoS 1 is logged, and its echo on sync is the commit',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.listen(`sync/${me.place}/#`)
      await wire.publish(`${me.place}/x`, 'logged')
      const { json, topic } = await wire.json(isEntry, 'the envelope')
      same([json['text'], topic], ['logged', `sync/${me.place}/x`], 'text, and the topic of the envelope')
      const { entries } = await me.entries()
      same(entries.map(withoutHops), [withoutHops(json)], 'the history when the echo came')
      return `PUBACK by AWS, then the envelope ${String(json['pos'])}, and the history has it`
    },
    onlyAws,
  ),
  check(
    'P-20.2 P-1.15 P-1.17 P-3.22 P-4.29',
    'what no log can hold is in none, and what comes behind it is',
    ['mqtt', 'http'],
    async ({ me, limits }) => {
      const wire = await me.connect()
      for (const topic of [`${me.place}/$x`, `${me.place}//x`, `${me.stream}/$acl`]) await wire.publish(topic, 'no topic')
      await wire.publish(`${me.place}/large`, 'x'.repeat(limits.payloadBytesMax + 1))
      // More than there are workers to be held up.
      for (let n = 0; n < 8; n++) await wire.publish(`${me.place}/fine`, 'fine')
      const { entries } = await me.logged(8)
      same(
        entries.map(({ text }) => text),
        Array<string>(8).fill('fine'),
        'the history',
      )
      const { json } = await me.ask(`/v1/streams/${pathOf(me.stream)}/entries`, { query: { topic: '$acl', limit: '10' } })
      must(!JSON.stringify(json).includes('no topic'), 'a client has written $acl')
      return 'an empty level, $x, $acl and a payload that is too large: in no log; eight behind them: logged'
    },
    onlyAws,
  ),
  check(
    'P-20.3 P-20.4',
    'a put without a valid token is not appended, and answered to nobody',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.putter()
      const put = (id: string, more: Json): Promise<void> =>
        wire.publish(`put/${me.place}/x`, JSON.stringify({ id: me.id(id), text: id, ...more }))
      await put('empty', { token: '' })
      await put('spoilt', { token: `${await me.brokerToken({ client_id: 'another' })}x` })
      await put('unbound', { token: me.token })
      const { pos } = await wire.putWell(`${me.place}/x`, { id: me.id('good'), text: 'good' })
      await wire.putWell(`${me.place}/x`, { id: me.id('again'), text: 'good' })
      same(
        wire.unread().map(({ topic }) => topic),
        [],
        'other answers',
      )
      same(
        (await me.entries()).entries.map(({ text }) => text),
        ['good', 'good'],
        'the history',
      )
      return `three without a good token: nothing; with one: ${pos}`
    },
    onlyAws,
  ),
  check(
    'P-20.3 P-5.15',
    'a put without an id is told on $ctl to the client of its token',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.putter()
      wire.publishNow(`put/${me.place}/x`, '{"text":"x"}')
      await wire.json((json, topic) => topic === `reply/${wire.clientId}/$ctl` && json['ctl'] === 'bad-put', 'bad-put')
      return 'bad-put'
    },
    onlyAws,
  ),
  check(
    'P-20.4 P-12.12',
    'a put is judged by the grants of its token, whatever the connection may',
    ['mqtt', 'http'],
    async ({ me }) => {
      const admission = await me.admission()
      const scope = `publish:${me.place}/only/#`
      const { token } = await me.admission(admission.clientId, admission.token, scope)
      const wire = await me.dialAws(admission)
      await wire.connect(connectPacket({ clientId: admission.clientId, token: null }))
      await wire.follow(`reply/${wire.clientId}/#`)
      same((await wire.put(`${me.place}/x`, { id: me.id('beyond'), text: 'x', token }))['error'], 'forbidden', 'beyond the token')
      await wire.putWell(`${me.place}/only/x`, { id: me.id('within'), text: 'x', token })
      return `with a token for ${scope} only: forbidden beside it, taken there`
    },
    onlyAws,
  ),
  check(
    'P-20.5',
    'an entry of the plain door is of the stream’s user and of no client; the same id is its own',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.connect()
      for (let time = 0; time < 2; time++) await wire.publish(`${me.place}/x`, 'same')
      const { entries } = await me.logged(2)
      same(
        entries.map(({ from, client }) => [from, client]),
        [
          [me.uid, '~mqtt'],
          [me.uid, '~mqtt'],
        ],
        'from and client',
      )
      must(entries[0]?.['id'] !== entries[1]?.['id'], 'two entries have one id')
      return `twice of ${me.uid}, ~mqtt`
    },
    onlyAws,
  ),
  check(
    'P-20.5 P-1.4',
    'an entry of the plain door in a space is of nobody',
    ['mqtt', 'http', 'space'],
    async ({ me, space }) => {
      const wire = await me.connect()
      await wire.follow(`sync/${space}/${me.below}/#`)
      await wire.publish(`${space}/${me.below}/x`, 'whose?')
      const { json } = await wire.json(isEntry, 'the envelope')
      same([json['from'], json['client']], ['~anonymous', '~mqtt'], 'from and client')
      return '~anonymous, ~mqtt'
    },
    onlyAws,
  ),
  check(
    'P-20.6',
    'QoS 0 is on no sync door',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.listen(`sync/${me.place}/#`, `${me.place}/x`)
      await wire.publish(`${me.place}/x`, 'ephemeral', { qos: 0 })
      same((await wire.message(`${me.place}/x`)).text, 'ephemeral', 'the plain message')
      await wire.publish(`${me.place}/end`, 'end')
      same((await wire.json(isEntry, 'the next envelope')).json['text'], 'end', 'the next envelope')
      same((await me.entries()).entries.length, 1, 'entries')
      return 'plain subscribers had it; sync and history have only what came behind it'
    },
    onlyAws,
  ),
  check(
    'P-20.7 P-20.8 P-9.1',
    'puts and posts come as envelopes, and as plain copies that are not retained',
    ['mqtt', 'http'],
    async ({ me }) => {
      const reader = await me.listen(`sync/${me.place}/#`, `${me.place}/#`)
      const wire = await me.putter()
      await wire.putWell(`${me.place}/put`, { id: me.id('put'), text: 'put', retain: true })
      await me.append('post', { text: 'post', retain: true })
      for (const level of ['put', 'post']) {
        const { qos, retain, text } = await reader.message(`${me.place}/${level}`)
        same([text, qos, retain], [level, 0, false], 'the copy: text, QoS and retain')
        const { json } = await reader.json(
          (found, topic) => isEntry(found) && topic === `sync/${me.place}/${level}`,
          `the envelope of ${level}`,
        )
        same([json['text'], json['retain']], [level, true], 'the envelope: text and retain')
      }
      const late = await me.listen(`${me.place}/put`, `${me.place}/+`)
      await late.publish(`${me.place}/end`, 'end', { qos: 0 })
      same((await late.message()).text, 'end', 'what a late subscriber hears first')
      same(
        (await me.state()).entries.map(({ text }) => text),
        ['put', 'post'],
        'the state over HTTP',
      )
      return 'each once as an envelope and once as a copy; the state is with HTTP, and AWS retains nothing'
    },
    onlyAws,
  ),
  check(
    'P-20.9 P-20.7',
    'of many entries at once none is left out on sync',
    ['mqtt', 'http'],
    async ({ me }) => {
      const reader = await me.listen(`sync/${me.place}/#`)
      const wanted = Array.from({ length: 30 }, (_, n) => n)
      await Promise.all(wanted.map((n) => me.append('n', { data: n })))
      const seen = new Set<unknown>()
      while (seen.size < wanted.length) seen.add((await reader.json(isEntry, `entry ${seen.size + 1} of ${wanted.length}`)).json['data'])
      return '30 at once, and 30 envelopes'
    },
    onlyAws,
  ),
  check(
    'P-20.10',
    'who follows and hears nothing is told at',
    ['mqtt', 'http'],
    async (attempt) => {
      const { me, timeoutMs } = attempt
      const { pos } = await me.append('x', { text: 'x' })
      const wire = await me.listen(`sync/${me.place}/#`)
      const { json } = await wire.json((found) => found['ctl'] === 'at', 'at', Math.max(timeoutMs, atBoundMs))
      same([json['filter'], json['pos'] === json['head']], [`sync/${me.place}/#`, true], 'filter, and whether it is the head')
      const { entries } = await me.entries({ after: pos, topic: '#', limit: '1000' })
      must([pos, ...entries.map((entry) => entry['pos'])].includes(json['pos']), `pos ${String(json['pos'])} is before ${pos}`)
      return `at ${String(json['pos'])}`
    },
    onlyAws,
  ),
]

/** `atIntervalMs` as it is by default, a second, and the way. */
const atBoundMs = 40_000

function withoutHops({ hops: _hops, ...rest }: Json): Json {
  return Object.fromEntries(Object.entries(rest).sort(([one], [another]) => one.localeCompare(another)))
}
