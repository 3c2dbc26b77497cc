import { createPrivateKey, createPublicKey, type JsonWebKey } from 'node:crypto'
import { expect } from 'chai'
import { decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT } from 'jose'
import { exchangeGrantType, jwtTokenType, oauthError, type Authority, type ExchangeRequest } from '../../auth/index.ts'
import { MemoryDocuments } from '../../seams/memory-documents.ts'
import { SyncError, type ErrorCode } from '../../protocol/errors.ts'
import { audience, closeAll, documentsWithKey, hmacIssuer, httpUrl, ManualClock, open, refusal, rsa, sign, startMs } from './support.ts'

const now = Math.floor(startMs / 1000)

const form = (subject_token: string, more: Partial<ExchangeRequest> = {}): ExchangeRequest => ({
  grant_type: exchangeGrantType,
  subject_token,
  subject_token_type: jwtTokenType,
  ...more,
})

const tokenFrom = async (authority: Authority, more: Partial<ExchangeRequest> = {}, claims: Record<string, unknown> = {}) =>
  (await authority.exchange(form(await sign({ claims }), more))).access_token

describe('the token exchange', () => {
  afterEach(closeAll)

  it('answers as RFC 8693 says, and where to go with the token [P-10.19]', async () => {
    const { authority } = await open()
    const { access_token, limits, scope, ...rest } = await authority.exchange(form(await sign(), { client_id: 'my phone' }))
    expect(rest).to.deep.equal({
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3600,
      client_id: 'my=20phone',
      mqtt_url: 'mqtt://127.0.0.1:1883',
      http_url: httpUrl,
    })
    expect(limits).to.include({ topicLevelsMax: 8, payloadBytesMax: 94_208, clientIdBytesMax: 128 })
    expect(scope.split(' ')).to.include.members(['publish:users/alice/#', 'subscribe:reply/my=20phone/#'])
    expect(access_token.split('.')).to.have.lengthOf(3)
  })

  it('gives a token that carries uid, jti and original iat, and verifies with the published keys [P-10.20]', async () => {
    const { authority, clock } = await open()
    clock.ms += 600_000
    const token = await tokenFrom(authority, { client_id: 'phone' })
    const { kid, ...header } = decodeProtectedHeader(token)
    expect(header).to.deep.equal({ alg: 'RS256', typ: 'tidemark+jwt' })
    const { scope, ...claims } = decodeJwt(token)
    expect(scope).to.be.a('string')
    expect(claims).to.deep.equal({
      iss: httpUrl,
      aud: audience,
      sub: 'alice',
      iat: now + 600,
      oiat: now,
      exp: now + 3600,
      jti: 'jti-1',
      client_id: 'phone',
    })
    const { keys } = authority.jwks()
    const key = keys.find((one) => 'kid' in one && one.kid === kid) as JsonWebKey
    expect(Object.keys(key).sort()).to.deep.equal(['alg', 'e', 'kid', 'kty', 'n', 'use'])
    await jwtVerify(token, createPublicKey({ key, format: 'jwk' }), { currentDate: new Date(clock.ms) })
  })

  it('gives at most an hour, and never more than the subject has left [P-10.20, P-13.34]', async () => {
    const { authority, clock } = await open()
    expect(decodeJwt(await tokenFrom(authority, {}, { exp: now + 7200 })).exp).to.equal(now + 3600)
    expect(decodeJwt(await tokenFrom(authority, {}, { exp: now + 60.9 })).exp).to.equal(now + 60)
    clock.ms += 60_000
    await refusal(tokenFrom(authority, {}, { exp: now + 60.9 }), 'token-expired', /about to expire/)
  })

  it('uses a hash for a subject without jti, the same for all made from it', async () => {
    const { authority } = await open()
    const subject = await sign({ claims: { jti: undefined } })
    const direct = await authority.authenticate(subject, undefined)
    const first = (await authority.exchange(form(subject))).access_token
    const second = (await authority.exchange(form(first, { client_id: 'phone' }))).access_token
    for (const token of [first, second]) expect((await authority.authenticate(token, 'phone')).jti).to.equal(direct.jti)
  })

  it('gives a token that is its user, bound to its client [P-10.22]', async () => {
    const { authority } = await open()
    const token = await tokenFrom(authority, { client_id: 'phone' })
    const principal = await authority.authenticate(token, 'phone')
    expect(principal).to.include({ uid: 'alice', client: 'phone', kind: 'broker', jti: 'jti-1', issuedAtMs: now * 1000 })
    expect((await authority.authenticate(token, undefined)).client).to.equal('phone')
    await refusal(authority.authenticate(token, 'laptop'), 'forbidden', /bound to another client/)
    const unbound = await authority.authenticate(await tokenFrom(authority), 'laptop')
    expect(unbound.grants.covers('subscribe', 'reply/laptop/#')).to.equal(true)
  })

  it('only ever narrows, along a chain of exchanges [P-10.21]', async () => {
    const { authority, clock } = await open()
    const chain = [
      'publish:users/alice/# subscribe:users/alice/#',
      'publish:users/alice/notes/# subscribe:users/alice/notes/#',
      'publish:users/alice/notes/1',
    ]
    let token = await sign()
    let exp = Infinity
    for (const [at, scope] of chain.entries()) {
      clock.ms += 1_000
      const response = await authority.exchange(form(token, { scope }))
      expect(response.scope).to.equal(scope)
      for (const wider of chain.slice(0, at)) {
        const error = await refusal(authority.exchange(form(response.access_token, { scope: wider })), 'forbidden', /wider than the token/)
        expect(oauthError(error)).to.deep.include({ status: 400 })
        expect(oauthError(error).body.error).to.equal('invalid_scope')
      }
      const claims = decodeJwt(response.access_token)
      expect(claims['oiat']).to.equal(now)
      expect(claims.exp).to.be.at.most(exp)
      exp = Number(claims.exp)
      token = response.access_token
    }
    const { grants } = await authority.authenticate(token, undefined)
    expect(grants.texts).to.deep.equal([chain[2]])
  })

  it('binds a token once: an unbound one may be bound, a bound one stays with its client', async () => {
    const { authority } = await open()
    const bound = (await authority.exchange(form(await tokenFrom(authority), { client_id: 'phone' }))).access_token
    expect((await authority.exchange(form(bound))).client_id).to.equal('phone')
    const error = await refusal(authority.exchange(form(bound, { client_id: 'laptop' })), 'forbidden', /another client/)
    expect(oauthError(error).body.error).to.equal('invalid_grant')
  })

  const refusals: [string, (token: string) => ExchangeRequest, ErrorCode, string][] = [
    ['no grant_type', (token) => ({ ...form(token), grant_type: '' }), 'bad-request', 'invalid_request'],
    ['another grant_type', (token) => form(token, { grant_type: 'password' }), 'bad-request', 'unsupported_grant_type'],
    ['no subject_token', () => form(''), 'bad-request', 'invalid_request'],
    ['another subject_token_type', (token) => form(token, { subject_token_type: 'urn:x' }), 'bad-request', 'invalid_request'],
    ['a subject_token that is none', () => form('hunter2'), 'unauthorized', 'invalid_grant'],
    ['a scope of another user', (token) => form(token, { scope: 'publish:users/bob/#' }), 'forbidden', 'invalid_scope'],
    ['a scope that is no grant', (token) => form(token, { scope: 'openid' }), 'bad-request', 'invalid_scope'],
    ['a scope with a bare verb beyond the token', (token) => form(token, { scope: 'tap' }), 'forbidden', 'invalid_scope'],
    ['a client_id that is not Unicode', (token) => form(token, { client_id: '\ud800' }), 'bad-request', 'invalid_request'],
    ['a client_id that is too long', (token) => form(token, { client_id: 'x'.repeat(129) }), 'bad-request', 'invalid_request'],
  ]
  for (const [what, request, code, name] of refusals) {
    it(`refuses ${what} as ${name}, counted and logged`, async () => {
      const { authority, logger, refusals: counted } = await open()
      const error = await refusal(authority.exchange(request(await sign())), code, /./)
      const { status, body } = oauthError(error)
      expect({ status, error: body.error }).to.deep.equal({ status: 400, error: name })
      expect(body.error_description).to.match(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
      expect(counted).to.deep.equal([`auth ${code}`])
      expect(logger.audits('refused')).to.have.lengthOf(1)
    })
  }

  it('refuses an expired subject, and a scope that makes a token nobody would read', async () => {
    const { authority } = await open()
    const error = await refusal(tokenFrom(authority, {}, { exp: now - 5, iat: now - 100 }), 'token-expired', /expired/)
    expect(oauthError(error).body.error).to.equal('invalid_grant')
    const spaces = Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`board-number-${at}`, 'own']))
    const long = await refusal(tokenFrom(authority, {}, { spaces }), 'bad-request', /longer than 8192/)
    expect(oauthError(long).body.error).to.equal('invalid_scope')
  })

  it('tells nothing about failures of its own', () => {
    expect(oauthError(new Error('secret detail'))).to.deep.equal({
      status: 500,
      body: { error: 'server_error', error_description: 'The server failed' },
    })
    expect(oauthError(new SyncError('store-unavailable', 'detail')).body.error).to.equal('temporarily_unavailable')
    expect(oauthError(new SyncError('bad-request', 'say "é\n"')).body.error_description).to.equal("say '??'")
  })

  it('leaves one audit line per exchange, without a token [P-10.29]', async () => {
    const { authority, logger } = await open()
    const subject = await sign()
    const { access_token } = await authority.exchange(form(subject, { scope: 'publish:users/alice/a', client_id: 'phone' }))
    expect(logger.audits('exchange')).to.deep.equal([
      { audit: 'exchange', uid: 'alice', client: 'phone', jti: 'jti-1', scope: 'publish:users/alice/a', exp: now + 3600 },
    ])
    for (const part of [...subject.split('.'), ...access_token.split('.')]) expect(JSON.stringify(logger.lines)).to.not.include(part)
  })
})

