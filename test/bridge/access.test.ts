/** Who may ask: tokens, grants, hosts and origins. */
import { expect } from 'chai'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { ask, askRaw, history, makeWorld, refusals, speak, type World } from './support.ts'

const entries = '/v1/streams/users/alice/entries'
const state = '/v1/streams/users/alice/state'
const post = { method: 'POST', json: { topic: 'a', data: 1 } } as const

describe('bridge: access', () => {
  let world: World
  afterEach(() => world.close())

  describe('tokens', () => {
    beforeEach(async () => void (world = await makeWorld()))

    const guarded: [string, string][] = [
      ['GET', entries],
      ['POST', entries],
      ['GET', state],
      ['POST', '/v1/revocations'],
    ]
    for (const [method, path] of guarded) {
      it(`${method} ${path} without a token, or with one that is no good, is 401 with WWW-Authenticate [P-11.34]`, async () => {
        const json = method === 'POST' ? { json: {} } : {}
        const none = await ask(world, path, { method, ...json })
        expect([none.status, none.body['code'], none.headers.get('www-authenticate')]).to.deep.equal([
          401,
          'unauthorized',
          'Bearer realm="tidemark"',
        ])
        for (const [token, code] of [
          ['nobody', 'unauthorized'],
          ['late', 'token-expired'],
        ]) {
          const refused = await ask(world, path, { method, ...json, token: token as string })
          expect([refused.status, refused.body['code']]).to.deep.equal([401, code])
          expect(refused.headers.get('www-authenticate')).to.match(/^Bearer realm="tidemark", error="invalid_token"/)
        }
        world.authority.revoked.add('alice')
        const revoked = await ask(world, path, { method, ...json, token: 'alice' })
        expect([revoked.status, revoked.body['code']]).to.deep.equal([401, 'unauthorized'])
      })
    }

    it('a token counts in the Authorization header only: not in the query, a form, a cookie or another scheme [P-10.1]', async () => {
      const elsewhere = [
        askRaw(world, `${entries}?access_token=alice`, {}),
        askRaw(world, entries, { cookie: 'token=alice; Authorization=Bearer alice' }),
        askRaw(world, entries, { authorization: 'Basic YWxpY2U6YWxpY2U=' }),
        askRaw(world, entries, { authorization: 'alice' }),
        askRaw(world, entries, { authorization: 'Bearer' }),
        askRaw(world, entries, { authorization: 'Bearer alice, Bearer bob' }),
        askRaw(world, entries, { authorization: 'Bearer alice bob' }),
        askRaw(world, entries, { authorization: ['Bearer alice', 'Bearer bob'] }),
        askRaw(world, entries, { 'x-authorization': 'Bearer alice', 'proxy-authorization': 'Bearer alice' }),
      ]
      for (const answer of await Promise.all(elsewhere)) expect(answer.status, answer.text).to.equal(401)
      expect((await askRaw(world, entries, { authorization: 'bearer alice' })).status).to.equal(200)
    })

    it('the token is judged before the parameters, and before the body is read [P-11.34]', async () => {
      expect((await ask(world, `${entries}?limit=x`)).status).to.equal(401)
      expect(
        (await ask(world, entries, { method: 'POST', body: 'x'.repeat(200_000), headers: { 'content-type': 'application/json' } })).status,
      ).to.equal(401)
    })

    it('a filter is judged like a SUBSCRIBE: it must lie within one grant, and tap does not help [P-11.18] [P-1.33]', async () => {
      for (const path of [entries, state]) {
        const status = async (token: string, topic: string): Promise<number> =>
          (await ask(world, `${path}?topic=${encodeURIComponent(topic)}`, { token })).status
        expect(await status('alice', '#')).to.equal(200)
        expect(await status('bob', '#')).to.equal(403)
        expect(await status('tapper', '#')).to.equal(403)
        expect(await status('narrow', '#')).to.equal(403)
        expect(await status('narrow', '+/1')).to.equal(403)
        expect(await status('narrow', 'notes/#')).to.equal(200)
        expect(await status('narrow', 'notes/+/x')).to.equal(200)
        expect(await status('alice.phone', '#')).to.equal(200)
      }
      expect((await ask(world, '/v1/streams/spaces/board/entries', { token: 'alice' })).status).to.equal(403)
      expect((await ask(world, '/v1/streams/spaces/board/entries', { token: 'reader' })).status).to.equal(200)
    })

    it('a server that cannot learn of revocations shows nothing [P-10.26]', async () => {
      world.authority.blind = true
      for (const path of [entries, state]) {
        const { status, body, headers } = await ask(world, path, { token: 'alice' })
        expect([status, body['code'], headers.get('retry-after')]).to.deep.equal([503, 'store-unavailable', '1'])
      }
    })

    it('a stream that is none of the kinds is not-found, one that is not canonical bad-topic [P-11.13]', async () => {
      const expected: Record<string, [number, string]> = {
        'things/x': [404, 'not-found'],
        'open/-': [404, 'not-found'],
        'put/users': [404, 'not-found'],
        'users/a%20b': [400, 'bad-topic'],
        'users/alice%2Fnotes': [400, 'bad-topic'],
        'users/%2B': [400, 'bad-topic'],
        'users/%23': [400, 'bad-topic'],
        'users/=61': [400, 'bad-topic'],
        'users/=c3=bc': [400, 'bad-topic'],
        'users/~anonymous': [400, 'bad-topic'],
        'spaces/p~board': [400, 'bad-topic'],
        [`users/${'x'.repeat(65)}`]: [400, 'bad-topic'],
      }
      for (const [name, [status, code]] of Object.entries(expected)) {
        for (const [path, more] of [
          [`/v1/streams/${name}/entries`, {}],
          [`/v1/streams/${name}/state`, {}],
          [`/v1/streams/${name}/entries`, post],
        ] as const) {
          const answer = await ask(world, path, { token: 'alice', ...more })
          expect([answer.status, answer.body['code']], path).to.deep.equal([status, code])
        }
      }
      expect((await ask(world, '/v1/streams/users/a%3D40b~%3D/entries', { token: 'alice' })).body['code']).to.equal('bad-topic')
      const longest = `/v1/streams/users/${'p'.repeat(32)}~${'=C3'.repeat(21)}/entries`
      expect((await ask(world, longest, { token: 'alice' })).body['code']).to.be.oneOf(['bad-topic', 'forbidden'])
      expect((await ask(world, '/v1/streams/users/a=40b/entries', { token: 'alice' })).status).to.equal(403)
    })

    it('the open stream has one name only [P-1.27]', async () => {
      await world.close()
      world = await makeWorld({ openEnabled: true })
      expect((await ask(world, '/v1/streams/open/-/entries', { token: 'alice' })).status).to.equal(200)
      expect((await ask(world, '/v1/streams/open/x/entries', { token: 'alice' })).body['code']).to.equal('bad-topic')
    })

    it('no token, and no part of one, stands in the log or in the metrics [P-10.29]', async () => {
      const secret = 'eyJhbGciOiJub25lIn0.c2VjcmV0LXRva2Vu.c2lnbmF0dXJl'
      await ask(world, entries, { token: secret })
      await ask(world, `${entries}?access_token=${secret}`, { token: 'alice' })
      await ask(world, `/v1/${secret}`, { token: secret })
      await ask(world, `/v1/%zz${secret}`, { token: secret })
      await ask(world, '/v1/token', { body: `subject_token=${secret}`, headers: { 'content-type': 'application/x-www-form-urlencoded' } })
      await ask(world, entries, { token: 'alice', body: `{"topic":"${secret}"`, headers: { 'content-type': 'application/json' } })
      const said = world.lines.join('') + (await world.metrics.text())
      expect(world.lines.length).to.be.greaterThan(4)
      for (const part of secret.split('.')) expect(said).to.not.include(part)
    })

    it('each refusal is one line and one count, with its code [P-12.27]', async () => {
      await ask(world, entries, { token: 'bob' })
      await ask(world, entries, { token: 'bob' })
      await ask(world, `${entries}?limit=x`, { token: 'alice' })
      expect(await refusals(world, 'forbidden')).to.equal(2)
      expect(await refusals(world, 'bad-request')).to.equal(1)
      const logged = world.lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ code }) => code !== undefined)
      expect(logged.map(({ code, uid, method, route }) => [code, uid, method, route])).to.deep.equal([
        ['forbidden', 'bob', 'GET', '/v1/streams/:kind/:id/entries'],
        ['forbidden', 'bob', 'GET', '/v1/streams/:kind/:id/entries'],
        ['bad-request', 'alice', 'GET', '/v1/streams/:kind/:id/entries'],
      ])
    })
  })

  describe('in development mode', () => {
    beforeEach(async () => void (world = await makeWorld({ developmentMode: true, corsOrigins: ['https://app.example'] })))

    const status = async (headers: Record<string, string>, path = '/healthz'): Promise<number> =>
      (await askRaw(world, path, headers)).status

    it('only localhost, 127.0.0.1 and [::1] are answered, on any port [P-10.27]', async () => {
      for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1', `127.0.0.1:${world.port}`, '[::1]', '[::1]:8080']) {
        expect(await status({ host }), host).to.equal(200)
      }
      for (const host of [
        'evil.example',
        'localhost.evil.example',
        'evil.example:8080',
        '127.0.0.1.nip.io',
        '127.0.0.2',
        '0.0.0.0',
        'user@localhost',
        'localhost:1:2',
        'localhost/x',
        '::1',
      ]) {
        expect(await status({ host }), host).to.equal(403)
      }
      expect(await speak(world, 'GET /healthz HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n')).to.match(/^HTTP\/1\.1 403 /)
      expect(await speak(world, 'GET /healthz HTTP/1.0\r\n\r\n')).to.match(/^HTTP\/1\.1 403 /)
    })

    it('an Origin must be absent or the same host, port included; configured ones do not count [P-10.27]', async () => {
      const host = `localhost:${world.port}`
      expect(await status({ host, origin: `http://${host}` })).to.equal(200)
      for (const origin of [
        'null',
        'https://app.example',
        'http://localhost',
        `http://localhost:${world.port + 1}`,
        `http://127.0.0.1:${world.port}`,
        `http://x@${host}`,
        `http://${host}/`,
        `file://${host}`,
        host,
        '',
      ]) {
        expect(await status({ host, origin }), origin).to.equal(403)
      }
    })

    it('every route refuses a foreign page, before anything else, with a problem document [P-10.27]', async () => {
      for (const path of ['/', '/readyz', '/metrics', '/openapi.json', '/.well-known/jwks.json', entries, state, '/nowhere']) {
        for (const headers of [{ host: 'evil.example' }, { host: 'localhost', origin: 'http://evil.example' }]) {
          const answer = await askRaw(world, path, headers)
          expect([answer.status, answer.headers['content-type']], path).to.deep.equal([403, 'application/problem+json'])
          expect(answer.headers['access-control-allow-origin']).to.equal(undefined)
        }
      }
      const token = await askRaw(world, '/v1/token', { host: 'evil.example', 'content-length': '0' }, 'POST')
      expect([token.status, (JSON.parse(token.text) as { code: string }).code]).to.deep.equal([403, 'forbidden'])
    })
  })

  describe('with an issuer', () => {
    const origin = 'https://app.example'
    beforeEach(async () => void (world = await makeWorld({ corsOrigins: [origin] })))

    it('a configured origin may read answers and refusals, without credentials [P-11.1] [P-10.28]', async () => {
      for (const [token, status] of [
        ['alice', 200],
        ['nobody', 401],
      ] as const) {
        const answer = await ask(world, entries, { token, headers: { origin } })
        expect(answer.status).to.equal(status)
        expect(answer.headers.get('access-control-allow-origin')).to.equal(origin)
        expect(answer.headers.get('access-control-allow-credentials')).to.equal(null)
        expect(answer.headers.get('access-control-expose-headers'), 'with the next page').to.match(/\bLink\b/)
        expect(answer.headers.get('vary')).to.match(/Origin/i)
      }
    })

    it('it may read that the server is stopping, and ask for it [P-11.1] [P-12.24]', async () => {
      const begun = ['GET', 'OPTIONS'].map((method) => {
        const socket = connect(world.port, '127.0.0.1')
        socket.write(`${method} ${entries} HTTP/1.1\r\nhost: x\r\n`)
        return socket
      })
      // Once this is answered, the server has read what came before.
      await ask(world, '/healthz')
      const closing = world.bridge.close()
      const [answer, preflight] = await Promise.all(
        begun.map(async (socket) => {
          socket.write(`origin: ${origin}\r\naccess-control-request-method: GET\r\n\r\n`)
          return await text(socket)
        }),
      )
      await closing
      expect(answer).to.match(/^HTTP\/1\.1 503 /)
      expect(answer).to.include('"code":"stopping"')
      expect(preflight).to.match(/^HTTP\/1\.1 204 /)
      for (const said of [answer, preflight]) expect(said?.toLowerCase()).to.include(`access-control-allow-origin: ${origin}\r\n`)
    })

    it('its preflight names the methods and headers; the preflight of another is refused [P-11.1]', async () => {
      const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,idempotency-key' }
      const answer = await ask(world, entries, { method: 'OPTIONS', headers: { origin, ...preflight } })
      expect(answer.status).to.equal(204)
      expect(answer.headers.get('access-control-allow-methods')).to.equal('GET, POST, DELETE')
      expect(answer.headers.get('access-control-allow-headers')).to.match(/Authorization.*Idempotency-Key/)
      const other = await ask(world, entries, { method: 'OPTIONS', headers: { origin: 'https://evil.example', ...preflight } })
      expect([other.status, other.body['code'], other.headers.get('access-control-allow-origin')]).to.deep.equal([403, 'forbidden', null])
      const bare = await ask(world, entries, { method: 'OPTIONS' })
      expect([bare.status, bare.body['code']]).to.deep.equal([404, 'not-found'])
    })

    it('an Origin that is neither configured nor the same host is refused [P-10.28]', async () => {
      const status = async (headers: Record<string, string>): Promise<number> => (await askRaw(world, '/healthz', headers)).status
      expect(await status({ origin, host: 'api.example' })).to.equal(200)
      expect(await status({ origin: 'https://api.example', host: 'api.example' })).to.equal(200)
      expect(await status({ origin: 'https://api.example', host: 'api.example:443' })).to.equal(200)
      for (const foreign of ['https://app.example.evil', 'http://app.example', 'https://APP.example', 'null', 'https://app.example:8443']) {
        expect(await status({ origin: foreign, host: 'api.example' }), foreign).to.equal(403)
      }
    })

    it('without allowed hosts any Host is answered, with them only those', async () => {
      expect((await askRaw(world, '/healthz', { host: 'anything.example' })).status).to.equal(200)
      await world.close()
      world = await makeWorld({ allowedHosts: ['api.example'] })
      expect((await askRaw(world, '/healthz', { host: 'API.example:8080' })).status).to.equal(200)
      expect((await askRaw(world, '/healthz', { host: 'evil.example' })).status).to.equal(403)
    })

    it('a page of the history of its own user is not stored by caches', async () => {
      await history(world)
      expect((await ask(world, entries, { token: 'alice' })).headers.get('cache-control')).to.equal('no-store')
    })
  })
})
