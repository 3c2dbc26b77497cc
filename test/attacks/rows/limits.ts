/** The put door, positions, sizes, and the rules of MQTT itself. */
import { expect } from 'chai'
import { WebSocket } from 'ws'
import { mqtt, noMqtt, type Attack, type Attacker } from '../cells.ts'
import type { RawClient } from '../../support/raw-mqtt.ts'
import { within } from '../../support/waiting.ts'
import { closes, filterRefused, problem, publishCloses, putClient, putRefused } from './expecting.ts'

const alice = (attack: Attacker): Promise<string> => attack.world.tokens.of('alice')
const entries = '/v1/streams/users/alice/entries'
const topic = 'users/alice/notes/1'

export const limitRows: readonly Attack[] = [
  {
    name: 'puts what is no put',
    clauses: ['P-5.15', 'P-7.7', 'P-12.9', 'P-11.27'],
    code: 'bad-put',
    ...mqtt(async (attack) => {
      const { client, name } = await putClient(attack, await alice(attack))
      for (const payload of [
        '',
        'x',
        '{',
        '[]',
        'null',
        '"a"',
        '{}',
        '{"text":"x"}',
        '{"id":""}',
        '{"id":"a/b","text":"x"}',
        '{"id":7,"text":"x"}',
        `{"id":"${'x'.repeat(65)}"}`,
      ]) {
        await client.publish(`put/${topic}`, payload)
        expect(JSON.parse((await client.message(`reply/${name}/$ctl`)).text), payload).to.include({ ctl: 'bad-put' })
      }
    }),
    async http(attack) {
      const token = await alice(attack)
      const type = { 'content-type': 'application/json' }
      for (const body of [
        '',
        'x',
        '{',
        '[]',
        'null',
        '"a"',
        '{}',
        '{"text":"x"}',
        '{"topic":7,"text":"x"}',
        '{"topic":"x","id":"a/b","text":"x"}',
      ]) {
        problem(await attack.http(entries, { token, body, headers: type, method: 'POST' }), 'bad-put')
      }
      problem(await attack.http(entries, { token, body: new Uint8Array([0x22, 0xff, 0x22]), headers: type }), 'bad-put')
    },
  },
  {
    name: 'puts with an id and breaks the rules',
    clauses: ['P-5.16', 'P-5.9', 'P-5.7'],
    code: 'bad-put',
    ...mqtt(async (attack) => {
      const putter = await putClient(attack, await alice(attack))
      for (const put of brokenPuts)
        expect((await putRefused(putter, topic, put, 'bad-put'))['reason'], JSON.stringify(put)).to.be.a('string')
    }),
    async http(attack) {
      const token = await alice(attack)
      for (const put of brokenPuts) problem(await attack.http(entries, { token, json: { topic: 'notes/1', ...put } }), 'bad-put')
    },
  },
  {
    name: 'puts with a position that is none',
    clauses: ['P-5.16', 'P-2.9', 'P-12.8'],
    code: 'bad-position',
    ...mqtt(async (attack) => {
      const putter = await putClient(attack, await alice(attack))
      await putRefused(putter, topic, { text: 'x', retain: true, if: '7' }, 'bad-position')
      await putRefused(putter, topic, { text: 'x', since: 'earliest' }, 'bad-position')
    }),
    async http(attack) {
      const token = await alice(attack)
      problem(await attack.http(entries, { token, json: { topic: 'x', text: 'x', retain: true, if: '7' } }), 'bad-position')
      problem(await attack.http(entries, { token, json: { topic: 'x', text: 'x', since: 'earliest' } }), 'bad-position')
      problem(
        await attack.http(entries, { token, json: { topic: 'x', text: 'x', retain: true }, headers: { 'if-position': '7' } }),
        'bad-position',
      )
    },
  },
  {
    name: 'puts without listening for the answer',
    clauses: ['P-5.17'],
    code: 'bad-put',
    ...mqtt(async (attack) => {
      await publishCloses(await attack.client(await alice(attack)), `put/${topic}`, '{"id":"1","text":"x"}')
      const client = await attack.client(await alice(attack), { clientId: 'half-deaf' })
      await client.subscribe('reply/half-deaf/another')
      await publishCloses(client, `put/${topic}`, '{"id":"1","text":"x"}')
    }),
    http: 'a request is answered in its response',
  },
  {
    name: 'puts in another way than QoS 1 without retain',
    clauses: ['P-5.1', 'P-5.18'],
    code: 'bad-request',
    ...mqtt(async (attack) => {
      for (const options of [{ qos: 0 as const }, { qos: 2 as const }, { retain: true }]) {
        const { client } = await putClient(attack, await alice(attack))
        await publishCloses(client, `put/${topic}`, '{"id":"1","text":"x"}', options)
      }
    }),
    http: 'HTTP has one way to publish',
  },
  {
    name: 'says one thing in the header and another in the body',
    clauses: ['P-11.28'],
    code: 'bad-request',
    ...noMqtt('a put has no headers'),
    async http(attack) {
      const token = await alice(attack)
      problem(
        await attack.http(entries, { token, json: { topic: 'x', text: 'x', id: 'a' }, headers: { 'idempotency-key': 'b' } }),
        'bad-request',
      )
      problem(
        await attack.http(entries, {
          token,
          json: { topic: 'x', text: 'x', retain: true, if: 'none' },
          headers: { 'if-position': 'id:a' },
        }),
        'bad-request',
      )
    },
  },
  {
    name: 'names a position that is none',
    clauses: ['P-2.2', 'P-2.3', 'P-2.4', 'P-2.9', 'P-6.19'],
    code: 'bad-position',
    ...mqtt(async (attack) =>
      filterRefused(await attack.client(await alice(attack)), ...badPositions.map((pos) => `sync@${pos}/users/alice/#`)),
    ),
    async http(attack) {
      const token = await alice(attack)
      for (const pos of [...badPositions, 'snapshot']) {
        problem(await attack.http(`${entries}?after=${encodeURIComponent(pos)}`, { token }), 'bad-position')
        problem(await attack.http(`${entries}?before=${encodeURIComponent(pos)}`, { token }), 'bad-position')
      }
    },
  },
  unserved('of another history', ['P-2.10'], 'epoch', (head) => head.replace(/^......../, 'AAAAAAAA')),
  unserved('beyond the head', ['P-2.11'], 'ahead', (head) => head.replace(/\.\d+\./, '.9007199254740991.')),
  unserved('with the mark of another commit', ['P-2.13'], 'epoch', (head) =>
    head.replace(/....$/, (mark) => (mark === 'zzzz' ? 'yyyy' : 'zzzz')),
  ),
  unserved('before what has been trimmed', ['P-2.12', 'P-2.17'], 'trimmed', (head) => head.replace(/\.\d+\./, '.1.')),
  {
    name: 'keeps a sync filter in a session',
    clauses: ['P-6.21'],
    code: 'bad-filter',
    ...mqtt(async (attack) =>
      filterRefused(await attack.client(await alice(attack), { clean: false }), 'sync/users/alice/#', 'sync@earliest/users/alice/#'),
    ),
    http: 'HTTP keeps no sessions',
  },
  {
    name: 'sends a payload above the limit',
    clauses: ['P-3.22', 'P-12.20', 'P-13.7'],
    code: 'payload-too-large',
    ...mqtt(async (attack) => {
      const client = await attack.client(await alice(attack), { clientId: 'heavy' })
      await publishCloses(client, topic, Buffer.alloc(94_209, 120))
      const line = await attack.world.lines.take((text) => text.includes('payload-too-large') && text.includes('heavy'), 'its log line')
      expect(line).to.include(topic).and.include('94208')
      const putter = await putClient(attack, await alice(attack))
      await putRefused(putter, topic, { text: 'x'.repeat(94_209) }, 'payload-too-large')
    }),
    http: async (attack) =>
      problem(
        await attack.http(entries, { token: await alice(attack), json: { topic: 'x', text: 'x'.repeat(94_209) } }),
        'payload-too-large',
      ),
  },
  {
    name: 'sends a packet or a body above the limit',
    clauses: ['P-7.11', 'P-11.33', 'P-12.20', 'P-13.6'],
    code: 'payload-too-large',
    ...mqtt(async (attack) => publishCloses(await attack.client(await alice(attack)), topic, Buffer.alloc(131_500))),
    http: async (attack) =>
      problem(
        await attack.http(entries, { token: await alice(attack), json: { topic: 'x', text: 'x'.repeat(131_073) } }),
        'payload-too-large',
      ),
  },
  {
    name: 'asks for too many filters at once',
    clauses: ['P-13.8', 'P-12.21'],
    code: 'too-many-requests',
    ...mqtt(async (attack) => {
      const client = await attack.client(await alice(attack))
      client.send({
        cmd: 'subscribe',
        messageId: 1,
        subscriptions: Array.from({ length: 9 }, (_, at) => ({ topic: `users/alice/${at}`, qos: 0 as const })),
      })
      await closes(client, '9 filters in one SUBSCRIBE')
    }),
    http: 'a request has one filter',
  },
  {
    name: 'asks for too many filters altogether',
    clauses: ['P-13.9', 'P-12.21'],
    code: 'too-many-requests',
    ...mqtt(async (attack) => {
      const client = await attack.client(await alice(attack))
      for (let at = 0; at < 50; at++) expect(await client.subscribe(`users/alice/${at}`)).to.deep.equal([1])
      await filterRefused(client, 'users/alice/51')
    }),
    http: 'a request has one filter',
  },
  {
    name: 'brings a client id that is too long, or none for a session',
    clauses: ['P-7.14', 'P-13.10'],
    code: 'bad-request',
    ...mqtt(async (attack) => {
      const password = await alice(attack)
      expect(await attack.connack({ password, clientId: 'x'.repeat(129) })).to.equal(2)
      const nameless = await attack.open()
      nameless.bytes(Buffer.from([0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 0, 0, 0]))
      expect(await nameless.expect(({ cmd }) => cmd === 'connack', 'a CONNACK')).to.include({ returnCode: 2 })
      await nameless.gone('an empty client id with clean=0')
    }),
    http: 'a request has no client id of its own',
  },
  {
    name: 'speaks before its CONNECT, or twice CONNECT',
    clauses: ['P-7.11'],
    code: 'bad-request',
    ...mqtt(async (attack) => {
      const early = await attack.open()
      early.publishNow('users/bob/x', 'x')
      await closes(early, 'a PUBLISH before CONNECT')
      const twice = await attack.client(await alice(attack))
      twice.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId: 'again', clean: true, keepalive: 0 })
      await closes(twice, 'a second CONNECT')
    }),
    http: 'HTTP has no CONNECT',
  },
  {
    name: 'speaks another protocol than MQTT 3.1.1',
    clauses: ['P-7.12'],
    code: 'bad-request',
    ...mqtt(async (attack) => {
      for (const level of [5, 6, 2, 0]) {
        const client = await attack.open()
        client.bytes(connectOfLevel(level))
        const connack = await client.expect(({ cmd }) => cmd === 'connack', `the CONNACK of protocol level ${level}`)
        expect(connack, `level ${level}`).to.include({ returnCode: 1 })
        await client.gone('after an unknown protocol level')
      }
    }),
    http: 'HTTP is another protocol',
  },
  {
    name: 'sends malformed packets',
    clauses: ['P-7.11', 'P-12.27'],
    code: 'bad-request',
    ...mqtt(async (attack) => {
      for (const bytes of malformed) {
        const client = await attack.client(await alice(attack))
        client.bytes(Buffer.from(bytes))
        await closes(client, Buffer.from(bytes).toString('hex'))
      }
    }),
    async http(attack) {
      const token = await alice(attack)
      problem(await attack.http(entries, { token, body: 'topic=x', headers: { 'content-type': 'text/plain' } }), 'bad-request')
      problem(await attack.http(`${entries}?limit=x`, { token }), 'bad-request')
      problem(await attack.http(`${entries}?limit=1001`, { token }), 'bad-request')
      problem(await attack.http(`${entries}?limit=1&limit=2`, { token }), 'bad-request')
      problem(await attack.http(`${entries}?__proto__=1`, { token }), 'bad-request')
    },
  },
  {
    name: 'sends text where bytes belong',
    clauses: ['P-7.21'],
    code: 'bad-request',
    tcp: 'a TCP stream has no frames',
    async websocket(attack) {
      const webSocket = new WebSocket(attack.world.main.urls.ws, 'mqtt')
      await within(new Promise((resolve) => webSocket.once('open', resolve)), 'the WebSocket')
      const closed = new Promise<number>((resolve) => webSocket.once('close', resolve))
      webSocket.send('text')
      expect(await within(closed, 'the close of the WebSocket')).to.equal(1003)
    },
    http: 'a request has no frames',
  },
]

