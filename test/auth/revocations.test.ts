import { expect } from 'chai'
import type { Authority, Principal, RevocationRequest } from '../../auth/index.ts'
import { exchangeGrantType, jwtTokenType } from '../../auth/index.ts'
import { closeAll, documentsWithKey, hmacIssuer, ManualClock, open, refusal, sign, startMs, TestHints, type Setting } from './support.ts'

const now = Math.floor(startMs / 1000)
const config = { issuers: [{ ...hmacIssuer, mayGrant: true }] }

const admin = async (authority: Authority): Promise<Principal> =>
  authority.authenticate(await sign({ claims: { sub: 'admin', jti: 'admin', grants: ['ops:revoke'] } }), undefined)

const revoke = async (authority: Authority, request: RevocationRequest) => authority.revoke(await admin(authority), request)

const connect = async (authority: Authority, claims: Record<string, unknown> = {}, client = 'phone') =>
  authority.authenticate(await sign({ claims }), client)

/** Resolves at the next change; the test fails by its time-out if none comes. */
const change = (authority: Authority) =>
  new Promise<void>((resolve) => {
    const stop = authority.onChange(() => {
      stop()
      resolve()
    })
  })

describe('a revocation', () => {
  afterEach(closeAll)

  it('of a user refuses and unmasks every token issued until now, before it resolves [P-10.25]', async () => {
    const { authority, clock } = await open({ config })
    const alice = await connect(authority)
    const bob = await connect(authority, { sub: 'bob', jti: 'bob' })
    let changes = 0
    authority.onChange(() => changes++)
    clock.ms += 5_000
    await revoke(authority, { uid: 'alice' })
    expect(changes).to.equal(1)
    expect(authority.isRevoked(alice)).to.equal(true)
    expect(authority.isRevoked(bob)).to.equal(false)
    await refusal(connect(authority), 'unauthorized', /revoked/)
    await connect(authority, { sub: 'bob' })
    await refusal(authority.renew(alice, await sign({ claims: { jti: 'other' } }), 'phone'), 'unauthorized', /revoked/)
  })

  it('counts a token issued in its own second as issued before, and the next second as after', async () => {
    const { authority } = await open({ config })
    await revoke(authority, { uid: 'alice' })
    await refusal(connect(authority, { iat: now, jti: 'new' }), 'unauthorized', /revoked/)
    await refusal(connect(authority, { iat: now + 0.9, jti: 'new' }), 'unauthorized', /revoked/)
    await connect(authority, { iat: now + 1, jti: 'new' })
  })

  it('of a user before a time leaves later tokens alone, and an earlier one does not undo a later one', async () => {
    const { authority } = await open({ config })
    await revoke(authority, { uid: 'alice', before: now - 100 })
    await refusal(connect(authority, { iat: now - 100 }), 'unauthorized', /revoked/)
    const later = await connect(authority, { iat: now - 99 })
    await revoke(authority, { uid: 'alice', before: now - 50 })
    await revoke(authority, { uid: 'alice', before: now - 80 })
    expect(authority.isRevoked(later)).to.equal(true)
    await connect(authority, { iat: now - 49 })
  })

  it('of one client closes that client, by bound and by unbound tokens, and no other', async () => {
    const { authority, clock } = await open({ config })
    const phone = await connect(authority)
    const laptop = await connect(authority, {}, 'laptop')
    const { access_token } = await authority.exchange({
      grant_type: exchangeGrantType,
      subject_token: await sign(),
      subject_token_type: jwtTokenType,
      client_id: 'phone',
    })
    const bound = await authority.authenticate(access_token, undefined)
    await revoke(authority, { uid: 'alice', client: 'phone' })
    expect([phone, laptop, bound].map((one) => authority.isRevoked(one))).to.deep.equal([true, false, true])
    await refusal(connect(authority), 'unauthorized', /revoked/)
    await refusal(authority.authenticate(access_token, undefined), 'unauthorized', /revoked/)
    await connect(authority, {}, 'laptop')
    clock.ms += 1_000
    await connect(authority, { iat: now + 1 })
  })

  it('of a jti covers the token and all made from it, and no other', async () => {
    const { authority } = await open({ config })
    const form = { grant_type: exchangeGrantType, subject_token_type: jwtTokenType }
    const { access_token } = await authority.exchange({ ...form, subject_token: await sign() })
    const again = (await authority.exchange({ ...form, subject_token: access_token })).access_token
    const other = await connect(authority, { jti: 'jti-2' })
    await revoke(authority, { jti: 'jti-1' })
    for (const token of [await sign(), access_token, again])
      await refusal(authority.authenticate(token, undefined), 'unauthorized', /revoked/)
    await refusal(authority.exchange({ ...form, subject_token: again }), 'unauthorized', /revoked/)
    expect(authority.isRevoked(other)).to.equal(false)
  })

  it('needs the grant ops:revoke, and is logged with who did it', async () => {
    const { authority, logger, refusals } = await open({ config })
    const alice = await connect(authority)
    await refusal(authority.revoke(alice, { uid: 'bob' }), 'forbidden', /ops:revoke/)
    expect(refusals).to.deep.equal(['auth forbidden'])
    await revoke(authority, { uid: 'bob' })
    expect(logger.audits('revoked')[0]).to.include({ by: 'admin', uid: 'bob' })
  })

  const malformed: [string, RevocationRequest][] = [
    ['nothing', {}],
    ['a uid and a jti', { uid: 'alice', jti: 'x' }],
    ['a client without a uid', { client: 'phone' }],
    ['a client and a time', { uid: 'alice', client: 'phone', before: now }],
    ['a uid that is not canonical', { uid: 'alice smith' }],
    ['a client that is not encoded', { uid: 'alice', client: 'my phone' }],
    ['a time with a fraction', { uid: 'alice', before: now - 0.5 }],
    ['a time in milliseconds, far in the future', { uid: 'alice', before: now * 1000 }],
    ['a jti that is a number', { jti: 7 as unknown as string }],
    ['an empty jti', { jti: '' }],
  ]
  for (const [what, request] of malformed) {
    it(`is refused with ${what}`, async () => {
      const { authority } = await open({ config })
      await refusal(revoke(authority, request), 'bad-request', /./)
    })
  }

  it('is refused while a hundred thousand are in force', async () => {
    const documents = await documentsWithKey()
    const held = Array.from({ length: 100_000 }, (_, at) => ({
      key: `r/jti/${at}`,
      value: { jti: `${at}`, untilMs: startMs + 1e9 },
      generation: 0,
      owner: '',
    }))
    const list = documents.list.bind(documents)
    documents.list = (collection, options) =>
      collection === 'revocations' ? Promise.resolve(options.after === 'r/' ? held : []) : list(collection, options)
    const { authority } = await open({ config, documents })
    await refusal(revoke(authority, { uid: 'alice' }), 'too-many-requests', /100000/)
    await refusal(connect(authority, { jti: '99999' }), 'unauthorized', /revoked/)
  })

  it('survives a restart [P-10.26], and is forgotten when no token it matches can be alive', async () => {
    const documents = await documentsWithKey()
    const clock = new ManualClock()
    const first = await open({ config, documents, clock })
    await revoke(first.authority, { uid: 'alice' })
    await revoke(first.authority, { jti: 'jti-9' })
    await revoke(first.authority, { uid: 'alice', client: 'phone' })
    clock.ms += 86_400_000
    const second = await open({ config, documents, clock })
    const held = { iat: now, exp: now + 86_400 }
    await refusal(connect(second.authority, held), 'token-expired', /expired/)
    expect(await documents.list('revocations', { prefix: 'r/', limit: 10 })).to.have.lengthOf(3)
    clock.ms += 32_000
    await open({ config, documents, clock })
    expect(await documents.list('revocations', { prefix: 'r/', limit: 10 })).to.have.lengthOf(0)
  })
})

