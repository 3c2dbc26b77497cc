import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import type { IssuerConfig } from '../../auth/index.ts'
import { closeAll, ec, ed, hmacIssuer, later, open, refusal, sign, startMs, temporaryFolder } from './support.ts'

interface Pair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

const makePair = (): Pair => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwk = (kid: string, pair: Pair) => ({ ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' })
const now = Math.floor(startMs / 1000)
/** Long enough for every hour the clock is moved. */
const tokenOf = (kid: string | undefined, pair: Pair) =>
  sign({ alg: 'ES256', key: pair.privateKey, header: kid === undefined ? {} : { kid }, claims: { exp: now + 80_000 } })

/** A real key server whose answer a test sets. */
class KeyServer {
  requests = 0
  status = 200
  body = ''
  readonly #server: Server

  static async start(): Promise<KeyServer> {
    const keys = new KeyServer()
    keys.#server.listen(0, '127.0.0.1')
    await once(keys.#server, 'listening')
    later(() => keys.stop())
    return keys
  }

  private constructor() {
    this.#server = createServer((_request, response) => {
      this.requests++
      if (this.status === 302) response.setHeader('location', this.url + 'elsewhere')
      response.writeHead(this.status).end(this.body)
    })
  }

  serve(...keys: object[]): void {
    this.status = 200
    this.body = JSON.stringify({ keys })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }
}

async function openUrl() {
  const server = await KeyServer.start()
  const issuer: IssuerConfig = { issuer: hmacIssuer.issuer, algorithms: ['ES256'], jwksUrl: server.url }
  return { server, ...(await open({ config: { issuers: [issuer] } })) }
}

describe('a key set behind a URL', () => {
  afterEach(closeAll)

  it('is fetched when first needed, once, and kept', async () => {
    const { server, authority } = await openUrl()
    server.serve(jwk('k1', ec))
    expect(server.requests).to.equal(0)
    const token = await tokenOf('k1', ec)
    await Promise.all([1, 2, 3].map(() => authority.authenticate(token, undefined)))
    expect(server.requests).to.equal(1)
  })

  it('is fetched again for an unknown kid, at most every 30 s [P-10.7, P-13.37]', async () => {
    const { server, authority, clock } = await openUrl()
    const fresh = makePair()
    server.serve(jwk('k1', ec))
    await authority.authenticate(await tokenOf('k1', ec), undefined)
    server.serve(jwk('k1', ec), jwk('k2', fresh))
    clock.ms += 29_999
    for (let attempt = 0; attempt < 3; attempt++) {
      await refusal(authority.authenticate(await tokenOf('k2', fresh), undefined), 'unauthorized', /no key for the kid/)
    }
    expect(server.requests).to.equal(1)
    clock.ms += 1
    await authority.authenticate(await tokenOf('k2', fresh), undefined)
    expect(server.requests).to.equal(2)
    for (let attempt = 0; attempt < 3; attempt++) {
      await refusal(authority.authenticate(await tokenOf(`made-up-${attempt}`, fresh), undefined), 'unauthorized', /no key/)
    }
    expect(server.requests).to.equal(2)
  })

  it('stays in use while the server is down, answers nonsense, too much, an error or a redirect', async () => {
    const { server, authority, clock, logger } = await openUrl()
    server.serve(jwk('k1', ec))
    const token = await tokenOf('k1', ec)
    await authority.authenticate(token, undefined)
    const failures: (() => void | Promise<void>)[] = [
      () => void (server.body = 'no JSON'),
      () => void (server.body = '{"keys": 7}'),
      () => void (server.body = JSON.stringify({ keys: [jwk('k1', makePair())], fill: 'x'.repeat(300_000) })),
      () => void ((server.body = JSON.stringify({ keys: [jwk('k1', makePair())] })), (server.status = 500)),
      () => void (server.status = 302),
      () => server.stop(),
    ]
    for (const [at, fail] of failures.entries()) {
      await fail()
      // Older than any set may become, so that each turn asks once.
      clock.ms += 600_000
      await authority.authenticate(token, undefined)
      expect(logger.lines.filter(({ message }) => message.includes('last good set'))).to.have.lengthOf(at + 1)
    }
    expect(server.requests).to.equal(failures.length)
  })

  it('is asked for again after ten minutes, so that a withdrawn key goes', async () => {
    const { server, authority, clock } = await openUrl()
    server.serve(jwk('k1', ec))
    const token = await tokenOf('k1', ec)
    await authority.authenticate(token, undefined)
    server.serve(jwk('k2', makePair()))
    clock.ms += 599_999
    await authority.authenticate(token, undefined)
    clock.ms += 1
    await refusal(authority.authenticate(token, undefined), 'unauthorized', /no key for the kid/)
  })

  it('that could never be had refuses tokens, and is tried again after a second', async () => {
    const { server, authority, clock } = await openUrl()
    server.status = 503
    const token = await tokenOf('k1', ec)
    await refusal(authority.authenticate(token, undefined), 'unauthorized', /cannot be had/)
    server.serve(jwk('k1', ec))
    await refusal(authority.authenticate(token, undefined), 'unauthorized', /cannot be had/)
    expect(server.requests).to.equal(1)
    clock.ms += 1_000
    await authority.authenticate(token, undefined)
  })

  it('is warned of where it is fetched without TLS from elsewhere', async () => {
    const warnings = async (jwksUrl: string) =>
      (await open({ config: { issuers: [{ issuer: 'x', algorithms: ['ES256'], jwksUrl }] } })).logger.lines.filter(({ message }) =>
        message.includes('without TLS'),
      )
    expect(await warnings('http://keys.example/')).to.have.lengthOf(1)
    expect(await warnings('https://keys.example/')).to.have.lengthOf(0)
    expect(await warnings('http://localhost:1/')).to.have.lengthOf(0)
  })

  it('serves a token without kid by its only key, and refuses it where there are several', async () => {
    const { server, authority, clock } = await openUrl()
    server.serve(jwk('k1', ec))
    const token = await tokenOf(undefined, ec)
    await authority.authenticate(token, undefined)
    server.serve(jwk('k1', ec), jwk('k2', makePair()))
    clock.ms += 600_000
    await refusal(authority.authenticate(token, undefined), 'unauthorized', /names no kid/)
  })
})

describe('key files', () => {
  afterEach(closeAll)

  it('with a key set are read again for an unknown kid', async () => {
    const file = join(await temporaryFolder(), 'jwks.json')
    const fresh = makePair()
    await writeFile(file, JSON.stringify({ keys: [jwk('k1', ec)] }))
    const { authority, clock } = await open({ config: { issuers: [{ issuer: hmacIssuer.issuer, algorithms: ['ES256'], jwksFile: file }] } })
    await authority.authenticate(await tokenOf('k1', ec), undefined)
    await writeFile(file, JSON.stringify({ keys: [jwk('k2', fresh)] }))
    clock.ms += 1_000
    await authority.authenticate(await tokenOf('k2', fresh), undefined)
    await refusal(authority.authenticate(await tokenOf('k1', ec), undefined), 'unauthorized', /no key for the kid/)
  })

  it('with a key set of more bytes than any has are refused', async () => {
    const file = join(await temporaryFolder(), 'jwks.json')
    await writeFile(file, JSON.stringify({ keys: [jwk('k1', ec)], fill: 'x'.repeat(300_000) }))
    const attempt = open({ config: { issuers: [{ issuer: hmacIssuer.issuer, algorithms: ['ES256'], jwksFile: file }] } })
    await refusal(attempt, 'bad-request', /cannot be read/)
  })

  it('with a PEM are read again for a signature that does not match; the last good key survives a broken file', async () => {
    const file = join(await temporaryFolder(), 'key.pem')
    const fresh = makePair()
    const write = (pair: Pair) => writeFile(file, pair.publicKey.export({ type: 'spki', format: 'pem' }))
    await write(ec)
    const { authority, clock, logger } = await open({
      config: { issuers: [{ issuer: hmacIssuer.issuer, algorithms: ['ES256'], publicKeyFile: file }] },
    })
    await write(fresh)
    await refusal(authority.authenticate(await tokenOf(undefined, fresh), undefined), 'unauthorized', /signature/)
    clock.ms += 1_000
    await authority.authenticate(await tokenOf(undefined, fresh), undefined)
    for (const broken of ['broken', ed.publicKey.export({ type: 'spki', format: 'pem' })]) {
      await writeFile(file, broken)
      clock.ms += 1_000
      await refusal(authority.authenticate(await tokenOf(undefined, ec), undefined), 'unauthorized', /signature/)
      await authority.authenticate(await tokenOf(undefined, fresh), undefined)
    }
    expect(logger.lines.filter(({ message }) => message.includes('last good key'))).to.have.lengthOf(2)
  })
})