const brokenPuts: readonly object[] = [
  {},
  { text: 'x', data: 1 },
  { text: 7 },
  { base64: '***' },
  { base64: 'QQ' },
  { text: 'x', retain: 'yes' },
  { text: 'x', if: 'none' },
  { text: 'x', retain: true, if: 7 },
  { text: 'x', retain: true, if: 'id:a/b' },
]

const badPositions: readonly string[] = [
  'x',
  '1',
  'abcdefgh.1',
  'abcdefgh.01.abcd',
  'abcdefgh.-1.abcd',
  'abcdefgh.1.abcde',
  'abcdefgh.12345678901234567.abcd',
  'abc/defg.1.abcd'.replace('/', '*'),
  'latest',
]

/** Reserved types, flags and lengths. */
const malformed: readonly (readonly number[])[] = [
  [0x00, 0],
  [0xf0, 0],
  [0x36, 4, 0, 1, 0x61, 1],
  [0x32, 5, 0, 1, 0x61, 0, 0],
  [0x38, 3, 0, 1, 0x61],
  [0x30, 2, 0, 9],
  [0x80, 6, 0, 1, 0, 1, 0x61, 0],
  [0x82, 2, 0, 1],
  [0x82, 6, 0, 1, 0, 1, 0x61, 3],
  [0x82, 6, 0, 0, 0, 1, 0x61, 0],
  [0xc0, 1, 0],
  [0xe1, 0],
  [0x50, 2, 0, 1],
  [0x30, 0xff, 0xff, 0xff, 0xff, 1],
  [0x20, 2, 0, 0],
]

