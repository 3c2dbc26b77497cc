/** `/v1/token`, `/v1/revocations` and the keys. */
import { expect } from 'chai'
import { ask, makeWorld, refusals, type Answer, type World } from './support.ts'

const type = 'application/x-www-form-urlencoded'
const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange'

describe('bridge: tokens', () => {
  let world: World
  beforeEach(async () => void (world = await makeWorld()))
  afterEach(() => world.close())

  const exchange = (body: string, headers: Record<string, string> = { 'content-type': type }): Promise<Answer> =>
    ask(world, '/v1/token', { method: 'POST', body, headers })

  it('the form reaches the exchange as it is, empty and unknown fields left out; the answer is not stored [P-10.18] [P-10.19]', async () => {
    const form = new URLSearchParams({
      grant_type: grantType,
      subject_token: 'alice',
      scope: 'subscribe:users/alice/a#b tap',
      client_id: '',
      resource: 'x',
    })
    const { status, body, headers } = await exchange(form.toString())
    expect(status).to.equal(200)
    expect(body).to.include({ access_token: 'made', token_type: 'Bearer', expires_in: 3600, http_url: 'http://localhost:8080' })
    expect(headers.get('cache-control')).to.equal('no-store')
    expect(headers.get('content-type')).to.match(/^application\/json/)
    expect(world.authority.exchanges).to.deep.equal([
      { grant_type: grantType, subject_token: 'alice', scope: 'subscribe:users/alice/a#b tap' },
    ])
  })

  it('needs no Authorization header, and ignores one [P-11.5]', async () => {
    const answer = await exchange('subject_token=alice', { 'content-type': type, authorization: 'Bearer nobody' })
    expect(answer.status).to.equal(200)
  })

  it('refuses in the words of RFC 6749 section 5.2, not stored, counted and logged once [P-10.19] [P-10.29]', async () => {
    const cases: [string, string, number, string][] = [
      ['', type, 400, 'invalid_request'],
      ['grant_type=x', type, 400, 'invalid_request'],
      ['subject_token=alice&subject_token=bob', type, 400, 'invalid_request'],
      ['subject_token=nobody', type, 400, 'invalid_grant'],
      ['subject_token=late', type, 400, 'invalid_grant'],
      ['subject_token=down', type, 503, 'temporarily_unavailable'],
      ['subject_token=broken', type, 500, 'server_error'],
      ['{"subject_token":"alice"}', 'application/json', 400, 'invalid_request'],
      ['subject_token=alice', 'text/plain', 400, 'invalid_request'],
      [`subject_token=${'x'.repeat(140_000)}`, type, 413, 'invalid_request'],
    ]
    for (const [form, contentType, status, error] of cases) {
      const answer = await exchange(form, { 'content-type': contentType })
      expect([answer.status, answer.body['error']], form.slice(0, 40)).to.deep.equal([status, error])
      expect(answer.body).to.have.all.keys('error', 'error_description')
      expect(answer.headers.get('cache-control')).to.equal('no-store')
      expect(answer.headers.get('content-type')).to.match(/^application\/json/)
      expect(answer.text).to.not.include('secret detail')
    }
    expect(world.lines.filter((line) => line.includes('"code"'))).to.have.length(cases.length)
    expect(await refusals(world, 'unauthorized')).to.equal(1)
    expect(await refusals(world, 'payload-too-large')).to.equal(1)
  })

  it('a revocation is 204 and reaches the authority as it is [P-11.6] [P-10.25]', async () => {
    for (const json of [{ uid: 'alice', before: 17 }, { uid: 'alice', client: 'phone' }, { jti: 'x' }]) {
      const { status, text } = await ask(world, '/v1/revocations', { token: 'ops', json })
      expect([status, text]).to.deep.equal([204, ''])
      expect(world.authority.revocations.at(-1)).to.deep.equal(json)
    }
  })

  it('revoking needs ops:revoke and a body of the right shape; too many are 429 with Retry-After [P-11.6]', async () => {
    const revoke = (token: string, body: string): Promise<Answer> =>
      ask(world, '/v1/revocations', { token, body, headers: { 'content-type': 'application/json' } })
    const forbidden = await revoke('alice', '{"uid":"bob"}')
    expect([forbidden.status, forbidden.body['code']]).to.deep.equal([403, 'forbidden'])
    for (const body of ['', '{', '[]', '"x"', '{"uid":5}', '{"uid":"a","before":"now"}', '{"before":1.5,"uid":"a"}', '{"jti":{}}']) {
      const answer = await revoke('ops', body)
      expect([answer.status, answer.body['code']], body).to.deep.equal([400, 'bad-request'])
    }
    const many = await revoke('ops', '{"uid":"many"}')
    expect([many.status, many.body['code']]).to.deep.equal([429, 'too-many-requests'])
    expect(Number(many.headers.get('retry-after'))).to.be.greaterThan(0)
    expect(world.authority.revocations).to.have.length(0)
  })

  it('the key set is there for everybody, and holds what the authority gives [P-11.7]', async () => {
    const { status, body, headers } = await ask(world, '/.well-known/jwks.json')
    expect([status, headers.get('content-type')]).to.deep.equal([200, 'application/jwk-set+json'])
    expect(body).to.deep.equal(world.authority.jwks())
  })
})
