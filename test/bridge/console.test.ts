/** How the console is served, and how it gets tokens in development mode. */
import { gunzipSync } from 'node:zlib'
import { expect } from 'chai'
import { ask, askRaw, makeWorld, refusals, type World } from './support.ts'

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
const script = `export const long = '${'x'.repeat(2_000)}'`
const files = new Map([
  ['index.html', Buffer.from('<!doctype html><title>Console</title>')],
  ['main-AB12.js', Buffer.from(script)],
])

describe('bridge: the console', () => {
  let world: World
  afterEach(() => world.close())

  it('[P-19.1, P-11.12] is what browsers get at /, and others get a text', async () => {
    world = await makeWorld({ console: files })
    const page = await ask(world, '/', { headers: html })
    expect([page.status, page.headers.get('content-type')]).to.deep.equal([200, 'text/html; charset=utf-8'])
    expect(page.text).to.include('<title>Console')
    const text = await ask(world, '/', { headers: { accept: '*/*' } })
    expect(text.headers.get('content-type')).to.equal('text/plain; charset=utf-8')
    for (const { headers } of [page, text]) expect(headers.get('vary')).to.include('Accept')
  })

  it('[P-19.1] is a text where no console is installed', async () => {
    world = await makeWorld()
    expect((await ask(world, '/', { headers: html })).text).to.match(/^Tidemark 9\.9\.9/)
    expect((await ask(world, '/console/main-AB12.js')).body['code']).to.equal('not-found')
  })

  it('[P-19.2] has files that may be kept for ever, and a page that may not', async () => {
    world = await makeWorld({ console: files })
    const { text, headers } = await ask(world, '/console/main-AB12.js')
    expect(text).to.equal(script)
    expect(headers.get('content-type')).to.equal('text/javascript; charset=utf-8')
    expect(headers.get('cache-control')).to.equal('public, max-age=31536000, immutable')
    expect(headers.get('x-content-type-options')).to.equal('nosniff')
    expect((await ask(world, '/', { headers: html })).headers.get('cache-control')).to.equal('no-cache')
    for (const name of ['index.html', 'other.js', '..%2Fpackage.json', '__proto__', '%2e%2e%2f%2e%2e%2fetc%2fpasswd']) {
      const answer = await ask(world, `/console/${name}`)
      expect([answer.status, answer.body['code']], name).to.deep.equal([404, 'not-found'])
    }
  })

  it('[P-19.2] is sent small to who can read that', async () => {
    world = await makeWorld({ console: files })
    const zipped = await askBytes(world, '/console/main-AB12.js', 'gzip, br')
    expect(zipped.encoding).to.equal('gzip')
    expect(zipped.bytes.length).to.be.lessThan(500)
    expect(gunzipSync(zipped.bytes).toString()).to.equal(script)
    expect(await askBytes(world, '/console/main-AB12.js', 'br')).to.include({ encoding: undefined })
  })

  it('[P-19.3] runs what comes from here, talks to this server, and stands in no frame', async () => {
    world = await makeWorld({ console: files })
    const { headers } = await ask(world, '/', { headers: html })
    const policy = new Map(
      (headers.get('content-security-policy') ?? '').split('; ').map((part) => part.split(/ (.*)/) as [string, string]),
    )
    expect(policy.get('default-src')).to.equal("'none'")
    for (const name of ['script-src', 'style-src', 'connect-src', 'img-src']) expect(policy.get(name), name).to.equal("'self'")
    for (const name of ['base-uri', 'form-action', 'frame-ancestors']) expect(policy.get(name), name).to.equal("'none'")
    expect(headers.get('referrer-policy')).to.equal('no-referrer')
    expect(headers.get('cross-origin-opener-policy')).to.equal('same-origin')
  })

  describe('in development mode', () => {
    const json = { secret: 'printed', name: 'alice', spaces: { 'board-7': 'write' } }

    it('[P-19.4] gets tokens for the secret, and nobody stores them', async () => {
      world = await makeWorld({ developmentMode: true })
      const { status, body, headers } = await ask(world, '/v1/dev/token', { json })
      expect([status, body]).to.deep.equal([200, { token: 'alice {"board-7":"write"}' }])
      expect(headers.get('cache-control')).to.equal('no-store')
    })

    it('[P-19.4] gets none for another secret, and no token or secret stands in the log', async () => {
      world = await makeWorld({ developmentMode: true })
      const { status, body } = await ask(world, '/v1/dev/token', { json: { ...json, secret: 'guessed-secret' } })
      expect([status, body['code']]).to.deep.equal([403, 'forbidden'])
      expect(await refusals(world, 'forbidden')).to.equal(1)
      expect(world.lines.join('')).to.not.include('guessed-secret')
    })

    it('[P-19.4] gets none for what is no request of this form', async () => {
      world = await makeWorld({ developmentMode: true })
      const bad = [{ ...json, grants: ['tap'] }, { ...json, name: '' }, { ...json, spaces: { a: 'admin' } }, { name: 'alice' }, [], 'x']
      for (const one of bad)
        expect((await ask(world, '/v1/dev/token', { json: one })).body['code'], JSON.stringify(one)).to.equal('bad-request')
      const form = await ask(world, '/v1/dev/token', { body: JSON.stringify(json), headers: { 'content-type': 'text/plain' } })
      expect(form.status, 'what a page of another site could send without being asked').to.be.within(400, 415)
    })

    it('[P-19.4] is not there where an issuer is configured', async () => {
      world = await makeWorld()
      expect((await ask(world, '/v1/dev/token', { json })).body['code']).to.equal('not-found')
      expect(Object.keys((await ask(world, '/openapi.json')).body['paths'] as object)).to.not.include('/v1/dev/token')
    })
  })
})

async function askBytes(world: World, path: string, accepted: string): Promise<{ encoding: string | undefined; bytes: Buffer }> {
  const { headers, text } = await askRaw(world, path, { host: 'localhost', 'accept-encoding': accepted }, 'GET', 'latin1')
  return { encoding: headers['content-encoding'], bytes: Buffer.from(text, 'latin1') }
}
