/** The bridge with the real authority and the real store: one way through all of it. */
import { expect } from 'chai'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Authority, exchangeGrantType, jwtTokenType, loadDevelopmentKey, mintDevelopmentToken } from '../../auth/index.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { silentLogger } from '../../seams/logger.ts'
import { ask, history, makeWorld, type World } from './support.ts'

describe('bridge: with the real authority', () => {
  let folder: string
  let world: World
  let authority: Authority
  const mint = async (name: string, grants: string[] = []): Promise<string> =>
    mintDevelopmentToken({ key: await loadDevelopmentKey(folder), audience: 'tidemark', name, grants, now: world.clock.ms })

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-bridge-'))
    world = await makeWorld({
      openEnabled: true,
      authority: async (clock, { documents }) => {
        const config = {
          dataFolder: folder,
          issuers: [],
          audience: 'tidemark',
          mqttUrl: 'mqtt://localhost',
          httpUrl: 'http://localhost',
          anonymous: true,
          openEnabled: true,
        }
        authority = await Authority.open(config, { documents, clock, limits: defaultLimits, logger: silentLogger })
        return authority
      },
    })
  })
  after(async () => {
    await world.close()
    await authority.close()
    await rm(folder, { recursive: true })
  })

  it('a development token is exchanged for a narrower one, which reads, publishes only what it may, and is revoked [P-10.18] [P-10.21] [P-10.25]', async () => {
    const alice = await mint('alice')
    const form = new URLSearchParams({
      grant_type: exchangeGrantType,
      subject_token: alice,
      subject_token_type: jwtTokenType,
      scope: 'subscribe:users/alice/# publish:users/alice/notes/#',
      client_id: 'my phone',
    })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const exchanged = await ask(world, '/v1/token', { body: form.toString(), headers })
    expect(exchanged.status, exchanged.text).to.equal(200)
    const narrow = exchanged.body['access_token'] as string
    const path = '/v1/streams/users/alice/entries'
    expect((await ask(world, path, { token: narrow, json: { topic: 'notes/1', data: 1 } })).status).to.equal(201)
    expect((await ask(world, path, { token: narrow, json: { topic: 'other', data: 1 } })).status).to.equal(403)
    const { entries } = await history(world, '', path, narrow)
    expect(entries[0]).to.include({ from: 'alice', client: 'my=20phone' })
    form.set('scope', 'subscribe:users/bob/#')
    const wider = await ask(world, '/v1/token', { body: form.toString(), headers })
    expect([wider.status, wider.body['error']]).to.deep.equal([400, 'invalid_scope'])
    const ops = await mint('ops', ['ops:revoke'])
    expect((await ask(world, '/v1/revocations', { token: ops, json: { uid: 'alice' } })).status).to.equal(204)
    for (const token of [alice, narrow]) expect((await ask(world, path, { token })).status).to.equal(401)
  })

  it('without a token the open stream can be used where anonymous clients may, and nothing else [P-1.29]', async () => {
    expect((await ask(world, '/v1/streams/open/-/entries', { json: { topic: 'a', data: 1 } })).status).to.equal(201)
    expect((await ask(world, '/v1/streams/open/-/entries')).status).to.equal(200)
    expect((await ask(world, '/v1/streams/users/bob/entries')).status).to.equal(403)
  })

  it('a forged and an expired token are 401 with their codes [P-10.2] [P-10.4] [P-12.11]', async () => {
    const bob = await mint('bob')
    expect((await ask(world, '/v1/streams/users/bob/entries', { token: bob })).status).to.equal(200)
    const [head = '', claims = ''] = bob.split('.')
    expect((await ask(world, '/v1/streams/users/bob/entries', { token: `${head}.${claims}.AAAA` })).body['code']).to.equal('unauthorized')
    world.clock.ms += 3_600_001
    expect((await ask(world, '/v1/streams/users/bob/entries', { token: bob })).body['code']).to.equal('token-expired')
    world.clock.ms -= 3_600_001
  })

  it('the key set holds public keys only [P-11.7]', async () => {
    const { text } = await ask(world, '/.well-known/jwks.json')
    expect(text).to.not.match(/"d"|"k"/)
  })
})
