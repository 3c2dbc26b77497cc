/** Renewal inside a session, and tokens taken out of force. */
import { expect } from 'chai'
import type { ErrorCode } from '../../../protocol/errors.ts'
import { mqtt, type Attack, type Attacker } from '../cells.ts'
import type { Tokens } from '../world.ts'
import { exchanged } from './privilege.ts'
import { filterRefused, problem } from './expecting.ts'

const noSessions = 'HTTP has no sessions whose token could be renewed'

/** [P-7.6]: told the code, and the connection stays as it was. */
function badRenewal(
  name: string,
  clauses: readonly string[],
  code: ErrorCode,
  make: (tokens: Tokens, attack: Attacker) => Promise<string> | string,
): Attack {
  return {
    name,
    clauses: [...clauses, 'P-7.6', 'P-10.24'],
    code,
    ...mqtt(async (attack) => {
      const { tokens } = attack.world
      const clientId = `renewer-${Math.floor(Math.random() * 1e9)}`
      const client = await attack.client(await tokens.of('alice'), { clientId })
      await client.subscribe([`reply/${clientId}/$ctl`, 'users/alice/#'])
      await client.publish('auth/renew', await make(tokens, attack))
      expect(JSON.parse((await client.message(`reply/${clientId}/$ctl`)).text)).to.deep.equal({ ctl: 'renew-refused', reason: code })
      await filterRefused(client, 'users/bob/#')
      await client.publish('users/alice/still', 'here')
      expect((await client.message('users/alice/still')).text).to.equal('here')
    }),
    http: noSessions,
  }
}

export const renewalRows: readonly Attack[] = [
  badRenewal('renews with a token of another user', ['P-12.12'], 'forbidden', (tokens) => tokens.of('bob')),
  badRenewal('renews with a stale token', ['P-10.4'], 'token-expired', (tokens) => {
    const nowS = Math.floor(Date.now() / 1000)
    return tokens.of('alice', { claims: { iat: nowS - 7_200, exp: nowS - 1 } })
  }),
  badRenewal('renews with a forged token', ['P-10.2'], 'unauthorized', (tokens) => tokens.forged('alice')),
  badRenewal('renews with a token that nobody signed', ['P-10.2'], 'unauthorized', (tokens) => tokens.unsigned('alice')),
  badRenewal('renews with an oversized token', ['P-10.6'], 'unauthorized', (tokens) =>
    tokens.of('alice', { claims: { padding: 'x'.repeat(8_192) } }),
  ),
  badRenewal('renews with a token that is bound to another client', ['P-10.22'], 'forbidden', async (tokens, attack) =>
    exchanged(attack, { subject_token: await tokens.of('alice'), client_id: 'another' }),
  ),
  badRenewal('renews with nothing', ['P-7.9'], 'unauthorized', () => ''),
  {
    name: 'renews in a way that would keep the token somewhere',
    clauses: ['P-7.9', 'P-7.10'],
    code: 'bad-request',
    ...mqtt(async (attack) => {
      const token = await attack.world.tokens.of('alice')
      for (const options of [{ retain: true }, { qos: 2 as const }, { retain: true, qos: 0 as const }]) {
        const client = await attack.client(token)
        client.publishNow('auth/renew', token, options)
        await client.gone('a renewal with retain or QoS 2')
      }
    }),
    http: noSessions,
  },
  {
    name: 'shows a revoked token',
    clauses: ['P-10.25', 'P-7.8', 'P-7.16', 'P-11.6'],
    code: 'unauthorized',
    ...mqtt(async (attack) => {
      const token = await attack.world.tokens.of('carol')
      const client = await attack.client(token, { clientId: 'carols' })
      await client.subscribe('reply/carols/$ctl')
      await revoke(attack, token)
      expect(JSON.parse((await client.message('reply/carols/$ctl')).text)).to.deep.equal({ ctl: 'revoked' })
      await client.gone('after its token was revoked')
      expect(await attack.connack({ password: token })).to.equal(4)
    }),
    async http(attack) {
      const token = await attack.world.tokens.of('carol')
      const broker = await exchanged(attack, { subject_token: token })
      await revoke(attack, token)
      problem(await attack.http('/v1/streams/users/carol/entries', { token }), 'unauthorized')
      problem(await attack.http('/v1/streams/users/carol/entries', { token: broker }), 'unauthorized')
    },
  },
]

async function revoke(attack: Attacker, token: string): Promise<void> {
  const { jti } = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as { jti: string }
  const operator = await attack.world.tokens.of('operator', { claims: { grants: ['ops:revoke'] } })
  expect((await attack.http('/v1/revocations', { token: operator, json: { jti } })).status).to.equal(204)
}
