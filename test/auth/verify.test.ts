import { createHmac, createSecretKey, generateKeyPairSync, sign as cryptoSign } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Algorithm, IssuerConfig } from '../../auth/index.ts'
import type { ErrorCode } from '../../protocol/errors.ts'
import { defaultLimits } from '../../seams/limits.ts'
import {
  audience,
  closeAll,
  ec,
  ed,
  hmacIssuer,
  open,
  refusal,
  rsa,
  secret,
  sign,
  startMs,
  temporaryFolder,
  type TokenRequest,
} from './support.ts'

const now = Math.floor(startMs / 1000)

describe('an app token', () => {
  afterEach(closeAll)

  it('proves its user, and gives the grants of P-10.16', async () => {
    const { authority } = await open()
    const principal = await authority.authenticate(await sign(), 'phone')
    expect(principal).to.include({ uid: 'alice', client: undefined, connectedAs: 'phone', kind: 'app', jti: 'jti-1' })
    expect(principal.issuedAtMs).to.equal(now * 1000)
    expect(principal.expiresAtMs).to.equal((now + 3600) * 1000)
    expect([...principal.grants.texts].sort()).to.deep.equal([
      'publish:outbox/alice/#',
      'publish:users/alice/#',
      'subscribe:inbox/alice/#',
      'subscribe:outbox/alice/#',
      'subscribe:reply/phone/#',
      'subscribe:users/alice/#',
    ])
  })

  it('grants no reply topics over HTTP, where there is no client', async () => {
    const { authority } = await open()
    const { grants } = await authority.authenticate(await sign(), undefined)
    expect(grants.texts.some((text) => text.includes('reply'))).to.equal(false)
  })

  it('without a jti is known by its hash', async () => {
    const { authority } = await open()
    const one = await authority.authenticate(await sign({ claims: { jti: undefined } }), 'phone')
    const other = await authority.authenticate(await sign({ claims: { jti: undefined, exp: now + 100 } }), 'phone')
    expect(one.jti).to.match(/^[A-Za-z0-9_-]{43}$/)
    expect(other.jti).to.not.equal(one.jti)
  })

  it('of an issuer with a prefix never meets the user of another issuer [P-1.9]', async () => {
    const other: IssuerConfig = { ...hmacIssuer, issuer: 'https://other.example', prefix: 'other' }
    const { authority } = await open({ config: { issuers: [hmacIssuer, other] } })
    const token = await sign({ claims: { iss: other.issuer, sub: 'alice' } })
    expect((await authority.authenticate(token, undefined)).uid).to.equal('other~alice')
    const sneaky = await sign({ claims: { sub: 'other~alice' } })
    expect((await authority.authenticate(sneaky, undefined)).uid).to.equal('other=7Ealice')
  })

  it('with a sub full of wildcards and slashes stays inside its own level', async () => {
    const { authority } = await open()
    const { uid, grants } = await authority.authenticate(await sign({ claims: { sub: 'a/#+ $SYS' } }), undefined)
    expect(uid).to.equal('a=2F=23=2B=20=24SYS')
    expect(grants.allows('publish', 'users/a/x')).to.equal(false)
  })

  const refusals: [string, TokenRequest, ErrorCode, RegExp][] = [
    ['without iss', { claims: { iss: undefined } }, 'unauthorized', /no iss/],
    ['without aud', { claims: { aud: undefined } }, 'unauthorized', /no aud/],
    ['without exp', { claims: { exp: undefined } }, 'unauthorized', /no exp/],
    ['without iat', { claims: { iat: undefined } }, 'unauthorized', /no iat/],
    ['without sub', { claims: { sub: undefined } }, 'unauthorized', /no sub/],
    ['with an empty sub', { claims: { sub: '' } }, 'unauthorized', /sub/],
    ['with a sub that is a number', { claims: { sub: 7 } }, 'unauthorized', /sub/],
    ['with a sub of lone surrogates', { claims: { sub: '\ud800' } }, 'unauthorized', /not Unicode/],
    ['of another issuer', { claims: { iss: 'https://evil.example' } }, 'unauthorized', /evil\.example" is not configured/],
    ['for another audience', { claims: { aud: 'other' } }, 'unauthorized', /audience/],
    ['for several other audiences', { claims: { aud: ['other', 'third'] } }, 'unauthorized', /audience/],
    ['expired', { claims: { exp: now - 1 } }, 'token-expired', /expired at 2029-12-31T23:59:59/],
    ['at its exp to the millisecond', { claims: { exp: startMs / 1000 } }, 'token-expired', /expired/],
    ['not yet valid', { claims: { nbf: now + 60 } }, 'unauthorized', /not valid yet/],
    ['issued 31 s in the future', { claims: { iat: now + 32 } }, 'unauthorized', /in the future/],
    ['with a text for exp', { claims: { exp: 'tomorrow' } }, 'unauthorized', /exp/],
    ['with a text for iat', { claims: { iat: 'now' } }, 'unauthorized', /iat/],
    ['that lives longer than a day', { claims: { exp: now + 86_401 } }, 'unauthorized', /lives longer/],
    [
      'signed with another secret',
      { key: createSecretKey('another secret, also longer than 32 bytes', 'utf8') },
      'unauthorized',
      /signature/,
    ],
    ['with spaces that are no object', { claims: { spaces: [] } }, 'unauthorized', /spaces/],
    ['with a space that is no canonical name', { claims: { spaces: { '#': 'read' } } }, 'unauthorized', /canonical/],
    ['with a space level that is none', { claims: { spaces: { 'board-7': 'admin' } } }, 'unauthorized', /board-7/],
    ['with a space level of the prototype', { claims: { spaces: { 'board-7': 'constructor' } } }, 'unauthorized', /board-7/],
    ['with grants that its issuer may not give [P-10.17]', { claims: { grants: [] } }, 'forbidden', /mayGrant/],
  ]
  for (const [what, request, code, message] of refusals) {
    it(`${what} is refused, counted and logged without the token [P-10.29]`, async () => {
      const { authority, logger, refusals: counted } = await open()
      const token = await sign(request)
      const error = await refusal(authority.authenticate(token, 'phone'), code, message)
      expect(counted).to.deep.equal([`auth ${code}`])
      expect(logger.audits('refused')).to.have.lengthOf(1)
      expect(logger.audits('refused')[0]).to.include({ code, client: 'phone' })
      const shown = JSON.stringify([logger.lines, error.message])
      for (const part of token.split('.')) expect(shown).to.not.include(part)
    })
  }

  it('issued 30 s ahead of our clock, or for one audience of several, is accepted [P-10.5, P-13.35]', async () => {
    const { authority } = await open()
    await authority.authenticate(await sign({ claims: { iat: now + 30, aud: ['other', audience] } }), undefined)
  })

  const garbage: [string, string | undefined, RegExp][] = [
    ['nothing', undefined, /a token is needed/],
    ['an empty text', '', /a token is needed/],
    ['a word', 'hunter2', /not a JWT/],
    ['three dots', '...', /not a JWT/],
    ['no JSON', 'e30.aaaa.aaaa', /not a JWT/],
    ['more bytes than a token may have, unread [P-10.6]', 'x'.repeat(defaultLimits.tokenBytesMax + 1), /longer than 8192 bytes/],
  ]
  for (const [what, token, message] of garbage) {
    it(`that is ${what} is refused`, async () => {
      const { authority, refusals: counted } = await open()
      await refusal(authority.authenticate(token, 'phone'), 'unauthorized', message)
      expect(counted).to.deep.equal(['auth unauthorized'])
    })
  }

  it('counts 8192 bytes, not characters', async () => {
    const { authority } = await open()
    const fill = 'x'.repeat(5_600)
    await authority.authenticate(await sign({ claims: { fill } }), undefined)
    await refusal(authority.authenticate('é'.repeat(4_097), undefined), 'unauthorized', /longer than/)
  })

  it('for another client name must be given encoded', async () => {
    const { authority } = await open()
    await refusal(authority.authenticate(await sign(), 'a/b'), 'bad-request', /encoded/)
  })

  it('with spaces grants reading, writing and owning, each with those below it [P-10.17]', async () => {
    const { authority } = await open()
    const { grants } = await authority.authenticate(await sign({ claims: { spaces: { r: 'read', w: 'write', o: 'own' } } }), undefined)
    const table = ['r', 'w', 'o'].map((id) =>
      (['subscribe', 'publish', 'own'] as const).map((verb) => grants.allows(verb, `spaces/${id}/x`)),
    )
    expect(table).to.deep.equal([
      [true, false, false],
      [true, true, false],
      [true, true, true],
    ])
  })

  it('may bring grants where its issuer may give them, and bad ones refuse it', async () => {
    const { authority } = await open({ config: { issuers: [{ ...hmacIssuer, mayGrant: true }] } })
    const { grants } = await authority.authenticate(await sign({ claims: { grants: ['publish:users/bob/#', 'ops:revoke'] } }), undefined)
    expect(grants.allows('publish', 'users/bob/x')).to.equal(true)
    expect(grants.allows('publish', 'users/alice/x')).to.equal(true)
    expect(grants.has('ops:revoke')).to.equal(true)
    await refusal(authority.authenticate(await sign({ claims: { grants: ['publish:#'] } }), undefined), 'unauthorized', /publish:#/)
    await refusal(authority.authenticate(await sign({ claims: { grants: 'tap' } }), undefined), 'unauthorized', /array/)
    await refusal(authority.authenticate(await sign({ claims: { grants: [1] } }), undefined), 'unauthorized', /array/)
  })

  it('reaches the open stream only where that is on [P-1.6]', async () => {
    for (const openEnabled of [true, false]) {
      const { authority } = await open({ config: { openEnabled } })
      const { grants } = await authority.authenticate(await sign(), undefined)
      expect(grants.allows('publish', 'open/-/legacy/x')).to.equal(openEnabled)
      expect(grants.covers('subscribe', 'open/-/#')).to.equal(openEnabled)
    }
  })

  it('can be judged by a function of the deployment', async () => {
    const { authority } = await open({
      config: { claimsToGrants: (uid, claims) => [`subscribe:spaces/${String(claims['team'])}/${uid}/#`] },
    })
    const { grants } = await authority.authenticate(await sign({ claims: { team: 'blue' } }), undefined)
    expect(grants.texts).to.deep.equal(['subscribe:spaces/blue/alice/#'])
  })
})

describe('algorithm confusion', () => {
  afterEach(closeAll)

  const pairs = { RS256: rsa, ES256: ec, EdDSA: ed } as const
  const asymmetric = Object.keys(pairs) as (keyof typeof pairs)[]
  const spki = (alg: keyof typeof pairs) => pairs[alg].publicKey.export({ type: 'spki', format: 'pem' }).toString()

  async function openWith(alg: Algorithm, kind: 'pem' | 'jwks') {
    if (alg === 'HS256') return open()
    const file = join(await temporaryFolder(), 'key')
    const jwk = { ...pairs[alg].publicKey.export({ format: 'jwk' }), kid: 'k1' }
    await writeFile(file, kind === 'pem' ? spki(alg) : JSON.stringify({ keys: [jwk] }))
    const issuer: IssuerConfig = {
      issuer: hmacIssuer.issuer,
      algorithms: [alg],
      ...(kind === 'pem' ? { publicKeyFile: file } : { jwksFile: file }),
    }
    return open({ config: { issuers: [issuer] } })
  }

  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const body = (header: object) =>
    `${part(header)}.${part({ iss: hmacIssuer.issuer, aud: audience, sub: 'alice', iat: now, exp: now + 60 })}`

  for (const kind of ['pem', 'jwks'] as const) {
    for (const alg of asymmetric) {
      it(`${alg} by ${kind}: the right key is accepted`, async () => {
        const { authority } = await openWith(alg, kind)
        const token = await sign({ alg, key: pairs[alg].privateKey, header: { kid: 'k1' } })
        expect((await authority.authenticate(token, undefined)).uid).to.equal('alice')
      })

      const other = generateKeyPairSync('ed25519')
      const attacks: Record<string, () => Promise<string> | string> = {
        'alg none': () => `${body({ alg: 'none', kid: 'k1' })}.`,
        'alg NONE with a signature': () => `${body({ alg: 'NONE', kid: 'k1' })}.aaaa`,
        'no alg': () => `${body({ kid: 'k1' })}.aaaa`,
        'an empty signature': () => `${body({ alg, kid: 'k1' })}.`,
        'HMAC with the public PEM': () => {
          const text = body({ alg: 'HS256', kid: 'k1' })
          return `${text}.${createHmac('sha256', spki(alg)).update(text).digest('base64url')}`
        },
        'HMAC with the public DER': () => {
          const text = body({ alg: 'HS256', kid: 'k1' })
          return `${text}.${createHmac('sha256', pairs[alg].publicKey.export({ type: 'spki', format: 'der' }))
            .update(text)
            .digest('base64url')}`
        },
        'another algorithm, its own key in the header': () => {
          const text = body({ alg: 'EdDSA', kid: 'k1', jwk: other.publicKey.export({ format: 'jwk' }) })
          return `${text}.${cryptoSign(null, Buffer.from(text), other.privateKey).toString('base64url')}`
        },
        'a key of the same kind, not configured': () => {
          const made =
            alg === 'RS256'
              ? generateKeyPairSync('rsa', { modulusLength: 2048 })
              : alg === 'ES256'
                ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
                : generateKeyPairSync('ed25519')
          return sign({ alg, key: made.privateKey, header: { kid: 'k1' } })
        },
        'the right signature over other claims': async () => {
          const [header, , signature] = (await sign({ alg, key: pairs[alg].privateKey, header: { kid: 'k1' } })).split('.')
          return `${header}.${part({ iss: hmacIssuer.issuer, aud: audience, sub: 'bob', iat: now, exp: now + 60 })}.${signature}`
        },
      }
      for (const [attack, make] of Object.entries(attacks)) {
        it(`${alg} by ${kind}: ${attack} is refused [P-10.2]`, async () => {
          const { authority, refusals } = await openWith(alg, kind)
          await refusal(
            authority.authenticate(await make(), undefined),
            'unauthorized',
            /alg: none|not allowed for|signature|cannot be verified|not a JWT/,
          )
          expect(refusals).to.deep.equal(['auth unauthorized'])
        })
      }
      for (const foreign of asymmetric.filter((name) => name !== alg)) {
        it(`${alg} by ${kind}: a ${foreign} token is refused by name`, async () => {
          const { authority } = await openWith(alg, kind)
          const token = await sign({ alg: foreign, key: pairs[foreign].privateKey, header: { kid: 'k1' } })
          await refusal(
            authority.authenticate(token, undefined),
            'unauthorized',
            new RegExp(`"${foreign}" is not allowed for .*allowed: ${alg}`),
          )
        })
      }
    }
  }

  it('HS256: none, other HMACs and every public-key algorithm are refused', async () => {
    const { authority } = await open()
    await refusal(authority.authenticate(`${body({ alg: 'none' })}.`, undefined), 'unauthorized', /alg: none/)
    await refusal(
      authority.authenticate(await sign({ alg: 'HS512', key: createSecretKey(secret.repeat(2), 'utf8') }), undefined),
      'unauthorized',
      /"HS512" is not allowed/,
    )
    for (const alg of asymmetric) {
      await refusal(authority.authenticate(await sign({ alg, key: pairs[alg].privateKey }), undefined), 'unauthorized', /not allowed/)
    }
  })

  it('a symmetric key in a key set is never used', async () => {
    const file = join(await temporaryFolder(), 'jwks.json')
    const oct = { kty: 'oct', k: Buffer.from(secret).toString('base64url'), kid: 'k1' }
    await writeFile(file, JSON.stringify({ keys: [oct] }))
    const { authority } = await open({ config: { issuers: [{ issuer: hmacIssuer.issuer, algorithms: ['RS256'], jwksFile: file }] } })
    await refusal(authority.authenticate(await sign({ header: { kid: 'k1' } }), undefined), 'unauthorized', /"HS256" is not allowed/)
    await refusal(
      authority.authenticate(await sign({ alg: 'RS256', key: rsa.privateKey, header: { kid: 'k1' } }), undefined),
      'unauthorized',
      /no key for the kid/,
    )
  })
})
