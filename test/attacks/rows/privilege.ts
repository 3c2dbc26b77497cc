/** More than one was given: spaces, operators' rights, narrowed and bound tokens. */
import { expect } from 'chai'
import { mqtt, noMqtt, type Answer, type Attack, type Attacker } from '../cells.ts'
import { Victim } from '../world.ts'
import { filterRefused, problem, publishCloses, putClient, putRefused } from './expecting.ts'

const board = '/v1/streams/spaces/board/entries'

export const privilegeRows: readonly Attack[] = [
  {
    name: 'writes to a space it may only read',
    clauses: ['P-1.4', 'P-10.17'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const token = await member(attack, 'read')
      const client = await attack.client(token)
      expect(await client.subscribe('spaces/board/#'), 'it may read').to.deep.equal([1])
      await publishCloses(client, 'spaces/board/note', 'x', { retain: true })
      await putRefused(await putClient(attack, token), 'spaces/board/note', { text: 'x', retain: true }, 'forbidden')
    }),
    async http(attack) {
      const token = await member(attack, 'read')
      expect((await attack.http(board, { token })).status, 'it may read').to.equal(200)
      problem(await attack.http(board, { token, json: { topic: 'note', text: 'x' } }), 'forbidden')
    },
  },
  {
    name: 'deletes a retained message of a space that another made',
    clauses: ['P-9.3', 'P-10.11'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const token = await member(attack, 'write')
      await publishCloses(await attack.client(token), 'spaces/board/note', '', { retain: true })
      await publishCloses(await attack.client(token), 'spaces/board/note', '', { retain: true, qos: 0 })
      await publishCloses(await attack.client(token), 'spaces/board/note', '', { retain: true, qos: 2 })
      await putRefused(await putClient(attack, token), 'spaces/board/note', { retain: true }, 'forbidden')
    }),
    http: async (attack) =>
      problem(await attack.http(board, { token: await member(attack, 'write'), json: { topic: 'note', retain: true } }), 'forbidden'),
  },
  {
    name: 'deletes in a space by a will',
    clauses: ['P-4.27', 'P-4.28', 'P-9.3'],
    code: 'forbidden',
    countedAt: 'will',
    ...mqtt(async (attack) => {
      const will = { topic: 'spaces/board/note', payload: Buffer.alloc(0), qos: 1, retain: true } as const
      const client = await attack.client(await member(attack, 'write'), { will })
      client.destroy()
      await client.closed
      await attack.world.lines.take((line) => line.includes('a will was not published'), 'the log line of the will')
    }),
    http: 'HTTP has no wills',
  },
  {
    name: 'writes what only the server writes',
    clauses: ['P-1.17', 'P-4.29'],
    code: 'bad-topic',
    ...mqtt(async (attack) => {
      const token = await member(attack, 'own')
      await publishCloses(await attack.client(token), 'spaces/board/$acl', '{}', { retain: true })
      await putRefused(await putClient(attack, token), 'spaces/board/$acl', { data: {} }, 'bad-topic')
    }),
    http: async (attack) =>
      problem(await attack.http(board, { token: await member(attack, 'own'), json: { topic: '$acl', data: {} } }), 'bad-topic'),
  },
  {
    name: 'withdraws the owner of a space',
    clauses: ['P-10.11', 'P-11.35', 'P-16.1'],
    code: 'forbidden',
    ...noMqtt('withdrawing is offered over HTTP only'),
    async http(attack) {
      const partly = await attack.world.tokens.of('alice', { claims: { spaces: { board: 'write', other: 'own' } } })
      for (const token of [await member(attack, 'read'), await member(attack, 'write'), partly]) {
        problem(await attack.http('/v1/streams/spaces/board/members/bob', { token, method: 'DELETE' }), 'forbidden')
      }
    },
  },
  {
    name: 'goes on in a space that it was withdrawn from',
    clauses: ['P-16.2', 'P-16.3', 'P-16.4'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const token = await withdrawn(attack)
      await filterRefused(await attack.client(token), 'spaces/club/#', 'sync/spaces/club/#', 'sync@earliest/spaces/club/#')
      for (const qos of [0, 1, 2] as const) await publishCloses(await attack.client(token), 'spaces/club/x', 'x', { qos })
      await putRefused(await putClient(attack, token), 'spaces/club/x', { text: 'x' }, 'forbidden')
    }),
    async http(attack) {
      const token = await withdrawn(attack)
      for (const asked of [token, await exchanged(attack, { subject_token: token })]) {
        problem(await attack.http('/v1/streams/spaces/club/entries', { token: asked }), 'forbidden')
        problem(await attack.http('/v1/streams/spaces/club/state', { token: asked }), 'forbidden')
        problem(await attack.http('/v1/streams/spaces/club/entries', { token: asked, json: { topic: 'x', text: 'x' } }), 'forbidden')
      }
    },
  },
  {
    name: 'erases a stream, its own or another',
    clauses: ['P-10.13', 'P-11.36', 'P-17.1'],
    code: 'forbidden',
    ...noMqtt('erasing is offered over HTTP only'),
    async http(attack) {
      const token = await member(attack, 'own')
      for (const name of ['users/alice', 'users/bob', 'spaces/board', 'inbox/alice']) {
        problem(await attack.http(`/v1/streams/${name}`, { token, method: 'DELETE' }), 'forbidden')
      }
    },
  },
  {
    name: 'revokes without the grant',
    clauses: ['P-10.13', 'P-11.6'],
    code: 'forbidden',
    ...noMqtt('revoking is offered over HTTP only'),
    async http(attack) {
      const token = await attack.world.tokens.of('alice')
      problem(await attack.http('/v1/revocations', { token, json: { uid: 'bob' } }), 'forbidden')
      problem(await attack.http('/v1/revocations', { token, json: { uid: 'alice' } }), 'forbidden')
      await attack.world.victim.tab.ping()
    },
  },
  {
    name: 'reads the metrics from elsewhere without the grant',
    clauses: ['P-10.13', 'P-11.10'],
    code: 'forbidden',
    ...noMqtt('metrics are offered over HTTP only'),
    async http(attack) {
      const token = await attack.world.tokens.of('alice')
      for (const headers of [{ 'x-forwarded-for': '203.0.113.9' }, { forwarded: 'for=203.0.113.9' }, { via: '1.1 proxy' }]) {
        problem(await attack.http('/metrics', { headers: headers }), 'unauthorized')
        problem(await attack.http('/metrics', { token, headers: headers }), 'forbidden')
      }
    },
  },
  {
    name: 'narrows a token into more',
    clauses: ['P-10.18', 'P-10.21'],
    code: 'forbidden',
    ...noMqtt('tokens are exchanged over HTTP only'),
    async http(attack) {
      const subject = await attack.world.tokens.of('alice', { claims: { spaces: { board: 'read' } } })
      const wider = ['subscribe:users/bob/#', 'subscribe:users/#', 'publish:spaces/board/#', 'own:spaces/board/note', 'tap', 'ops:revoke']
      for (const scope of wider) {
        const answer = await exchange(attack, { subject_token: subject, scope: `subscribe:users/alice/# ${scope}` })
        expect({ status: answer.status, error: answer.body['error'] }, scope).to.deep.equal({ status: 400, error: 'invalid_scope' })
      }
      const narrow = await exchanged(attack, { subject_token: subject, scope: 'subscribe:users/alice/notes/#' })
      for (const scope of ['subscribe:users/alice/#', 'publish:users/alice/notes/1', 'subscribe:spaces/board/#']) {
        const answer = await exchange(attack, { subject_token: narrow, scope })
        expect(answer.body['error'], `back to ${scope}`).to.equal('invalid_scope')
      }
    },
  },
  {
    name: 'asks for a scope that is no grant',
    clauses: ['P-10.14', 'P-10.21'],
    code: 'bad-request',
    ...noMqtt('tokens are exchanged over HTTP only'),
    async http(attack) {
      const subject = await attack.world.tokens.of('alice')
      for (const scope of ['everything', 'subscribe:', 'subscribe:users/+/#', 'SUBSCRIBE:users/alice/#', 'delete:users/alice/#']) {
        const answer = await exchange(attack, { subject_token: subject, scope })
        expect({ status: answer.status, error: answer.body['error'] }, scope).to.deep.equal({ status: 400, error: 'invalid_scope' })
      }
    },
  },
  {
    name: 'uses a narrowed token for what it no longer holds',
    clauses: ['P-10.20', 'P-10.21'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const token = await narrowed(attack)
      const client = await attack.client(token)
      expect(await client.subscribe('users/alice/notes/#'), 'what is left').to.deep.equal([1])
      await filterRefused(client, 'users/alice/#', 'users/alice/other')
      await publishCloses(client, 'users/alice/notes/1')
    }),
    async http(attack) {
      const token = await narrowed(attack)
      problem(await attack.http('/v1/streams/users/alice/entries', { token }), 'forbidden')
      problem(await attack.http('/v1/streams/users/alice/entries', { token, json: { topic: 'notes/1', text: 'x' } }), 'forbidden')
      expect((await attack.http('/v1/streams/users/alice/entries?topic=notes/%23', { token })).status).to.equal(200)
    },
  },
  {
    name: 'uses a token that is bound to another client id',
    clauses: ['P-7.17', 'P-10.22'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const password = await exchanged(attack, { subject_token: await attack.world.tokens.of('alice'), client_id: 'phone' })
      expect(await attack.connack({ password, clientId: 'laptop' })).to.equal(5)
      expect(await attack.connack({ password, clientId: '' })).to.equal(5)
      expect(await attack.connack({ password, clientId: 'phone' })).to.equal(0)
    }),
    http: 'a request has no client id of its own; the entry bears the one of the token',
  },
  {
    name: 'uses the open stream without credentials for more',
    clauses: ['P-1.14', 'P-1.29'],
    code: { tcp: 'forbidden', websocket: 'forbidden', http: 'forbidden' },
    ...mqtt(async (attack) => {
      const client = await attack.client(undefined, {}, 'dev')
      await filterRefused(
        client,
        'users/bob/#',
        'users/~anonymous/#',
        'sync@earliest/users/bob/#',
        `reply/${Victim.clientId}/#`,
        'users/+/x',
      )
      await publishCloses(client, 'users/bob/x')
    }),
    async http(attack) {
      problem(await attack.http('/v1/streams/users/bob/entries', { server: 'dev' }), 'forbidden')
      problem(await attack.http('/v1/streams/users/bob/entries', { server: 'dev', json: { topic: 'x', text: 'x' } }), 'forbidden')
    },
  },
]

