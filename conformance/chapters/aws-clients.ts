/** What clients may rely on where AWS IoT Core carries the connections: how they get in, and the portability table's other column. */
import type { Attempt } from '../attempt.ts'
import { check, must, same, type Check } from '../check.ts'
import { connectPacket } from '../connect-packet.ts'
import { encode } from '../deployment.ts'
import { onlyAws } from '../differences.ts'
import { mustAnswer } from '../http.ts'
import { pathOf } from '../person.ts'
import type { Json } from '../wire.ts'
import { closesOnPublish, refusesFilter } from './topics.ts'

export const awsClients: readonly Check[] = [
  check(
    'P-10.30 P-10.31',
    'the exchange says how to get in, by a name made of root, user and instance',
    ['http'],
    async ({ me }) => {
      const { json } = mustAnswer(await me.exchange({ client_id: 'one' }), 200, 'the exchange')
      const { client_id: clientId, root, auth, url_expires_in: forSeconds } = json['mqtt'] as Json
      same(clientId, `${String(root)}.${me.uid}.one`, 'client_id of mqtt')
      same(json['client_id'], encode(String(clientId)), 'client_id')
      must(auth === 'sigv4' || auth === 'authorizer', `auth is ${String(auth)}`)
      must(typeof forSeconds === 'number' && forSeconds > 0, `url_expires_in is ${String(forSeconds)}`)
      const { streamTopicLevelsMax } = json['limits'] as { streamTopicLevelsMax: number }
      must(streamTopicLevelsMax <= 6, `stream topics may have ${streamTopicLevelsMax} levels, of which AWS takes 6`)
      return `${String(clientId)} by ${auth}, for ${forSeconds} s`
    },
    onlyAws,
  ),
  check(
    'P-10.31 P-10.32',
    'the URL is good for its own client only',
    ['mqtt', 'http'],
    async ({ me }) => {
      const admission = await me.admission()
      const wire = await me.dialAws({ ...admission, clientId: `${admission.clientId}x` })
      await wire.connect(connectPacket({ clientId: `${admission.clientId}x`, token: null })).then(
        ({ returnCode }) => must(returnCode !== 0, 'another client id got CONNACK 0'),
        () => must(wire.isClosed, 'another client id got no answer, and its connection stays'),
      )
      const forged = admission.url.replace(
        /((?:X-Amz-S|customauthorizer-s)ignature=)(.)/,
        (_all, name: string, first: string) => name + (first === '0' ? '1' : '0'),
      )
      must(forged !== admission.url, 'the URL has no signature')
      const opened = await me.dialAws({ ...admission, url: forged }).then(
        () => true,
        () => false,
      )
      must(!opened, 'a URL with another signature was opened')
      return 'another client id is not let in, another signature not even connected'
    },
    onlyAws,
  ),
  check(
    'P-10.32',
    'nothing may be retained, and QoS 2 is not offered',
    ['mqtt', 'http'],
    async ({ me }) => {
      for (const options of [{ retain: true }, { qos: 2 }] as const) {
        const wire = await me.connect()
        wire.publishNow(`${me.place}/x`, 'x', options)
        await wire.mustClose(`after a PUBLISH with ${JSON.stringify(options)}`, 'puback')
      }
      same((await me.entries()).entries, [], 'the history')
      return 'retain and QoS 2: closed'
    },
    onlyAws,
  ),
  check(
    'P-10.32 P-10.9 P-10.10',
    'a second user sees and changes nothing of the first, on any door',
    ['mqtt', 'http', 'second user'],
    async ({ me, other }) => {
      for (const filter of [`${me.place}/#`, `${me.place}/x`, `sync/${me.place}/#`, `reply/+/#`, `put/${me.place}/#`])
        await refusesFilter(other, filter)
      for (const topic of [`${me.place}/x`, `put/${me.place}/x`, `sync/${me.place}/x`]) await closesOnPublish(other, topic)
      const { status } = await other.ask(`/v1/streams/${pathOf(me.stream)}/entries`)
      same([status, (await me.entries()).entries.length], [403, 0], 'the history for the second user, and entries in it')
      return 'five filters denied, three publishes closed, 403'
    },
    onlyAws,
  ),
  check(
    'P-14.1 P-13.2',
    'a topic of streamTopicLevelsMax levels comes back on sync, a deeper one is in no log',
    ['mqtt', 'http'],
    async ({ me, limits: { streamTopicLevelsMax } }) => {
      const missing = streamTopicLevelsMax - me.place.split('/').length
      const deepest = [me.place, ...Array<string>(missing).fill('x')].join('/')
      const wire = await me.listen(`sync/${me.place}/#`)
      // With root and levels at AWS's own bound: AWS takes it.
      await wire.publish(`${deepest}/x`, 'too deep')
      await wire.publish(deepest, 'deep')
      same((await wire.json((found) => 'id' in found, 'the envelope')).json['text'], 'deep', 'the envelope')
      same(
        (await me.entries()).entries.map(({ text }) => text),
        ['deep'],
        'the history',
      )
      return `${streamTopicLevelsMax} levels are logged and relayed, ${streamTopicLevelsMax + 1} are in no log`
    },
    onlyAws,
  ),
  check(
    'P-14.1 P-13.9',
    'more filters than AWS takes close the connection',
    ['mqtt'],
    async ({ me, limits: { subscriptionsPerConnectionMax } }) => {
      const wire = await me.connect()
      for (let at = 0; at < subscriptionsPerConnectionMax; at++) await wire.follow(`${me.place}/f${at}`)
      wire.send({ cmd: 'subscribe', messageId: 900, subscriptions: [{ topic: `${me.place}/one-too-many`, qos: 1 }] })
      await wire.mustClose(`after ${subscriptionsPerConnectionMax + 1} filters`, 'suback')
      return `${subscriptionsPerConnectionMax} filters are granted, the next closes the connection`
    },
    onlyAws,
  ),
  check(
    'P-14.1 P-4.28',
    'a will that may not be published is not let in',
    ['mqtt'],
    async ({ me, strangerUid }) => {
      for (const [topic, retain] of [
        [`users/${strangerUid}/will`, false],
        [`${me.place}/will`, true],
      ] as const) {
        const admission = await me.admission()
        const wire = await me.dialAws(admission)
        const will = { topic, payload: Buffer.from('x'), qos: 1, retain } as const
        const connected = await wire.connect(connectPacket({ clientId: admission.clientId, token: null, will })).then(
          ({ returnCode }) => returnCode === 0,
          () => false,
        )
        must(!connected, `a will on ${topic}${retain ? ' with retain' : ''} was let in`)
      }
      return 'another user’s topic, and a will with retain: closed before CONNACK'
    },
    onlyAws,
  ),
  check(
    'P-14.1 P-4.27',
    'a will at QoS 1 is logged as a plain publish is',
    ['mqtt'],
    async ({ me }) => {
      const reader = await me.listen(`sync/${me.place}/#`)
      const dying = await me.connect({ will: { topic: `${me.place}/will`, payload: Buffer.from('gone'), qos: 1, retain: false } })
      dying.cut()
      const { json } = await reader.json((found) => found['topic'] === `${me.place}/will`, 'the envelope of the will')
      same([json['text'], json['client']], ['gone', '~mqtt'], 'text and client')
      return `cut: ${String(json['pos'])} of ~mqtt`
    },
    onlyAws,
  ),
  check(
    'P-14.1 P-4.17',
    'a session that AWS keeps brings what was published at QoS 1 meanwhile',
    ['mqtt'],
    async ({ me }) => {
      const clientId = me.newClientId()
      const before = await me.connect({ clean: false, clientId })
      await (await before.follow(`${me.place}/#`)).disconnect()
      const writer = await me.connect()
      await writer.publish(`${me.place}/x`, 'meanwhile')
      const { wire, sessionPresent } = await me.knock({ clean: false, clientId })
      must(sessionPresent, 'session present is 0')
      same((await wire.message()).text, 'meanwhile', 'what comes')
      return 'session present 1, and it comes'
    },
    onlyAws,
  ),
  check('P-14.1', 'a filter ending in /# does not match the level above it', ['mqtt'], async ({ me }) => withoutParent(me), onlyAws),
]

async function withoutParent(me: Attempt['me']): Promise<string> {
  const wire = await me.listen(`${me.place}/a/#`)
  await wire.publish(`${me.place}/a`, 'parent')
  await wire.publish(`${me.place}/a/b`, 'child')
  same((await wire.message()).text, 'child', 'what comes on a/#')
  return 'a/b comes, a does not'
}
