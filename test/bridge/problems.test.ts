/** The form of every refusal, those of the HTTP layer included. */
import { expect } from 'chai'
import { problemDocument, problemHeaders, RawJson } from '../../bridge/problem.ts'
import { errorTable, SyncError, type ErrorCode } from '../../protocol/errors.ts'
import { connect, type Socket } from 'node:net'
import { append, ask, makeWorld, refusals, speak, type World } from './support.ts'

const codes = Object.keys(errorTable) as ErrorCode[]

describe('bridge: problem documents', () => {
  for (const code of codes) {
    it(`${code} has type, title, status, detail, code, and the members it brings [P-12.1]`, () => {
      const document = JSON.parse(
        problemDocument(new SyncError(code, 'why', { first: 'f', title: 'no', oauth: 'x', gone: undefined })),
      ) as object
      const { title, status } = errorTable[code]
      const type = `urn:tidemark:error:${code}`
      const expected = { type, title, status, detail: 'why', code, first: 'f' }
      expect(document).to.deep.equal(code === 'internal' ? { type, title, status, detail: title, code } : expected)
    })
  }

  it('an envelope goes in byte for byte [P-3.14]', () => {
    expect(problemDocument(new SyncError('conflict', 'x', { current: new RawJson('{"data": 1.00}') }))).to.include(
      '"current":{"data": 1.00}}',
    )
  })

  it('401 says how to authenticate, 429 and 503 when to come again [P-11.34] (RFC 6750, RFC 9110)', () => {
    for (const code of codes) {
      const headers = problemHeaders(code, true)
      expect('www-authenticate' in headers, code).to.equal(errorTable[code].status === 401)
      expect('retry-after' in headers, code).to.equal([429, 503].includes(errorTable[code].status))
    }
  })
})