function connectOfLevel(level: number): Buffer {
  const properties = level === 5 ? [0] : []
  const body = [0, 4, ...Buffer.from('MQTT'), level, 2, 0, 0, ...properties, 0, 1, 0x61]
  return Buffer.from([0x10, body.length, ...body])
}

/** MQTT grants the filter and says `reset` [P-6.11]; HTTP answers 410 [P-11.26]. */
function unserved(
  what: string,
  clauses: readonly string[],
  reason: 'epoch' | 'ahead' | 'trimmed',
  change: (head: string) => string,
): Attack {
  const place = async (attack: Attacker, token: string): Promise<string> => {
    const publisher = await attack.client(token)
    for (let count = 0; count < 3; count++) await publisher.publish('users/mallory/x', 'x')
    const { log } = attack.world.main.running
    const stream = await log.stream('users/mallory')
    if (reason === 'trimmed' && stream.first < 3) await log.trim('users/mallory', 3)
    const { body } = await attack.http('/v1/streams/users/mallory/entries?limit=0', { token })
    return change(body['head'] as string)
  }
  return {
    name: `reads from a position ${what}`,
    clauses: [...clauses, 'P-6.11', 'P-11.26'],
    code: { http: reason },
    ...mqtt(async (attack) => {
      const token = await attack.world.tokens.of('mallory')
      const filter = `sync@${await place(attack, token)}/users/mallory/#`
      const client = await attack.client(token)
      expect(await client.subscribe(filter)).to.deep.equal([1])
      const control = JSON.parse((await client.message()).text) as Record<string, unknown>
      expect(control).to.include({ ctl: 'reset', reason, filter })
      expect(control).to.have.keys('ctl', 'reason', 'filter', 'first', 'head')
      await silent(client)
    }),
    async http(attack) {
      const token = await attack.world.tokens.of('mallory')
      const answer = await attack.http(`/v1/streams/users/mallory/entries?after=${await place(attack, token)}`, { token })
      problem(answer, reason)
      expect(answer.body).to.include.keys('first', 'head').and.to.include({ reason })
    },
  }
}

async function silent(client: RawClient): Promise<void> {
  await client.publish('users/mallory/x', 'more')
  await client.ping()
  expect(client.unread(), 'nothing more comes on a filter that was reset').to.deep.equal([])
}
