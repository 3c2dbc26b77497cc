/** Finding the server, getting a token of it, and reading history: also with a wrong URL, a wrong server and a wrong clock. */
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { expect } from 'chai'
import { addressOf } from '../../client/address.ts'
import { Credentials } from '../../client/credentials.ts'
import { ClientError } from '../../client/errors.ts'
import { HttpHistory, type TokenSource } from '../../client/history.ts'
import { platformTimers } from '../../client/timers.ts'
import type { Credential } from '../../client/transport/transport.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { credentialFrom, failureOf, surroundings } from './rig.ts'

describe('client: the address', () => {
  it('[P-7.21] takes http and ws, each plain or secure, and finds the other', () => {
    const secure = { httpUrl: 'https://sync.example.com', mqttUrl: 'wss://sync.example.com/mqtt' }
    expect(addressOf('https://sync.example.com')).to.deep.equal(secure)
    expect(addressOf('wss://sync.example.com/')).to.deep.equal(secure)
    const plain = { httpUrl: 'http://localhost:8080', mqttUrl: 'ws://localhost:8080/mqtt' }
    expect(addressOf('ws://localhost:8080')).to.deep.equal(plain)
    expect(addressOf('HTTP://LOCALHOST:8080')).to.deep.equal(plain)
  })

  it('[P-7.21] says what is wrong with any other, and what to write instead', () => {
    const cases: readonly [string, RegExp][] = [
      ['mqtts://sync.example.com:8883', /the scheme mqtts:/],
      ['sync.example.com', /no address of a server, "sync.example.com"/],
      ['', /no address/],
      ['https://sync.example.com/mqtt', /the path \/mqtt/],
      ['https://sync.example.com?x=1', /the path \/\?x=1/],
      ['https://me:secret@sync.example.com', /a user name or password/],
      [undefined as unknown as string, /no address/],
    ]
    for (const [url, message] of cases) {
      expect(() => addressOf(url), url)
        .to.throw(ClientError, message)
        .that.includes({ code: 'bad-request' })
      expect(() => addressOf(url)).to.throw(/as https:\/\/sync\.example\.com/)
      expect(() => addressOf(url)).to.not.throw(/secret/)
    }
  })
})

describe('client: the platform’s time', () => {
  it('goes on with the monotonic clock, and counts sleep that only the wall clock saw', () => {
    let [clock, wall] = [0, 1_000_000]
    const timers = platformTimers(
      () => clock,
      () => wall,
    )
    clock += 500
    wall += 500
    expect(timers.now()).to.equal(500)
    clock += 10
    wall += 3_600_000
    expect(timers.now(), 'an hour of sleep').to.equal(3_600_500)
    clock += 1_000
    wall -= 7_200_000
    expect(timers.now(), 'the clock was set back by two hours').to.equal(3_601_500)
  })
})

