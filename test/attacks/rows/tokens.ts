/** Tokens that prove nothing, or not enough: at CONNECT, over HTTP and in the exchange. */
import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { errorTable, type ErrorCode } from '../../../protocol/errors.ts'
import { mqtt, noMqtt, type Attack, type Attacker } from '../cells.ts'
import { guestIssuer, type Tokens } from '../world.ts'
import { problem } from './expecting.ts'

const inAnHour = (): number => Math.floor(Date.now() / 1000) + 3_600
const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 })
const foreignEd = generateKeyPairSync('ed25519')

/** CONNACK 4 (or 5), 401 (or 403), and `invalid_grant` in the exchange. */
function badToken(
  name: string,
  clauses: readonly string[],
  code: ErrorCode,
  make: (tokens: Tokens, attack: Attacker) => Promise<string> | string,
): Attack {
  return {
    name,
    clauses: [...clauses, 'P-7.16', 'P-11.34'],
    code,
    ...mqtt(async (attack) => {
      const password = await make(attack.world.tokens, attack)
      expect(await attack.connack({ password, clientId: 'anyone' })).to.equal(code === 'forbidden' ? 5 : 4)
    }),
    async http(attack) {
      const token = await make(attack.world.tokens, attack)
      problem(await attack.http('/v1/streams/users/bob/entries', { token }), code)
      problem(await attack.http('/v1/events?from=users/bob/%23@earliest', { token }), code)
      const exchange = await attack.http('/v1/token', {
        form: {
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: token,
          subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        },
      })
      expect(exchange.status, JSON.stringify(exchange.body)).to.equal(400)
      expect(exchange.body['error']).to.equal('invalid_grant')
      expect(errorTable[code].status).to.be.oneOf([401, 403])
    },
  }
}

