/** Who was revoked or withdrawn, and has a connection at AWS IoT Core, which asks nobody while it stands. */
import { expect } from 'chai'
import type { MqttClient } from 'mqtt'
import { Grants } from '../../../auth/index.ts'
import { Evictions } from '../../../bridge/aws-iot/evictions.ts'
import { connect } from '../../../client/index.ts'
import { Log } from '../../../log/log.ts'
import { MemoryStore } from '../../../log/stores/memory.ts'
import { SyncError } from '../../../protocol/errors.ts'
import { silentLogger } from '../../../seams/logger.ts'
import { AwsWorld } from '../../support/aws/world.ts'
import type { TestServer } from '../../support/server.ts'
import { Inbox, within } from '../../support/waiting.ts'
import { Device } from './support.ts'

describe('[P-20.19] a connection to AWS IoT Core whose token was revoked, or whose user was withdrawn', function () {
  this.timeout(60_000)
  let world: AwsWorld
  let server: TestServer

  beforeEach(async () => {
    world = await AwsWorld.start()
    server = await world.server()
  })
  afterEach(async () => {
    await server?.stop()
    await world?.close()
  })

  async function asked(method: string, path: string, user: string, options: object, body?: object): Promise<Response> {
    const authorization = `Bearer ${await server.token(user, options)}`
    const sent = body
      ? { headers: { authorization, 'content-type': 'application/json' }, body: JSON.stringify(body) }
      : { headers: { authorization } }
    return await fetch(`${server.urls.http}/v1/${path}`, { method, ...sent })
  }
  async function revoke(body: object): Promise<void> {
    expect((await asked('POST', 'revocations', 'ops', { grants: ['ops:revoke'] }, body)).status).to.equal(204)
  }
  async function withdraw(uid: string): Promise<void> {
    expect((await asked('DELETE', `streams/spaces/b/members/${uid}`, 'owner', { spaces: { b: 'own' } })).status).to.equal(200)
  }
  const closed = (client: MqttClient): Promise<void> =>
    within(new Promise<void>((resolve) => client.once('close', () => resolve())), 'the connection to be closed')
  async function gauges(): Promise<Readonly<Record<string, number>>> {
    const text = await (await fetch(`${server.urls.http}/metrics`)).text()
    return Object.fromEntries([...text.matchAll(/^tidemark_aws_(\w+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]))
  }

  it('is closed, on every client of the user and nobody else, and again when its URL opens another one', async () => {
    const phone = await Device.open(world, server, 'alice')
    const laptop = await world.device(await world.admitted(server.urls.http, await server.token('alice'), 'laptop'))
    const bob = await Device.open(world, server, 'bob')
    const both = Promise.all([closed(phone.client), closed(laptop)])
    await revoke({ uid: 'alice' })
    await both
    const again = await world.device(phone.admitted)
    await closed(again)
    expect(world.gateway.connected('acme.')).to.deep.equal([bob.admitted.mqtt.client_id])
    expect((await gauges())['closed_connections']).to.equal(3)
  })

  it('is closed on the one client that was revoked', async () => {
    const phone = await Device.open(world, server, 'alice')
    const laptop = await world.admitted(server.urls.http, await server.token('alice'), 'laptop')
    await world.device(laptop)
    const over = closed(phone.client)
    await revoke({ uid: 'alice', client: phone.admitted.client_id })
    await over
    expect(world.gateway.connected('acme.')).to.deep.equal([laptop.mqtt.client_id])
  })

  it('is closed where the token reaches the space, and token exchange gives the space no more: then it stays', async () => {
    const [alice, elsewhere] = [
      await Device.open(world, server, 'alice'),
      await world.admitted(server.urls.http, await server.token('alice'), 'tv'),
    ]
    await world.device(elsewhere)
    const carol = await Device.open(world, server, 'carol')
    expect(alice.admitted.scope).to.include('spaces/b/#')
    const token = await server.token('alice', { spaces: { b: 'own' } })
    const over = closed(alice.client)
    await withdraw('alice')
    await over
    const fresh = await world.admitted(server.urls.http, token, 'phone')
    expect(fresh.scope).to.not.include('spaces/b')
    expect(fresh.scope).to.include('users/alice/#')
    await world.device(fresh)
    // What still came about the old connection has been looked at when the next is closed.
    const bob = await Device.open(world, server, 'bob')
    const next = closed(bob.client)
    await withdraw('bob')
    await next
    expect(world.gateway.connected('acme.')).to.have.members([fresh, elsewhere, carol.admitted].map(({ mqtt }) => mqtt.client_id))
  })

  it('[P-20.15] is not opened for ever by the SDK: it asks token exchange, and says that it is refused', async () => {
    const token = await server.token('alice')
    const client = connect({ url: server.urls.http, name: 'tablet', getToken: () => Promise.resolve(token), onWarning: () => {} })
    try {
      await client.stream('users/alice').publish('x', 1)
      expect(client.status.get().transport).to.equal('aws-iot')
      const refused = new Promise<void>((resolve) => {
        client.status.subscribe(({ connection, error }) => {
          if (connection === 'refused' && error?.code === 'unauthorized') resolve()
        })
      })
      await revoke({ uid: 'alice' })
      await within(refused, 'the SDK to say that it is refused', 30_000)
      expect(world.gateway.connects.filter((clientId) => clientId === 'acme.alice.tablet').length).to.be.at.most(4)
    } finally {
      await client.close()
    }
  })

  it('is closed after a restart, too, where its client has put since', async () => {
    const phone = await Device.open(world, server, 'alice')
    await phone.hearReplies()
    await server.restart()
    await world.bridged()
    await phone.put('users/alice/x', { id: 'put-1', data: 1 })
    await phone.answer('put-1')
    const over = closed(phone.client)
    await revoke({ uid: 'alice' })
    await over
  })

  it('is tried again where AWS fails; where AWS does not let the server, the revocation holds all the same', async () => {
    const [alice, bob] = [await Device.open(world, server, 'alice'), await Device.open(world, server, 'bob')]
    world.gateway.switches.failClosings = 2
    const over = closed(alice.client)
    await revoke({ uid: 'alice' })
    await over
    world.serverPolicies.length = 0
    const refused = world.gateway.refusals.length
    await revoke({ uid: 'bob' })
    const url = `${server.urls.http}/v1/streams/users/bob/entries`
    expect((await fetch(url, { headers: { authorization: `Bearer ${bob.admitted.access_token}` } })).status).to.equal(401)
    for (let counted = 0; counted < 1;) counted = (await gauges())['unclosed_connections'] ?? 0
    expect(world.gateway.refusals.slice(refused)).to.deep.equal(['not authorized'])
    expect(world.gateway.connected('acme.bob')).to.have.length(1)
  })
})

describe('[P-20.19] ending a connection', () => {
  it('is tried again where the credentials of the server cannot be had for a moment', async () => {
    const log = await Log.open({ store: new MemoryStore() })
    let change = (): void => {}
    const onChange = (listener: () => void): (() => void) => {
      change = listener
      return () => {}
    }
    const tried = new Inbox<string>()
    const evictions = new Evictions({
      authority: { isRevoked: () => true, onChange, onExchange: () => () => {} },
      log,
      logger: silentLogger,
      closeConnection: (clientId) => {
        tried.add(clientId)
        if (tried.all.length > 1) return Promise.resolve(true)
        return Promise.reject(new SyncError('engine-credentials', 'the instance does not tell them'))
      },
    })
    try {
      const grants = Grants.parse(['subscribe:users/alice/#'])
      const [issuedAtMs, expiresAtMs] = [Date.now() - 1_000, Date.now() + 60_000]
      evictions.met({ uid: 'alice', client: 'acme=2Ealice=2Ephone', grants, issuedAtMs, expiresAtMs, jti: 'jti-1', kind: 'broker' })
      change()
      await tried.until(() => tried.all.length === 2, 'the second try')
      expect([tried.all, evictions.failed]).to.deep.equal([['acme.alice.phone', 'acme.alice.phone'], 0])
    } finally {
      await evictions.close()
      await log.close()
    }
  })
})