describe('client: credentials and history', () => {
  let server: TestServer
  let other: Server | undefined
  before(async () => void (server = await testServer()))
  after(() => server.stop())
  afterEach(() => {
    other?.closeAllConnections()
    other?.close()
    other = undefined
  })

  /** A server that is not ours. */
  async function answering(listener: RequestListener): Promise<string> {
    other = createServer(listener).listen(0, '127.0.0.1')
    await once(other, 'listening')
    return `http://127.0.0.1:${(other.address() as AddressInfo).port}`
  }

  const html =
    (status: number): RequestListener =>
    (_request, response) =>
      void response.writeHead(status, { 'content-type': 'text/html' }).end('<!doctype html><title>Welcome</title>')

  it('[P-10.18] [P-10.19] gives a token bound to the client, the uid in it, and the bounds of the server', async () => {
    const credential = await credentialFrom(server.urls.http, await server.token('Zoë'), 'web-7')
    expect(credential).to.include({
      uid: 'Zo=C3=AB',
      clientId: 'web-7',
      httpUrl: server.urls.http,
      packetBytesMax: 131_072,
      filtersMax: 50,
    })
    expect(credential.mqttUrl, 'its mqtt_url is no WebSocket').to.equal(server.urls.ws)
  })

  it('[P-10.19] a token endpoint that answers HTML is no Tidemark, unless a proxy says that the server is away', async () => {
    for (const [status, code] of [
      [200, 'not-tidemark'],
      [403, 'not-tidemark'],
      [404, 'not-tidemark'],
      [502, 'network'],
      [503, 'network'],
      [429, 'network'],
    ] as const) {
      const error = await failureOf(credentialFrom(await answering(html(status)), 'token'))
      expect([status, error.code]).to.deep.equal([status, code])
      expect(error.message).to.match(/\/v1\/token answers text\/html, status/)
      other?.close()
    }
  })

  it('[P-10.19] JSON of another server is no token either', async () => {
    for (const body of ['{}', '[]', '{"access_token":5}', '{"message":"Not Found"}', '{"access_token":"x","expires_in":"soon"}']) {
      const url = await answering((_request, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(body))
      expect((await failureOf(credentialFrom(url, 'token'))).code, body).to.equal('not-tidemark')
      other?.close()
    }
  })

  it('[P-10.19] refusals are told from faults, and nobody answering is a fault of the network', async () => {
    const expired = await server.token('alice', { ttlMs: 60_000, now: Date.now() - 120_000 })
    const refused = await failureOf(credentialFrom(server.urls.http, expired))
    expect([refused.code, refused.retry, refused.details['oauth']]).to.deep.equal(['unauthorized', 'after-refresh', 'invalid_grant'])
    expect((await failureOf(credentialFrom(server.urls.http, 'no token'))).code).to.equal('unauthorized')
    expect((await failureOf(credentialFrom('http://127.0.0.1:1', 'token'))).code).to.equal('network')
  })

  it('[P-10.20] works when the page’s clock is two hours off, either way', async () => {
    for (const offMs of [7_200_000, -7_200_000]) {
      const timers = platformTimers(undefined, () => Date.now() + offMs)
      const using = { ...surroundings(), timers }
      const token = await server.token('alice')
      const credentials = new Credentials({ ...using, address: addressOf(server.urls.http), clientId: 'web', getToken: () => token })
      const credential = await credentials.get()
      expect(credentials.present, `${offMs}`).to.equal(credential)
      expect(credentials.renewAtMs - timers.now()).to.be.within(3_400_000, 3_500_000)
      const page = await new HttpHistory(using, tokensOf(credential)).entries('users/alice', { limit: 0 })
      expect(page.upToDate).to.equal(true)
    }
  })

  const tokensOf = (credential: Credential, next?: Credential): TokenSource & { readonly refreshed: Credential[] } => {
    const refreshed: Credential[] = []
    return {
      refreshed,
      credential: async () => credential,
      refresh: async (used) => {
        refreshed.push(used)
        if (!next) throw new ClientError('unauthorized')
        return next
      },
    }
  }

  it('[P-11.2] [P-11.4] [P-11.13] reads pages of entries and state, names in the URL as URLs need', async () => {
    const credential = await credentialFrom(server.urls.http, await server.token('Zoë'))
    const history = new HttpHistory(surroundings(), tokensOf(credential))
    for (const n of [1, 2]) {
      const answer = await fetch(`${server.urls.http}/v1/streams/users/Zo%3DC3%3DAB/entries`, {
        method: 'POST',
        headers: { authorization: `Bearer ${credential.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ id: `n-${n}`, topic: `notes/${n}`, data: n, retain: true }),
      })
      expect(answer.status).to.equal(201)
    }
    const page = await history.entries('users/Zo=C3=AB', { reverse: true, limit: 1, topic: 'notes/+' })
    expect([page.entries.map(({ data }) => data), page.upToDate]).to.deep.equal([[2], false])
    const state = await history.state('users/Zo=C3=AB', {})
    expect(state.entries.map(({ data }) => data)).to.deep.equal([1, 2])
    const gone = await failureOf(history.entries('users/Zo=C3=AB', { after: `${'x'.repeat(8)}.1.abcd` }))
    expect([gone.code, gone.details['head']]).to.deep.equal(['epoch', page.head])
    expect((await failureOf(history.entries('users/bob', {}))).code).to.equal('forbidden')
  })

  it('[P-11.34] a 401 is asked again once with another token; a second one is the answer', async () => {
    const good = await credentialFrom(server.urls.http, await server.token('alice'))
    const bad = { ...good, token: 'worn out' }
    const mended = tokensOf(bad, good)
    expect((await new HttpHistory(surroundings(), mended).entries('users/alice', { limit: 0 })).upToDate).to.equal(true)
    expect(mended.refreshed).to.deep.equal([bad])
    const hopeless = tokensOf(bad, bad)
    expect((await failureOf(new HttpHistory(surroundings(), hopeless).entries('users/alice', {}))).code).to.equal('unauthorized')
    expect(hopeless.refreshed).to.have.length(1)
  })

  it('[P-11.1] an answer that is no page is no Tidemark; one that never comes, or breaks off, is the network', async () => {
    const credential = { ...(await credentialFrom(server.urls.http, await server.token('alice'))), token: 'x' }
    const read = async (listener: RequestListener): Promise<string> => {
      const httpUrl = await answering(listener)
      const history = new HttpHistory(surroundings({ requestTimeoutMs: 300 }), tokensOf({ ...credential, httpUrl }))
      const { code } = await failureOf(history.entries('users/alice', {}))
      other?.closeAllConnections()
      other?.close()
      return code
    }
    expect(await read(html(200))).to.equal('not-tidemark')
    expect(await read((_request, response) => void response.end('{"ok":true}'))).to.equal('not-tidemark')
    expect(await read(() => {})).to.equal('network')
    const breaksOff: RequestListener = (_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{"entries":', () => response.destroy())
    }
    expect(await read(breaksOff)).to.equal('network')
    const giveUp = new AbortController()
    giveUp.abort()
    const aborted = new HttpHistory(surroundings(), tokensOf(credential)).entries('users/alice', {}, giveUp.signal)
    expect((await failureOf(aborted)).code).to.equal('closed')
  })

  it('[P-11.2] no more requests are under way than the bound, and all come through', async () => {
    const credential = await credentialFrom(server.urls.http, await server.token('alice'))
    const held: ServerResponse[] = []
    let most = 0
    const httpUrl = await answering((_request, response) => {
      most = Math.max(most, held.push(response))
      if (held.length < 3) return
      setImmediate(() => {
        for (const one of held.splice(0)) one.end('{"entries":[]}')
      })
    })
    const history = new HttpHistory(surroundings({ requestsInFlightMax: 3 }), tokensOf({ ...credential, httpUrl }))
    const pages = await Promise.all(Array.from({ length: 21 }, () => history.entries('users/alice', {})))
    expect([pages.length, most]).to.deep.equal([21, 3])
  })
})