export const tokenRows: readonly Attack[] = [
  badToken('shows a stale token', ['P-10.4'], 'token-expired', (tokens) =>
    tokens.of('bob', { claims: { iat: inAnHour() - 7_300, exp: inAnHour() - 3_601 } }),
  ),
  badToken('shows a token that is not valid yet', ['P-10.4'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { nbf: inAnHour() - 3_000 } }),
  ),
  badToken('shows a token made for later', ['P-10.5'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { iat: inAnHour() - 3_500, exp: inAnHour() } }),
  ),
  badToken('shows a token without exp', ['P-10.3'], 'unauthorized', (tokens) => tokens.of('bob', { claims: { exp: undefined } })),
  badToken('shows a token without iat', ['P-10.3'], 'unauthorized', (tokens) => tokens.of('bob', { claims: { iat: undefined } })),
  badToken('shows a token without aud', ['P-10.3'], 'unauthorized', (tokens) => tokens.of('bob', { claims: { aud: undefined } })),
  badToken('shows a token without sub', ['P-10.3', 'P-1.8'], 'unauthorized', (tokens) => tokens.of('', { claims: { sub: undefined } })),
  badToken('shows a token with an empty sub', ['P-1.8'], 'unauthorized', (tokens) => tokens.of('')),
  badToken('shows a token for another audience', ['P-10.3'], 'unauthorized', (tokens) => tokens.of('bob', { claims: { aud: 'another' } })),
  badToken('shows a token of an unknown issuer', ['P-10.3'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { iss: 'https://evil.test' } }),
  ),
  badToken('shows a token without an issuer', ['P-10.3'], 'unauthorized', (tokens) => tokens.of('bob', { claims: { iss: undefined } })),
  badToken('claims to be of the other issuer', ['P-10.2', 'P-10.8'], 'unauthorized', (tokens) =>
    tokens.guest('bob', { iss: 'https://app.test' }),
  ),
  badToken('signs for the other issuer with its own key', ['P-10.2'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { iss: guestIssuer } }),
  ),
  badToken('exchanges the claims of a good token', ['P-10.2'], 'unauthorized', (tokens) => tokens.forged('bob')),
  badToken('signs with a key of its own', ['P-10.2'], 'unauthorized', (tokens) => tokens.of('bob', { key: foreign.privateKey })),
  badToken('signs with an algorithm that is not allowed', ['P-10.2'], 'unauthorized', (tokens) =>
    tokens.of('bob', { alg: 'EdDSA', key: foreignEd.privateKey }),
  ),
  badToken('signs with nothing: alg none', ['P-10.2'], 'unauthorized', (tokens) => tokens.unsigned('bob')),
  badToken('signs with nothing: alg None', ['P-10.2'], 'unauthorized', (tokens) => tokens.unsigned('bob', 'None')),
  badToken('signs with nothing: no signature under RS256', ['P-10.2'], 'unauthorized', (tokens) => tokens.unsigned('bob', 'RS256')),
  badToken('makes an HMAC with the public key', ['P-10.2'], 'unauthorized', (tokens) => tokens.publicKeyAsSecret('bob')),
  badToken('brings its own key in the header', ['P-10.2'], 'unauthorized', (tokens) =>
    tokens.of('bob', { key: foreign.privateKey, header: { jwk: foreign.publicKey.export({ format: 'jwk' }) } }),
  ),
  badToken('asks for a header extension that nobody knows', ['P-10.2'], 'unauthorized', async (tokens) => {
    const [, claims, signature] = (await tokens.of('bob')).split('.')
    const header = Buffer.from(JSON.stringify({ alg: 'RS256', typ: 'JWT', crit: ['exp'] })).toString('base64url')
    return tokens.keep(`${header}.${claims}.${signature}`)
  }),
  badToken('shows an oversized token', ['P-10.6', 'P-13.33'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { padding: 'x'.repeat(8_192) } }),
  ),
  badToken('shows a token that lives for a year', ['P-10.25'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { exp: inAnHour() + 31_536_000 } }),
  ),
  badToken('shows what is no token', ['P-10.1'], 'unauthorized', (tokens) => tokens.keep('not-a-token')),
  badToken('shows a token without a body', ['P-10.1'], 'unauthorized', (tokens) => tokens.keep('eyJhbGciOiJSUzI1NiJ9..AAAA')),
  badToken('shows a development token although an issuer is configured', ['P-10.28'], 'unauthorized', async (tokens, attack) =>
    tokens.keep(await attack.world.main.token('bob')),
  ),
  badToken('calls an app token a broker token', ['P-10.20'], 'unauthorized', (tokens) =>
    tokens.of('bob', { header: { typ: 'tidemark+jwt', kid: 'x' } }),
  ),
  badToken('gives itself grants that its issuer may not give', ['P-10.17'], 'forbidden', (tokens) =>
    tokens.guest('bob', { grants: ['subscribe:users/bob/#'] }),
  ),
  badToken('asks for a level of a space that does not exist', ['P-10.17'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { spaces: { board: 'admin' } } }),
  ),
  badToken('names a space that is a wildcard', ['P-10.14', 'P-10.17'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { spaces: { '#': 'own' } } }),
  ),
  badToken('gives itself a grant with a wildcard in it', ['P-10.14'], 'unauthorized', (tokens) =>
    tokens.of('bob', { claims: { grants: ['subscribe:users/+/#'] } }),
  ),
  {
    name: 'is a user of the other issuer with the same subject',
    clauses: ['P-1.9', 'P-10.8'],
    code: 'forbidden',
    ...mqtt(async (attack) => {
      const client = await attack.client(await attack.world.tokens.guest('bob'))
      expect(await client.subscribe(['users/bob/#', 'users/guest~bob/#'])).to.deep.equal([0x80, 1])
    }),
    async http(attack) {
      const token = await attack.world.tokens.guest('bob')
      problem(await attack.http('/v1/streams/users/bob/entries', { token }), 'forbidden')
      expect((await attack.http('/v1/streams/users/guest~bob/entries', { token })).status).to.equal(200)
    },
  },
  {
    name: 'shows no token',
    clauses: ['P-7.16', 'P-11.34', 'P-12.10'],
    code: 'unauthorized',
    ...mqtt(async (attack) => {
      expect(await attack.connack({ clientId: 'anyone' })).to.equal(4)
      expect(await attack.connack({ clientId: 'anyone', password: '' })).to.equal(4)
    }),
    async http(attack) {
      problem(await attack.http('/v1/streams/users/bob/entries'), 'unauthorized')
      problem(await attack.http('/v1/streams/users/bob/state'), 'unauthorized')
      problem(await attack.http('/v1/events?from=users/bob/%23'), 'unauthorized')
      problem(await attack.http('/v1/streams/users/bob/entries', { json: { topic: 'x', text: 'x' } }), 'unauthorized')
      problem(await attack.http('/v1/revocations', { json: { uid: 'bob' } }), 'unauthorized')
    },
  },
  {
    name: 'shows a good token where none is looked for',
    clauses: ['P-10.1'],
    code: 'unauthorized',
    ...mqtt(async (attack) => {
      expect(await attack.connack({ clientId: 'anyone', username: await attack.world.tokens.of('bob') })).to.equal(4)
    }),
    async http(attack) {
      const token = await attack.world.tokens.of('bob')
      const path = '/v1/streams/users/bob/entries'
      problem(
        await attack.http(path, { headers: { cookie: `token=${token}; access_token=${token}; Authorization=Bearer ${token}` } }),
        'unauthorized',
      )
      problem(await attack.http(`${path}?access_token=${token}`), 'unauthorized')
      problem(await attack.http(`${path}?token=${token}`), 'unauthorized')
      problem(
        await attack.http(path, { headers: { authorization: `Basic ${Buffer.from(`bob:${token}`).toString('base64')}` } }),
        'unauthorized',
      )
      problem(await attack.http(path, { headers: { authorization: token } }), 'unauthorized')
      problem(await attack.http(path, { headers: { 'x-authorization': `Bearer ${token}` } }), 'unauthorized')
    },
  },
  {
    name: 'shows its token in the query beside the header',
    clauses: ['P-10.1', 'P-11.13'],
    code: 'bad-request',
    ...noMqtt('a CONNECT has one password'),
    async http(attack) {
      const token = await attack.world.tokens.of('bob')
      problem(await attack.http(`/v1/streams/users/bob/entries?access_token=${token}`, { token }), 'bad-request')
      problem(await attack.http(`/v1/events?from=users/bob/%23&access_token=${token}`, { token }), 'bad-request')
    },
  },
]