function member(attack: Attacker, level: string): Promise<string> {
  return attack.world.tokens.of('alice', { claims: { spaces: { board: level } } })
}

/** A token of alice that was good for the space `club` before its owner withdrew her. */
async function withdrawn(attack: Attacker): Promise<string> {
  const { tokens } = attack.world
  const token = await tokens.of('alice', { claims: { spaces: { club: 'write' } } })
  const owner = await tokens.of('carol', { claims: { spaces: { club: 'own' } } })
  const { status } = await attack.http('/v1/streams/spaces/club/members/alice', { token: owner, method: 'DELETE' })
  expect(status).to.equal(200)
  return token
}

async function narrowed(attack: Attacker): Promise<string> {
  return await exchanged(attack, { subject_token: await attack.world.tokens.of('alice'), scope: 'subscribe:users/alice/notes/#' })
}

export function exchange(attack: Attacker, form: Readonly<Record<string, string>>): Promise<Answer> {
  return attack.http('/v1/token', {
    form: {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      ...form,
    },
  })
}

/** The broker token for it; throws where it was refused. */
export async function exchanged(attack: Attacker, form: Readonly<Record<string, string>>): Promise<string> {
  const { status, body } = await exchange(attack, form)
  if (status !== 200) throw new Error(`the exchange was refused: ${JSON.stringify(body)}`)
  return attack.world.tokens.keep(body['access_token'] as string)
}
