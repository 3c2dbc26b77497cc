/** `tidemark doctor`: everything in order, and each thing that can be wrong. */
import { expect } from 'chai'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, createServer as createTcpServer, type AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import { once } from 'node:events'
import { developmentToken, freePorts, testServer, type TestServer } from '../support/server.ts'
import { inProcess, tidemark, type Run } from './run.ts'

describe('doctor', function () {
  this.timeout(90_000)
  let server: TestServer
  let token: string
  const closing: (() => void)[] = []

  before(async () => {
    server = await testServer({ settings: { open: true } })
    token = await server.token('alice')
  })
  after(() => server.stop())
  afterEach(() => {
    for (const close of closing.splice(0)) close()
  })

  const doctor = (...args: string[]): Promise<Run> => inProcess(['doctor', '--token', token, ...args])
  /** Runs it, and expects the check to fail with this, and advice. */
  const fails = async (check: string, what: RegExp, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await doctor(...args)
    expect(code, stdout).to.equal(1)
    expect(stderr).to.match(/^tidemark: \d of \d checks failed$/m)
    const line = new RegExp(`^  FAIL  ${check} +(.*)\\n +→ .{15,}$`, 'm').exec(stdout)?.[1]
    expect(line, stdout).to.match(what)
    return stdout
  }
  const passes = (stdout: string, ...checks: string[]): void => {
    for (const check of checks) expect(stdout).to.match(new RegExp(`^  ok    ${check} `, 'm'))
  }

  /** In front of the server, with other answers for some paths. */
  const front = async (answers: Readonly<Record<string, Answer>>, options: { upgrades?: boolean } = {}): Promise<string> => {
    const proxy = createServer((asked, response) => {
      const own = Object.entries(answers).find(([path]) => asked.url?.startsWith(path))?.[1]
      if (own) own(asked, response)
      else forward(server, asked, response)
    })
    if (options.upgrades !== false) forwardUpgrades(proxy, server)
    closing.push(() => (proxy.close(), proxy.closeAllConnections()))
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  }

  it('says that everything works, without arguments, beside a server in development mode', async () => {
    const env = { TIDEMARK_DATA: server.folder, TIDEMARK_HTTP_PORT: `${server.ports.http}` }
    const { code, stdout, stderr } = await tidemark(['doctor'], { env })
    expect({ code, stderr }, stdout).to.deep.equal({ code: 0, stderr: '' })
    passes(stdout, 'server', 'clock', 'token', 'exchange', 'limits', 'grants', 'tcp', 'websocket', 'round trip')
    expect(stdout).to.include(`tells clients ${server.urls.mqtt}\n`)
    expect(stdout).to.match(/round trip +put at \S+ in \d+ ms; read by sync@, history, state and events/)
    expect(stdout).to.match(/\n\nEverything works\.\n$/)
    const { log } = server.running
    expect((await log.state(await log.stream('users/dev'))).states(), 'what it leaves in the state').to.deep.equal([])
  })

  it('looks at the topic asked for, and overwrites nothing', async () => {
    const args = ['--url', server.urls.http, '--topic']
    for (const topic of ['users/alice/x', 'any/topic']) expect(await doctor(...args, topic)).to.include({ code: 0, stderr: '' })
    await inProcess(['pub', 'users/alice/mine', '-m', 'kept', '--retain', '--url', server.urls.mqtt, '--token', token])
    await fails('round trip', /users\/alice\/mine holds something already/, ...args, 'users/alice/mine')
    await fails('grants', /no topic for state/, ...args, 'outbox/alice/bob/x')
    const { stdout } = await inProcess(['state', 'users/alice', '--url', server.urls.http, '--token', token])
    expect(stdout).to.match(/users\/alice\/mine kept\n$/)
  })

  it('a server that cannot be reached: the name, the port, the protocol, silence', async () => {
    const [free] = await freePorts(1)
    await fails('server', /^nothing listens at 127\.0\.0\.1:\d+$/, '--url', `http://127.0.0.1:${free}`)
    await fails('server', /^the name nobody\.invalid is not known here$/, '--url', 'http://nobody.invalid')
    await fails('server', /answers in another protocol/, '--url', `http://127.0.0.1:${server.ports.mqtt}`)
    await fails('server', /does not speak TLS$/, '--url', server.urls.http.replace('http:', 'https:'))
    const silent = createTcpServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    closing.push(() => silent.close())
    await fails('server', /does not answer$/, '--url', `http://127.0.0.1:${(silent.address() as AddressInfo).port}`)
  })

  it('something else at the URL, and a server that is not ready', async () => {
    await fails('server', /answers 200 with text\/html where Tidemark answers JSON$/, '--url', await front({ '/': html }))
    const away = json(503, { code: 'store-unavailable', detail: 'the store takes no entries' })
    await fails('server', /not ready: the store takes no entries/, '--url', await front({ '/readyz': away }))
    await fails('server', /refuses the host/, '--url', await front({ '/readyz': json(403, { code: 'forbidden', detail: 'Host' }) }))
  })

  it('a token endpoint that answers HTML, or other JSON', async () => {
    const stdout = await fails('exchange', /\/v1\/token answers 200 with text\/html/, '--url', await front({ '/v1/token': html }))
    passes(stdout, 'server', 'clock', 'token', 'websocket')
    expect(stdout).to.match(/–\s+tcp +the exchange would have told/)
    await fails('exchange', /JSON that is no token exchange/, '--url', await front({ '/v1/token': json(200, { ok: true }) }))
  })

  it('a clock that is two hours off, and one that is seconds off', async () => {
    const shifted =
      (seconds: number): Answer =>
      (_asked, response) => {
        response.sendDate = false
        response.setHeader('date', new Date(Date.now() + seconds * 1_000).toUTCString())
        json(200, { ready: true, checks: [] })(_asked, response)
      }
    await fails('clock', /this machine is 2 h behind the server's$/, '--url', await front({ '/readyz': shifted(7_200) }))
    // By the server's clock the token of an hour is new; by one two hours before it is still good.
    const ahead = await fails('clock', /this machine is 2 h ahead of the server's$/, '--url', await front({ '/readyz': shifted(-7_200) }))
    passes(ahead, 'token')
    const { code, stdout } = await doctor('--url', await front({ '/readyz': shifted(15) }))
    expect(code, stdout).to.equal(0)
    expect(stdout).to.match(/ok +clock .* 1[4-6] s behind the server's, which harms nothing up to 30 s/)
  })

  it('a token that is none, has expired, is for later or never ends', async () => {
    const at = ['--url', server.urls.http, '--token']
    await fails('token', /^the token is no JWT/, ...at, 'Bearer abc')
    const nowS = Math.floor(Date.now() / 1_000)
    await fails('token', /^the token expired 2 h ago$/, ...at, await signed({ exp: nowS - 7_200 }))
    await fails('token', /^the token is not valid before 5 min from now$/, ...at, await signed({ exp: nowS + 900, nbf: nowS + 300 }))
    await fails('token', /never expires/, ...at, await signed({}))
    const none = await inProcess(['doctor', '--url', server.urls.http, '--data', '/nowhere/at/all'])
    expect(none.code).to.equal(1)
    expect(none.stdout).to.match(/FAIL +token +there is no development key in \/nowhere\/at\/all/)
  })

  it('a token that the server refuses: another audience, another key', async () => {
    const other = await developmentToken(server.folder, 'alice', { audience: 'another' })
    const stdout = await fails('exchange', /refuses the token: .*aud/, '--url', server.urls.http, '--token', other)
    expect(stdout).to.include('and aud "another": compare with')
    expect(stdout).to.match(/FAIL +websocket +\S+ refuses the token/)
    const foreign = await signed({ exp: Math.floor(Date.now() / 1_000) + 900 })
    await fails('exchange', /refuses the token/, '--url', server.urls.http, '--token', foreign)
  })

  it('no grant for the topic', async () => {
    const stdout = await fails(
      'grants',
      /no grant to publish or to subscribe users\/bob\/x; it grants publish:users\/alice\/#/,
      '--url',
      server.urls.http,
      '--topic',
      'users/bob/x',
    )
    passes(stdout, 'tcp', 'websocket')
    const reader = await server.token('alice', { spaces: { board: 'read' } })
    await fails(
      'grants',
      /no grant to publish spaces\/board\/x;/,
      '--url',
      server.urls.http,
      '--token',
      reader,
      '--topic',
      'spaces/board/x',
    )
    await fails('grants', /bad-topic/, '--url', server.urls.http, '--topic', 'users/alice')
  })

  it('a refused port of MQTT, told by the server or by --mqtt-url, and one that speaks something else', async () => {
    const [free] = await freePorts(1)
    const told = await testServer({ settings: { publicMqttUrl: `mqtt://127.0.0.1:${free}` } })
    closing.push(() => void told.stop())
    const stdout = await fails('tcp', /^nothing listens at/, '--url', told.urls.http, '--token', await told.token('alice'))
    expect(stdout).to.include('publicMqttUrl')
    passes(stdout, 'websocket', 'round trip')
    await fails('tcp', /^nothing listens at/, '--url', server.urls.http, '--mqtt-url', `mqtt://127.0.0.1:${free}`)
    await fails('tcp', /another protocol/, '--url', server.urls.http, '--mqtt-url', `mqtt://127.0.0.1:${server.ports.http}`)
  })

  it('a proxy that lets no WebSocket through', async () => {
    const url = await front({ '/mqtt': json(404, {}) }, { upgrades: false })
    const stdout = await fails('websocket', /answers 404 instead of opening a WebSocket$/, '--url', url)
    passes(stdout, 'tcp', 'round trip')
  })

  it('a proxy that holds event streams back, or does not know them, and another server behind HTTP', async () => {
    const held: Answer = (_asked, response) => response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    await fails('round trip', /does not come as an event.*holds answers back/, '--url', await front({ '/v1/events': held }))
    await fails('round trip', /\/v1\/events answers 404/, '--url', await front({ '/v1/events': json(404, {}) }))
    const empty = json(200, { entries: [], head: 'x', first: 'x', next: 'x', upToDate: true })
    await fails(
      'round trip',
      /does not stand in entries over HTTP/,
      '--url',
      await front({ '/v1/streams/users/alice/entries?after': empty }),
    )
    await fails('round trip', /does not stand in state over HTTP/, '--url', await front({ '/v1/streams/users/alice/state': empty }))
  })

  it('does not take over the connection of a client that the token is bound to', async () => {
    const exchanged = await fetch(`${server.urls.http}/v1/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        client_id: 'phone',
      }),
    })
    const { access_token: bound } = (await exchanged.json()) as { access_token: string }
    const { code, stdout } = await doctor('--url', server.urls.http, '--token', bound)
    expect(code, stdout).to.equal(0)
    expect(stdout).to.match(/–\s+MQTT +not tried: the token is bound to the client phone/)
  })
})

type Answer = (asked: IncomingMessage, response: ServerResponse) => void

const html: Answer = (asked, response) => {
  asked.resume()
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>Sign in</html>')
}

function json(status: number, body: object): Answer {
  return (asked, response) => {
    asked.resume()
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }
}

function forward(server: TestServer, asked: IncomingMessage, response: ServerResponse): void {
  const { method, url, headers } = asked
  const onward = request({ host: '127.0.0.1', port: server.ports.http, method, path: url, headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 0, answer.headers)
    answer.pipe(response)
  })
  onward.on('error', () => response.destroy())
  response.on('close', () => onward.destroy())
  asked.pipe(onward)
}

function forwardUpgrades(proxy: Server, server: TestServer): void {
  proxy.on('upgrade', (asked: IncomingMessage, socket) => {
    const onward = connect(server.ports.http, '127.0.0.1')
    const lines = asked.rawHeaders.flatMap((text, at) => (at % 2 ? [] : [`${text}: ${asked.rawHeaders[at + 1]}`]))
    onward.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
    socket.pipe(onward).pipe(socket)
    for (const end of [socket, onward]) end.on('error', () => (socket.destroy(), onward.destroy()))
  })
}

/** By a key that no server has. */
function signed(claims: Readonly<Record<string, unknown>>): Promise<string> {
  const jwt = new SignJWT({ iss: 'https://elsewhere.test', aud: 'tidemark', sub: 'alice', iat: Math.floor(Date.now() / 1_000), ...claims })
  return jwt.setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode('a secret that is long enough for anybody'))
}
