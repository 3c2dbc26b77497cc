/** Names that the spec refuses: one row per rule, as a topic to publish to and as a filter. */
import { expect } from 'chai'
import type { ErrorCode } from '../../../protocol/errors.ts'
import { mqtt, noMqtt, type Attack, type Attacker } from '../cells.ts'
import { closes, filterRefused, problem, publishCloses, putClient, putRefused } from './expecting.ts'

const alice = (attack: Attacker): Promise<string> => attack.world.tokens.of('alice', { claims: { spaces: { board: 'own' } } })

interface BadName {
  readonly name: string
  readonly clauses: readonly string[]
  /** Refused as topics, on the plain door and put; and as filters on the plain door and with `sync/` in front, where they fit. */
  readonly topics: readonly string[]
  readonly filters?: readonly string[]
  /** Paths below /v1/streams/, and levels below users/alice, that say the same over HTTP; or why there are none. */
  readonly http: { readonly paths?: readonly string[]; readonly below?: readonly string[] } | string
}

const deep = 'users/alice/3/4/5/6/7/8'
const long = `users/alice/${'x'.repeat(209)}`
const longId = 'x'.repeat(65)

const badNames: readonly BadName[] = [
  {
    name: 'a uid that is not canonical',
    clauses: ['P-1.8', 'P-1.11'],
    topics: [
      'users/al.ice/x',
      'users/=61lice/x',
      'users/alice=2e/x',
      'users/alice=/x',
      `users/${longId}/x`,
      'users/a~b~c/x',
      'users/=FF/x',
      'users/ alice/x',
      'users/алиса/x',
    ],
    http: { paths: ['users/al.ice', 'users/=61lice', 'users/alice=2e', `users/${longId}`, 'users/a~b~c', 'users/=FF', 'users/%20alice'] },
  },
  {
    name: 'a space that is not canonical',
    clauses: ['P-1.12'],
    topics: ['spaces/guest~board/x', 'spaces/bo.ard/x', `spaces/${longId}/x`],
    http: { paths: ['spaces/guest~board', 'spaces/bo.ard', `spaces/${longId}`] },
  },
  {
    name: 'an empty level',
    clauses: ['P-1.15'],
    topics: ['users/alice//x', 'users/alice/x/', 'users//x', 'spaces/board//'],
    http: { below: ['/x', 'x/', 'a//b', ''] },
  },
  {
    name: 'a bare stream',
    clauses: ['P-1.16'],
    topics: ['users/alice', 'spaces/board'],
    http: 'a path names the stream, and `topic` is required',
  },
  {
    name: 'a level that begins with $',
    clauses: ['P-1.17', 'P-4.29'],
    topics: ['users/alice/$x', 'users/alice/a/$b/c', 'users/alice/$acl', 'users/alice/$ctl'],
    // `$acl` and `$ctl` have their places on the sync door.
    filters: [
      'users/alice/$x',
      'users/alice/a/$b/c',
      'users/alice/$acl',
      'users/alice/$ctl',
      'sync/users/alice/$x',
      'sync/users/alice/a/$b/c',
    ],
    http: { below: ['$x', 'a/$b/c', '$acl'] },
  },
  {
    name: '* and ?',
    clauses: ['P-1.18'],
    topics: ['users/alice/a*b', 'users/alice/?', 'users/alice/*'],
    http: { below: ['a*b', '?', '*'] },
  },
  {
    name: 'more levels than a stream topic may have',
    clauses: ['P-1.19', 'P-13.2'],
    topics: [deep],
    filters: [deep, `${deep}/9`, `sync/${deep}`, 'users/alice/3/4/5/6/7/#'],
    http: { below: ['3/4/5/6/7/8'] },
  },
  {
    name: 'more bytes than a stream topic may have',
    clauses: ['P-1.19', 'P-13.3'],
    topics: [long],
    filters: [long, `sync/${long}`, `users/alice/${'x'.repeat(245)}`, `sync/users/alice/${'x'.repeat(240)}`],
    http: { below: ['x'.repeat(209)] },
  },
  {
    name: 'the server’s own topics',
    clauses: ['P-1.22'],
    topics: ['$SYS/broker', '$SYS'],
    filters: ['$SYS/#', '$SYS/broker', 'sync/$SYS/#'],
    http: 'a path names a stream of P-11.13 only',
  },
  {
    name: 'shared subscriptions',
    clauses: ['P-1.22'],
    topics: ['$share/g/users/alice/x'],
    filters: ['$share/g/users/alice/#', '$share/g/#', 'sync/$share/g/users/alice/#'],
    http: 'a path names a stream of P-11.13 only',
  },
  {
    name: 'the open stream while it is off',
    clauses: ['P-1.6', 'P-1.24'],
    topics: ['house/kitchen', 'x', '/x', 'open/-/x', '$x/y'],
    filters: ['house/#', 'x', '/x', '+x/y', '$x/#', 'sync/open/-/#', 'open/-/#'],
    http: 'answered as a kind that does not exist, in the row on unknown kinds',
  },
  {
    name: 'wildcards where a topic belongs',
    clauses: ['P-1.33', 'P-5.1'],
    topics: ['users/alice/#', 'users/+/x', 'users/alice/a+b', '#'],
    filters: [
      'users/alice/#/x',
      'users/alice/a+',
      'users/alice/#x',
      'sync/users/+/x',
      'sync/users/#',
      'sync/#',
      'sync/+/alice/x',
      'sync@earliest/users/+/x',
    ],
    http: { below: ['#', '+', 'a/#'], paths: ['users/+'] },
  },
]