describe('a broker token', () => {
  afterEach(closeAll)

  const forged: [string, Record<string, unknown>, Record<string, unknown>][] = [
    ['of an unknown key', { alg: 'RS256', kid: 'unknown' }, {}],
    ['without kid', { alg: 'RS256' }, {}],
    ['signed with another key under a known kid', { alg: 'RS256', kid: 'known' }, {}],
  ]
  for (const [what, header, claims] of forged) {
    it(`${what} is refused`, async () => {
      const { authority } = await open()
      const real = await tokenFrom(authority)
      const kid = header['kid'] === 'known' ? { kid: String(decodeProtectedHeader(real).kid) } : {}
      const token = await new SignJWT({ ...decodeJwt(real), ...claims })
        .setProtectedHeader({ ...header, alg: 'RS256', typ: 'tidemark+jwt', ...kid })
        .sign(rsa.privateKey)
      await refusal(authority.authenticate(token, undefined), 'unauthorized', /kid|signature/)
    })
  }

  it('is no app token, and an app token no broker token, whatever it says of itself', async () => {
    const { authority } = await open({ config: { issuers: [hmacIssuer, { ...hmacIssuer, issuer: httpUrl, prefix: 'x' }] } })
    const dressed = await sign({ header: { typ: 'tidemark+jwt' }, claims: { iss: httpUrl, scope: 'ops:revoke', oiat: now } })
    await refusal(authority.authenticate(dressed, undefined), 'unauthorized', /kid/)
  })

  it('with the claims of another release is refused, though its signature is ours', async () => {
    const { authority, documents } = await open()
    const real = await tokenFrom(authority)
    const [stored] = await documents.list('keys', { limit: 1 })
    if (!stored) expect.fail('no key is stored')
    const { pem } = stored.value as { pem: string }
    const key = createPrivateKey(pem)
    for (const claims of [{ scope: 7 }, { oiat: 'now' }, { client_id: 'a b' }, { client_id: 7 }, { sub: 'a b' }]) {
      const header = { alg: 'RS256', typ: 'tidemark+jwt', kid: stored.key }
      const token = await new SignJWT({ ...decodeJwt(real), ...claims }).setProtectedHeader(header).sign(key)
      await refusal(authority.authenticate(token, undefined), 'unauthorized', /claims of another release/)
    }
  })

  it('of another audience or address is refused', async () => {
    const documents = await documentsWithKey()
    const here = await open({ documents })
    const elsewhere = await open({ documents, config: { httpUrl: 'https://elsewhere.example' } })
    await refusal(here.authority.authenticate(await tokenFrom(elsewhere.authority), undefined), 'unauthorized', /another issuer/)
    const other = await open({ documents, config: { audience: 'other' } })
    const token = (await other.authority.exchange(form(await sign({ claims: { aud: 'other' } })))).access_token
    await refusal(here.authority.authenticate(token, undefined), 'unauthorized', /audience/)
  })

  it('is refused from its exp on', async () => {
    const { authority, clock } = await open()
    const token = await tokenFrom(authority)
    clock.ms = (now + 3600) * 1000 - 1
    await authority.authenticate(token, undefined)
    clock.ms += 1
    await refusal(authority.authenticate(token, undefined), 'token-expired', /expired/)
  })

  it('of one node is good on the other, also when both started on an empty store', async () => {
    const documents = new MemoryDocuments()
    const clock = new ManualClock()
    const nodes = await Promise.all([open({ documents, clock }), open({ documents, clock })])
    clock.ms += 1_000
    for (const { authority } of nodes) {
      const token = await tokenFrom(authority)
      for (const other of nodes) expect((await other.authority.authenticate(token, undefined)).uid).to.equal('alice')
    }
  })

  it('outlives a rotation until its end, on both nodes, and no key signs after it was retired', async () => {
    const documents = await documentsWithKey()
    const clock = new ManualClock()
    const a = (await open({ documents, clock })).authority
    const b = (await open({ documents, clock })).authority
    const long = { exp: now + 80_000 }
    const old = await tokenFrom(a, {}, long)
    const oldKid = decodeProtectedHeader(old).kid
    clock.ms += 1_000
    await a.rotateKey()
    const byB = await tokenFrom(b, {}, long)
    const newKid = decodeProtectedHeader(byB).kid
    expect(newKid).to.not.equal(oldKid)
    for (const node of [a, b]) {
      for (const token of [old, byB]) await node.authenticate(token, undefined)
      expect(node.jwks().keys.map((key) => 'kid' in key && key.kid)).to.have.members([oldKid, newKid])
    }
    const stored = await documents.list('keys', { limit: 10 })
    expect(stored.filter(({ value }) => 'pem' in (value as object)).map(({ key }) => key)).to.deep.equal([newKid])
    clock.ms += 3_600_000 + 60_000
    await tokenFrom(b, {}, long)
    expect(b.jwks().keys.map((key) => 'kid' in key && key.kid)).to.deep.equal([newKid])
    expect(await documents.get('keys', String(oldKid))).to.equal(undefined)
  })

  it('cannot be signed by ever more keys', async () => {
    const { authority, documents } = await open()
    const [stored] = await documents.list('keys', { limit: 1 })
    for (let at = 1; at < 50; at++) await documents.put('keys', `key-${at}`, stored?.value)
    await refusal(authority.rotateKey(), 'too-many-requests', /50 keys/)
  })

  it('of a key just made elsewhere makes the keys be read again, at most every second', async () => {
    const documents = await documentsWithKey()
    const clock = new ManualClock()
    const a = (await open({ documents, clock })).authority
    const b = (await open({ documents, clock })).authority
    await a.rotateKey()
    const token = await tokenFrom(a)
    let reads = 0
    const list = documents.list.bind(documents)
    documents.list = (collection, options) => {
      if (collection === 'keys') reads++
      return list(collection, options)
    }
    await refusal(b.authenticate(token, undefined), 'unauthorized', /kid/)
    expect(reads).to.equal(0)
    clock.ms += 1_000
    await b.authenticate(token, undefined)
    expect(reads).to.equal(1)
    const forgedToken = await new SignJWT({}).setProtectedHeader({ alg: 'RS256', typ: 'tidemark+jwt', kid: 'forged' }).sign(rsa.privateKey)
    for (let attempt = 0; attempt < 5; attempt++) await refusal(b.authenticate(forgedToken, undefined), 'unauthorized', /kid/)
    expect(reads).to.equal(1)
  })
})

