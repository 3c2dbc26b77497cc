/** What came with the console: tokens for its secret, and the list of sessions. */
import { expect } from 'chai'
import { noMqtt, type Attack, type Attacker } from '../cells.ts'
import { Victim } from '../world.ts'
import { problem } from './expecting.ts'

const tokenRoute = '/v1/dev/token'

export const consoleRows: readonly Attack[] = [
  {
    name: 'guesses the secret of the console',
    clauses: ['P-19.4'],
    code: 'forbidden',
    ...noMqtt('tokens are made over HTTP only'),
    async http(attack) {
      const secret = attack.world.dev.running.authority.consoleSecret as string
      for (const guess of ['', 'undefined', secret.slice(1), `${secret} `, secret.toUpperCase()])
        problem(await attack.http(tokenRoute, { server: 'dev', json: { secret: guess, name: 'bob' } }), 'forbidden')
      const right = await attack.http(tokenRoute, { server: 'dev', json: { secret, name: 'alice' } })
      expect(right.status, 'the secret itself, to show that the guesses prove something').to.equal(200)
    },
  },
  {
    name: 'is a page of another site that knows the secret of the console',
    clauses: ['P-19.4', 'P-10.27'],
    code: 'forbidden',
    ...noMqtt('tokens are made over HTTP only'),
    async http(attack) {
      const secret = attack.world.dev.running.authority.consoleSecret as string
      for (const origin of ['https://evil.test', 'null', 'http://localhost:1'])
        problem(await attack.http(tokenRoute, { server: 'dev', json: { secret, name: 'bob' }, headers: { origin } }), 'forbidden')
    },
  },
  {
    name: 'asks a server with an issuer for a development token',
    clauses: ['P-19.4'],
    code: 'not-found',
    ...noMqtt('tokens are made over HTTP only'),
    async http(attack) {
      const secret = attack.world.dev.running.authority.consoleSecret as string
      for (const guess of [secret, 'undefined', ''])
        problem(await attack.http(tokenRoute, { json: { secret: guess, name: 'bob' } }), 'not-found')
    },
  },
  {
    name: 'lists sessions with a token for something else',
    clauses: ['P-19.5'],
    code: 'forbidden',
    ...noMqtt('sessions are listed over HTTP only'),
    async http(attack) {
      const own = await attack.world.tokens.of('alice')
      const listed = await attack.http('/v1/sessions', { token: own })
      expect(listed.status, 'its own').to.equal(200)
      expect(JSON.stringify(listed.body)).to.not.include(Victim.sessionId)
      for (const scope of ['subscribe:users/alice/notes/#', 'publish:users/alice/#', 'subscribe:inbox/alice/#'])
        problem(await attack.http('/v1/sessions', { token: await narrowed(attack, own, scope) }), 'forbidden')
    },
  },
]

async function narrowed(attack: Attacker, subject: string, scope: string): Promise<string> {
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: subject,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    scope,
  }
  const { body } = await attack.http('/v1/token', { form })
  return attack.world.tokens.keep(body['access_token'] as string)
}