function nameRow({ name, clauses, topics, filters = topics, http }: BadName): Attack {
  return {
    name: `publishes to and subscribes to ${name}`,
    clauses: [...clauses, 'P-12.6', 'P-12.7'],
    code: 'bad-topic',
    ...mqtt(async (attack) => {
      const token = await alice(attack)
      for (const topic of topics) await publishCloses(await attack.client(token), topic)
      const putter = await putClient(attack, token)
      for (const topic of topics) {
        if (Buffer.byteLength(`put/${topic}`) <= 256 && `put/${topic}`.split('/').length <= 8)
          await putRefused(putter, topic, { text: 'x' }, 'bad-topic')
      }
      const client = await attack.client(token)
      await filterRefused(client, ...filters)
    }),
    http:
      typeof http === 'string'
        ? http
        : async (attack) => {
            const token = await alice(attack)
            for (const path of http.paths ?? []) {
              problem(await attack.http(`/v1/streams/${path}/entries`, { token }), 'bad-topic')
              problem(await attack.http(`/v1/streams/${path}/state`, { token }), 'bad-topic')
              problem(await attack.http(`/v1/streams/${path}/entries`, { token, json: { topic: 'x', text: 'x' } }), 'bad-topic')
            }
            for (const topic of http.below ?? []) {
              problem(await attack.http('/v1/streams/users/alice/entries', { token, json: { topic, text: 'x' } }), 'bad-topic')
            }
          },
  }
}

const broken: readonly (readonly [string, Buffer])[] = [
  ['NUL', Buffer.from('users/alice/a\0b')],
  ['a lone continuation byte', Buffer.from([...Buffer.from('users/alice/'), 0x80])],
  ['an overlong slash', Buffer.from([...Buffer.from('users/alice/'), 0xc0, 0xaf])],
  ['a surrogate', Buffer.from([...Buffer.from('users/alice/'), 0xed, 0xa0, 0x80])],
]