describe('bridge: failures of HTTP itself', () => {
  let world: World
  beforeEach(async () => void (world = await makeWorld()))
  afterEach(() => world.close())

  const entries = '/v1/streams/users/alice/entries'

  it('a route or method that is not listed is not-found [P-11.1] [P-12.13] [P-14.4 – P-14.6]', async () => {
    for (const [method, path] of [
      ['GET', '/v1'],
      ['POST', '/v1/events'],
      ['GET', '/v1/streams/users/alice'],
      ['DELETE', '/v1/streams/users/alice/state'],
      ['GET', '/v1/streams/spaces/board/members/bob'],
      ['PUT', entries],
      ['PATCH', entries],
      ['DELETE', entries],
      ['GET', '/v1/token'],
      ['POST', '/healthz'],
      ['GET', `${entries}/`],
      ['GET', '/V1/streams/users/alice/entries'],
      ['GET', '//healthz'],
    ] as const) {
      const { status, body, headers } = await ask(world, path, { method, token: 'alice' })
      expect([status, body['code'], headers.get('content-type')], `${method} ${path}`).to.deep.equal([
        404,
        'not-found',
        'application/problem+json',
      ])
    }
    const head = await ask(world, '/healthz', { method: 'HEAD' })
    expect(head.status).to.equal(404)
  })

  it('a path that is not well encoded is bad-request', async () => {
    const { status, body } = await ask(world, '/v1/streams/users/%zz/entries', { token: 'alice' })
    expect([status, body['code']]).to.deep.equal([400, 'bad-request'])
  })

  it('a body above the limit is refused without being read to its end, announced or not [P-11.33]', async () => {
    const head = `POST ${entries} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-type: application/json\r\n`
    const announced = await speak(world, `${head}content-length: 500000000\r\n\r\n{"topic"`)
    expect(announced).to.match(/^HTTP\/1\.1 413[\s\S]*"code":"payload-too-large"/)
    const chunk = `${(0x40000).toString(16)}\r\n${'x'.repeat(0x40000)}\r\n`
    const chunked = await speak(world, `${head}transfer-encoding: chunked\r\n\r\n${chunk}`)
    expect(chunked).to.match(/^HTTP\/1\.1 413[\s\S]*"code":"payload-too-large"/)
    expect(await refusals(world, 'payload-too-large')).to.equal(2)
  })

  it('what is no HTTP is answered with a problem document and closed; headers above the limit are payload-too-large', async () => {
    const garbage = await speak(world, '\x10\x20\0\x04MQTT\x04\x02\0\x3c\0\0\r\n\r\n')
    expect(garbage).to.match(/^HTTP\/1\.1 400 [\s\S]*application\/problem\+json[\s\S]*"code":"bad-request"/)
    const long = await speak(world, `GET / HTTP/1.1\r\nhost: x\r\nx-long: ${'y'.repeat(20_000)}\r\n\r\n`)
    expect(long).to.match(/^HTTP\/1\.1 413 [\s\S]*"code":"payload-too-large"/)
    const smuggled = await speak(
      world,
      `POST ${entries} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n`,
    )
    expect(smuggled).to.match(/^HTTP\/1\.1 400 /)
    expect(smuggled).to.not.include('200 OK')
    expect(await refusals(world, 'payload-too-large')).to.equal(1)
    expect(await refusals(world, 'bad-request')).to.be.greaterThan(1)
    expect((await ask(world, '/healthz')).status).to.equal(200)
  })

  it('a token above its size limit still reaches the authority, which refuses it [P-10.6]', async () => {
    expect((await ask(world, entries, { token: 'y'.repeat(9_000) })).status).to.equal(401)
  })

  for (const [what, limits, bytes] of [
    ['headers that never end', { connectTimeoutMs: 300, holdTimeoutMs: 20_000 }, 'GET / HTTP/1.1\r\nhost: x\r\nx-slow: '],
    [
      'a body that never comes',
      { connectTimeoutMs: 300, holdTimeoutMs: 600 },
      `POST ${entries} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{`,
    ],
    ['a connection kept open for nothing', { connectTimeoutMs: 300, holdTimeoutMs: 20_000 }, 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'],
  ] as const) {
    it(`${what}: the connection costs a bounded time`, async () => {
      await world.close()
      world = await makeWorld({ limits })
      const began = performance.now()
      const said = await speak(world, bytes)
      expect(performance.now() - began).to.be.lessThan(10_000)
      expect(said.includes('200 OK')).to.equal(bytes.startsWith('GET /healthz'))
    })
  }

  it('a connection that is opened ahead and not used is ended without an answer', async () => {
    await world.close()
    world = await makeWorld({ limits: { connectTimeoutMs: 300, holdTimeoutMs: 20_000 } })
    expect(await speak(world, '')).to.equal('')
  })

  it('a body that trickles in byte by byte is cut off as well', async () => {
    await world.close()
    world = await makeWorld({ limits: { connectTimeoutMs: 300, holdTimeoutMs: 600 } })
    const began = performance.now()
    const socket = connect(world.port, '127.0.0.1')
    socket.resume().on('error', () => {})
    socket.write(
      `POST ${entries} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{`,
    )
    const trickle = setInterval(() => socket.write(' '), 50)
    const giveUp = setTimeout(() => socket.destroy(), 12_000)
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    clearInterval(trickle)
    clearTimeout(giveUp)
    expect(performance.now() - began).to.be.lessThan(10_000)
  })

  it('a reader that does not read its page is cut off, and others are served meanwhile', async () => {
    await world.close()
    world = await makeWorld({ limits: { connectTimeoutMs: 300, holdTimeoutMs: 700, pageBytesMax: 8_000_000, pageEntriesMax: 1_000 } })
    for (let at = 0; at < 90; at++) await append(world, 'users/alice', [{ topic: 'users/alice/a', payload: 'x'.repeat(80_000) }])
    const request = `GET ${entries}?limit=1000 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\n\r\n`
    let closed = false
    const stalled = connect(world.port, '127.0.0.1', () => stalled.write(request))
    stalled.pause().on('error', () => {})
    const onServer = new Promise<void>((resolve) => {
      world.bridge.server.once('connection', (socket: Socket) => socket.once('close', () => ((closed = true), resolve())))
    })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect((await ask(world, '/healthz')).status).to.equal(200)
    await onServer
    expect(closed).to.equal(true)
    stalled.destroy()
  })

  it('a fault of the server is internal, tells no detail, and is logged whole [P-12.26]', async () => {
    world.log.confirmHead = () => Promise.reject(new Error('/secret/path is broken'))
    const { status, body, text } = await ask(world, entries, { token: 'alice' })
    expect([status, body['code'], body['detail']]).to.deep.equal([500, 'internal', errorTable.internal.title])
    expect(text).to.not.include('secret')
    expect(world.lines.join('')).to.include('/secret/path is broken')
  })
})