describe('renewal', () => {
  afterEach(closeAll)

  it('takes a fresh token of the same user and client, with its grants [P-10.24]', async () => {
    const { authority } = await open()
    const current = await authority.authenticate(await sign(), 'phone')
    const renewed = await authority.renew(current, await sign({ claims: { exp: now + 7200, spaces: { b: 'read' } } }), 'phone')
    expect(renewed.expiresAtMs).to.equal((now + 7200) * 1000)
    expect(renewed.grants.allows('subscribe', 'spaces/b/x')).to.equal(true)
    expect(renewed.grants.covers('subscribe', 'reply/phone/#')).to.equal(true)
  })

  it('refuses a token of another user, of another client, expired or forged', async () => {
    const { authority, logger } = await open()
    const current = await authority.authenticate(await sign(), 'phone')
    await refusal(authority.renew(current, await sign({ claims: { sub: 'bob' } }), 'phone'), 'forbidden', /another user/)
    const ofLaptop = await tokenFrom(authority, { client_id: 'laptop' })
    await refusal(authority.renew(current, ofLaptop, 'phone'), 'forbidden', /another client/)
    await refusal(authority.renew(current, await sign({ claims: { exp: now - 1 } }), 'phone'), 'token-expired', /expired/)
    await refusal(authority.renew(current, '', 'phone'), 'unauthorized', /needed/)
    expect(logger.audits('refused').map(({ door }) => door)).to.deep.equal(['renew', 'renew', 'renew', 'renew'])
  })
})
