/** What belongs to somebody else: data, wills, replies, sessions. */
import { expect } from 'chai'
import { mqtt, noMqtt, type Attack, type Attacker } from '../cells.ts'
import { Victim } from '../world.ts'
import { filterRefused, problem, publishCloses, putClient, putRefused } from './expecting.ts'

const alice = (attack: Attacker): Promise<string> => attack.world.tokens.of('alice')
const bobsEntries = '/v1/streams/users/bob/entries'
const events = '/v1/events?from='
const oneWay = 'HTTP has one way to publish, attacked by the row before'

export const othersRows: readonly Attack[] = [
  {
    name: 'publishes to another user',
    clauses: ['P-1.3', 'P-4.5', 'P-10.9', 'P-12.12'],
    code: 'forbidden',
    ...mqtt(async (attack) => publishCloses(await attack.client(await alice(attack)), 'users/bob/notes/1')),
    http: async (attack) =>
      problem(await attack.http(bobsEntries, { token: await alice(attack), json: { topic: 'notes/1', text: 'x' } }), 'forbidden'),
  },
  {
    name: 'publishes to another user at QoS 0',
    clauses: ['P-3.2', 'P-4.5'],
    code: 'forbidden',
    ...mqtt(async (attack) => publishCloses(await attack.client(await alice(attack)), 'users/bob/notes/1', 'x', { qos: 0 })),
    http: oneWay,
  },
  {
    name: 'publishes to another user at QoS 2',
    clauses: ['P-4.3', 'P-4.5'],
    code: 'forbidden',
    ...mqtt(async (attack) => publishCloses(await attack.client(await alice(attack)), 'users/bob/notes/1', 'x', { qos: 2 })),
    http: oneWay,
  },
  {
    name: 'overwrites a retained message of another user',
    clauses: ['P-4.5', 'P-9.1'],
    code: 'forbidden',
    ...mqtt(async (attack) => publishCloses(await attack.client(await alice(attack)), 'users/bob/secret', 'x', { retain: true })),
    http: async (attack) =>
      problem(
        await attack.http(bobsEntries, { token: await alice(attack), json: { topic: 'secret', text: 'x', retain: true } }),
        'forbidden',
      ),
  },
  {
    name: 'deletes a retained message of another user',
    clauses: ['P-3.21', 'P-4.5'],
    code: 'forbidden',
    ...mqtt(async (attack) => publishCloses(await attack.client(await alice(attack)), 'users/bob/secret', '', { retain: true, qos: 0 })),
    http: async (attack) =>
      problem(await attack.http(bobsEntries, { token: await alice(attack), json: { topic: 'secret', retain: true } }), 'forbidden'),
  },
  {
    name: 'puts to another user',
    clauses: ['P-5.11', 'P-12.4', 'P-12.12'],
    code: 'forbidden',
    ...mqtt(
      async (attack) =>
        void (await putRefused(await putClient(attack, await alice(attack)), 'users/bob/notes/1', { text: 'x' }, 'forbidden')),
    ),
    http: 'HTTP has no put door; its publish is attacked by the rows before',
  },
  {
    name: 'subscribes to another user',
    clauses: ['P-4.8', 'P-4.9', 'P-10.10'],
    code: 'forbidden',
    ...mqtt(async (attack) =>
      filterRefused(await attack.client(await alice(attack)), 'users/bob/#', 'users/bob/notes/1', 'users/bob/+/1', 'spaces/board/#'),
    ),
    async http(attack) {
      const token = await alice(attack)
      problem(await attack.http(`${bobsEntries}?topic=notes/1`, { token }), 'forbidden')
      for (const from of ['users/bob/%23', 'users/bob/%2B/1', 'users/alice/%23&from=users/bob/notes/1', 'spaces/board/%23']) {
        problem(await attack.http(events + from, { token }), 'forbidden')
      }
    },
  },
  {
    name: 'reads a retained message of another user',
    clauses: ['P-4.8', 'P-4.12', 'P-11.30'],
    code: 'forbidden',
    ...mqtt(async (attack) => filterRefused(await attack.client(await alice(attack)), 'users/bob/secret')),
    http: async (attack) =>
      problem(await attack.http('/v1/streams/users/bob/state?topic=secret', { token: await alice(attack) }), 'forbidden'),
  },
  {
    name: 'reads the history of another user',
    clauses: ['P-6.3', 'P-10.15', 'P-11.2', 'P-18.4'],
    code: 'forbidden',
    ...mqtt(async (attack) => filterRefused(await attack.client(await alice(attack)), 'sync@earliest/users/bob/#', 'sync/users/bob/#')),
    async http(attack) {
      const token = await alice(attack)
      problem(await attack.http(`${bobsEntries}?after=earliest`, { token }), 'forbidden')
      problem(await attack.http(`${events}users/bob/%23@earliest`, { token }), 'forbidden')
    },
  },
  {
    name: 'reads the state of another user',
    clauses: ['P-6.3', 'P-6.16', 'P-11.4'],
    code: 'forbidden',
    ...mqtt(async (attack) =>
      filterRefused(await attack.client(await alice(attack)), 'sync@snapshot/users/bob/#', 'sync@snapshot/spaces/board/#'),
    ),
    async http(attack) {
      const token = await alice(attack)
      problem(await attack.http('/v1/streams/users/bob/state', { token }), 'forbidden')
      problem(await attack.http(`${events}users/bob/%23@snapshot`, { token }), 'forbidden')
    },
  },
  {
    name: 'widens its own place until it holds another user',
    clauses: ['P-1.30', 'P-10.12', 'P-11.13', 'P-11.18'],
    code: { tcp: 'forbidden', websocket: 'forbidden', http: 'bad-topic' },
    ...mqtt(async (attack) =>
      filterRefused(
        await attack.client(await alice(attack)),
        'users/#',
        'users/+/notes/1',
        '#',
        '+/bob/#',
        '+/+/secret',
        'spaces/#',
        'spaces/+/note',
      ),
    ),
    async http(attack) {
      const token = await alice(attack)
      problem(await attack.http('/v1/streams/users/%2B/entries', { token }), 'bad-topic')
      problem(await attack.http('/v1/streams/users/%23/state', { token }), 'bad-topic')
      problem(await attack.http('/v1/streams/users/alice%2F..%2Fbob/entries', { token }), 'bad-topic')
    },
  },
  {
    name: 'reads a door instead of a stream across users',
    clauses: ['P-1.23', 'P-1.33', 'P-7.2', 'P-18.2'],
    code: 'bad-filter',
    ...mqtt(async (attack) =>
      filterRefused(
        await attack.client(await alice(attack)),
        'put/#',
        'put/users/bob/#',
        'auth/#',
        'auth/renew',
        'sync/users/+/#',
        'sync/#',
        'reply/#',
        'reply/+/x',
      ),
    ),
    async http(attack) {
      const token = await alice(attack)
      const filters = ['put/%23', 'put/users/bob/%23', 'auth/renew', 'sync/users/bob/%23', 'reply/%23']
      for (const from of [...filters, 'users/%2B/%23', 'users/%23', '%23', '%2B/bob/%23', '%24SYS/%23', '']) {
        problem(await attack.http(events + from, { token }), 'bad-filter')
      }
    },
  },
  {
    name: 'leaves a will for another user',
    clauses: ['P-4.28', 'P-7.17'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const will = { topic: 'users/bob/notes/1', payload: Buffer.from('x'), qos: 1, retain: false } as const
      expect(await attack.connack({ password: await alice(attack), will })).to.equal(5)
    }),
    http: 'HTTP has no wills',
  },
  {
    name: 'leaves a will on a door',
    clauses: ['P-4.28'],
    code: 'bad-topic',
    ...mqtt(async (attack) => {
      const password = await alice(attack)
      for (const topic of ['put/users/alice/x', 'sync/users/alice/x', `reply/${Victim.clientId}/x`, 'auth/renew']) {
        const will = { topic, payload: Buffer.from('{"id":"1","text":"x"}'), qos: 1, retain: false } as const
        expect(await attack.connack({ password, will }), topic).to.equal(5)
      }
    }),
    http: 'HTTP has no wills',
  },
  {
    name: 'takes the client id of another user',
    clauses: ['P-4.16', 'P-4.26'],
    code: undefined,
    ...mqtt(async (attack) => {
      const client = await attack.client(await alice(attack), { clientId: Victim.clientId })
      expect(await client.subscribe(`reply/${Victim.clientId}/#`), 'its own replies').to.deep.equal([0])
      await attack.world.victim.tab.ping()
      await attack.world.victim.speak()
      expect(attack.world.victim.tab.isClosed, 'the victim is still connected').to.equal(false)
      await client.ping()
      expect(client.unread()).to.deep.equal([])
    }),
    http: 'a request has no client id of its own',
  },
  {
    name: 'reads the replies of another client',
    clauses: ['P-7.2', 'P-10.16'],
    code: 'forbidden',
    ...mqtt(async (attack) =>
      filterRefused(
        await attack.client(await alice(attack)),
        `reply/${Victim.clientId}/#`,
        `reply/${Victim.clientId}/+`,
        `reply/${Victim.clientId}/$ctl`,
      ),
    ),
    http: 'replies are written to the connection that asked, and to nobody else',
  },
  {
    name: 'answers another client in the name of the server',
    clauses: ['P-1.23', 'P-7.1'],
    code: { tcp: 'bad-topic', websocket: 'bad-topic', http: 'not-found' },
    ...mqtt(async (attack) =>
      publishCloses(await attack.client(await alice(attack)), `reply/${Victim.clientId}/$ctl`, '{"ctl":"revoked"}', { qos: 0 }),
    ),
    http: async (attack) =>
      problem(
        await attack.http('/v1/streams/reply/x/entries', { token: await alice(attack), json: { topic: 'y', text: 'x' } }),
        'not-found',
      ),
  },
  {
    name: 'resumes the session of another user',
    clauses: ['P-4.16', 'P-4.17', 'P-4.21'],
    code: undefined,
    ...mqtt(async (attack) => {
      const client = await attack.open()
      const password = await attack.world.tokens.of(`resumer-${attack.door}`)
      const connack = await client.connect({ clientId: Victim.sessionId, clean: false, password })
      expect(connack).to.include({ returnCode: 0, sessionPresent: false })
      await attack.world.victim.speak()
      await client.ping()
      expect(client.unread()).to.deep.equal([])
      await client.disconnect()
    }),
    http: 'HTTP keeps no sessions',
  },
  {
    name: 'writes through another user’s percent-encoded path',
    clauses: ['P-1.11', 'P-11.13'],
    code: 'bad-topic',
    ...noMqtt('topics are not percent-encoded'),
    async http(attack) {
      const token = await alice(attack)
      for (const path of ['users/%62ob%2F', 'users/bob%00', 'users/=62ob', 'users/bob%20']) {
        problem(await attack.http(`/v1/streams/${path}/entries`, { token, json: { topic: 'notes/1', text: 'x' } }), 'bad-topic')
      }
    },
  },
]