describe('revocations on several nodes', () => {
  afterEach(closeAll)

  async function pair(settings: [Setting, Setting]) {
    const documents = await documentsWithKey()
    const clock = new ManualClock()
    const nodes = await Promise.all(settings.map((setting) => open({ config, documents, clock, ...setting })))
    return { documents, clock, a: nodes[0]!.authority, b: nodes[1]!.authority, logger: nodes[1]!.logger }
  }

  it('reach the others at once by a hint', async () => {
    const hints = new TestHints()
    const { a, b } = await pair([{ hints: hints.node() }, { hints: hints.node() }])
    const alice = await connect(b)
    const changed = change(b)
    await revoke(a, { uid: 'alice' })
    await changed
    expect(b.isRevoked(alice)).to.equal(true)
    expect(hints.sent).to.equal(1)
  })

  it('reach the others by polling where every hint is lost', async () => {
    const { a, b } = await pair([{}, { limits: { revocationPollMs: 2 } }])
    const alice = await connect(b)
    const changed = change(b)
    await revoke(a, { jti: 'jti-1' })
    await changed
    expect(b.isRevoked(alice)).to.equal(true)
  })

  it('reach the others within a minute even if the revoking node died between its two writes', async () => {
    const { a, b, documents, clock } = await pair([{}, { limits: { revocationPollMs: 2 } }])
    const alice = await connect(b)
    const put = documents.put.bind(documents)
    documents.put = (collection, key, value) => (key === 'changed' ? Promise.reject(new Error('killed')) : put(collection, key, value))
    await refusal(revoke(a, { uid: 'alice' }), 'internal', /killed/)
    expect(a.isRevoked(alice)).to.equal(true)
    const revoked = new Promise<void>((resolve) => {
      b.onChange(() => {
        if (b.isRevoked(alice)) resolve()
      })
    })
    clock.ms += 60_000
    await revoked
  })

  it('that cannot be read make a node blind after 5 s, told on both edges, and they are read again by themselves [P-10.26]', async () => {
    const { b, documents, clock, logger } = await pair([{}, { limits: { revocationPollMs: 2 } }])
    const get = documents.get.bind(documents)
    const failed = new Promise<void>((resolve) => {
      documents.get = (collection, key) => {
        if (collection !== 'revocations') return get(collection, key)
        resolve()
        return Promise.reject(new Error('no store'))
      }
    })
    await failed
    clock.ms += 5_000
    expect(b.blind).to.equal(false)
    const blinded = change(b)
    clock.ms += 1
    expect(b.blind).to.equal(true)
    await blinded
    const seeing = change(b)
    documents.get = get
    await seeing
    expect(b.blind).to.equal(false)
    expect(logger.lines.some(({ level, message }) => level === 'error' && message.includes('nothing is delivered'))).to.equal(true)
  })

  it('whose reading hangs make a node blind as well, and so does a clock set back', async () => {
    const { b, documents, clock } = await pair([{}, { limits: { revocationPollMs: 2 } }])
    let release = () => {}
    const get = documents.get.bind(documents)
    const hanging = new Promise<void>((resolve) => {
      documents.get = () =>
        new Promise((answer) => {
          release = () => answer(undefined)
          resolve()
        })
    })
    await hanging
    expect(b.blind).to.equal(false)
    clock.ms -= 1
    expect(b.blind).to.equal(true)
    clock.ms += 1 + 5_001
    const blinded = change(b)
    await blinded
    expect(b.blind).to.equal(true)
    documents.get = get
    release()
  })
})