export const nameRows: readonly Attack[] = [
  ...badNames.map(nameRow),
  {
    name: 'publishes to a topic with NUL or malformed UTF-8',
    clauses: ['P-1.20'],
    code: { tcp: 'bad-topic', websocket: 'bad-topic', http: 'bad-topic' },
    ...mqtt(async (attack) => {
      for (const [what, topic] of broken) {
        const client = await attack.client(await alice(attack))
        client.bytes(packet(0x32, [lengthOf(topic), topic, Buffer.from([0, 1]), Buffer.from('x')]))
        await closes(client, what)
      }
    }),
    async http(attack) {
      const token = await alice(attack)
      for (const topic of ['a\0b', 'a\ufffdb', '\ud800']) {
        problem(await attack.http('/v1/streams/users/alice/entries', { token, json: { topic, text: 'x' } }), 'bad-topic')
      }
    },
  },
  {
    name: 'subscribes to a filter with NUL or malformed UTF-8',
    clauses: ['P-1.20', 'P-11.18'],
    code: { tcp: 'bad-request', websocket: 'bad-request', http: 'bad-filter' },
    ...mqtt(async (attack) => {
      for (const [what, filter] of broken) {
        const client = await attack.client(await alice(attack))
        client.bytes(packet(0x82, [Buffer.from([0, 1]), lengthOf(filter), filter, Buffer.from([1])]))
        await closes(client, what)
        expect(client.inbox.all.filter(({ cmd }) => cmd === 'suback')).to.deep.equal([])
      }
    }),
    async http(attack) {
      const token = await alice(attack)
      for (const topic of ['a%00b', 'a%80', '%C0%AF', '%ED%A0%80']) {
        problem(await attack.http(`/v1/streams/users/alice/entries?topic=${topic}`, { token }), 'bad-filter')
      }
    },
  },
  {
    name: 'asks for a filter below a stream that is none',
    clauses: ['P-11.18', 'P-12.7'],
    code: 'bad-filter',
    ...noMqtt('the filters of MQTT are in the rows above'),
    async http(attack) {
      const token = await alice(attack)
      for (const topic of ['a//b', '%23/x', 'a%2B', '$x', 'a*', '', '1/2/3/4/5/6/7/8', 'x'.repeat(300)]) {
        problem(await attack.http(`/v1/streams/users/alice/entries?topic=${topic}`, { token }), 'bad-filter')
        problem(await attack.http(`/v1/streams/users/alice/state?topic=${topic}`, { token }), 'bad-filter')
      }
    },
  },
  {
    name: 'asks for a kind that does not exist',
    clauses: ['P-1.27', 'P-11.13', 'P-14.5', 'P-14.6'],
    code: 'not-found',
    ...noMqtt('topics of MQTT without a known kind are of the open stream'),
    async http(attack) {
      const token = await alice(attack)
      for (const path of [
        'put/alice',
        'sync/alice',
        'reply/x',
        'auth/renew',
        'open/-',
        'open/x',
        'USERS/alice',
        '%24SYS/x',
        'constructor/x',
      ]) {
        problem(await attack.http(`/v1/streams/${path}/entries`, { token }), 'not-found')
      }
      problem(await attack.http('/v1/streams/put/alice', { token, method: 'DELETE' }), 'not-found')
      problem(await attack.http('/v1/streams/users/alice/members/bob', { token, method: 'DELETE' }), 'not-found')
      problem(await attack.http('/v1/streams/users/alice/entries', { token, method: 'PUT', body: 'x' }), 'not-found')
    },
  },
  {
    name: 'publishes to a topic longer than the wire allows',
    clauses: ['P-1.21', 'P-13.4', 'P-13.5'],
    code: 'bad-topic',
    ...mqtt(async (attack) => {
      for (const topic of ['1/2/3/4/5/6/7/8/9', 'x'.repeat(257), 'put/1/2/3/4/5/6/7/8', `put/open/-/${'y/'.repeat(6)}y`]) {
        await publishCloses(await attack.client(await attack.world.dev.token('alice'), {}, 'dev'), topic, '{"id":"1","text":"x"}')
      }
    }),
    async http(attack) {
      const token = await attack.world.dev.token('alice')
      for (const topic of ['1/2/3/4/5/6/7/8/9', 'x'.repeat(257)]) {
        problem(await attack.http('/v1/streams/open/-/entries', { token, server: 'dev', json: { topic, text: 'x' } }), 'bad-topic')
      }
    },
  },
  doorTopics('bad-topic', ['P-1.23', 'P-1.7'], 'publishes to a door, or to the server’s side of one', [
    'sync/users/alice/x',
    'sync@earliest/users/alice/x',
    'sync@x',
    'sync',
    'reply/x/y',
    'reply',
    'put',
    'put/',
    'auth',
    'auth/renew/x',
    'auth/other',
    'put/put/users/alice/x',
    'put/auth/renew',
  ]),
  {
    name: 'writes to an inbox, its own or another',
    clauses: ['P-1.5', 'P-15.2'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const token = await alice(attack)
      for (const topic of ['inbox/alice/bob/x', 'inbox/bob/alice/x']) await publishCloses(await attack.client(token), topic)
      await putRefused(await putClient(attack, token), 'inbox/bob/alice/x', { text: 'x' }, 'forbidden')
    }),
    async http(attack) {
      const token = await alice(attack)
      for (const path of ['/v1/streams/inbox/alice/entries', '/v1/streams/inbox/bob/entries']) {
        problem(await attack.http(path, { token, json: { topic: 'carol/x', text: 'x' } }), 'forbidden')
      }
    },
  },
  {
    name: 'sends as another, and reads what others send and get',
    clauses: ['P-15.1', 'P-10.16'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const token = await alice(attack)
      for (const qos of [0, 1, 2] as const) await publishCloses(await attack.client(token), 'outbox/bob/carol/x', 'x', { qos })
      await putRefused(await putClient(attack, token), 'outbox/bob/carol/x', { text: 'x' }, 'forbidden')
      await filterRefused(
        await attack.client(token),
        'inbox/bob/#',
        'inbox/bob/alice/#',
        'outbox/bob/alice/#',
        'sync/inbox/bob/#',
        'sync@earliest/outbox/bob/#',
        'inbox/+/alice/#',
      )
    }),
    async http(attack) {
      const token = await alice(attack)
      problem(await attack.http('/v1/streams/outbox/bob/entries', { token, json: { topic: 'carol/x', text: 'x' } }), 'forbidden')
      for (const path of ['inbox/bob/entries', 'inbox/bob/entries?topic=alice/x', 'outbox/bob/state']) {
        problem(await attack.http(`/v1/streams/${path}`, { token }), 'forbidden')
      }
    },
  },
  {
    name: 'reaches for the server’s topics while open is on',
    clauses: ['P-1.22', 'P-1.26'],
    code: 'bad-filter',
    ...mqtt(async (attack) => {
      const token = await attack.world.dev.token('alice')
      await filterRefused(
        await attack.client(token, {}, 'dev'),
        '$SYS/#',
        '$SYS',
        '$share/g/house/#',
        '$share/g/#',
        'put/#',
        'auth/renew',
        'sync/open/+/#',
        'sync/open/#',
      )
      await publishCloses(await attack.client(token, {}, 'dev'), '$SYS/broker')
    }),
    async http(attack) {
      const token = await attack.world.dev.token('alice')
      for (const topic of ['$SYS/%23', '$share/g/x', 'users/bob/%23', 'put/%23']) {
        problem(await attack.http(`/v1/streams/open/-/entries?topic=${topic}`, { token, server: 'dev' }), 'bad-filter')
      }
    },
  },
]

function doorTopics(code: ErrorCode, clauses: readonly string[], name: string, topics: readonly string[]): Attack {
  return {
    name,
    clauses,
    code,
    ...mqtt(async (attack) => {
      const token = await alice(attack)
      for (const topic of topics) await publishCloses(await attack.client(token), topic, 'x')
    }),
    http: 'the path of a request names a stream, never a door',
  }
}

function packet(first: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([first, body.length]), body])
}

function lengthOf(text: Buffer): Buffer {
  return Buffer.from([text.length >> 8, text.length & 255])
}
