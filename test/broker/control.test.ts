/** The life of a connection's token: warning, expiry, renewal, revocation. And who may connect. */
import { expect } from 'chai'
import { MemoryStore } from '../../log/stores/memory.ts'
import { closeAll, testBroker, TestClock, type TestBroker } from '../support/broker.ts'
import { calls, GatedStore } from '../support/gated-store.ts'
import type { RawClient } from '../support/raw-mqtt.ts'
import { within } from '../support/waiting.ts'

type Json = Record<string, unknown>

class SickStore extends GatedStore {
  sick = false

  override get healthy(): boolean {
    return !this.sick && super.healthy
  }
}

describe('Connection control', () => {
  afterEach(closeAll)

  const control = async (client: RawClient, id = 'alice'): Promise<Json> =>
    JSON.parse((await client.message(`reply/${id}/$ctl`)).text) as Json
  const blind = { revocationBlindMs: 365 * 24 * 3_600_000 }

  it('[P-7.4, P-10.23, P-13.36, P-12.11] warns before a token expires, then closes', async () => {
    const clock = new TestClock()
    const it = await testBroker({ clock, limits: blind })
    const client = await it.client('alice', { token: { ttlMs: 120_000 } })
    await client.subscribe('reply/alice/#')
    clock.ms += 61_000
    const warning = await control(client)
    expect(warning['ctl']).to.equal('auth-expiring')
    expect(warning['in']).to.be.within(57, 59)
    clock.ms += 60_000
    await client.gone('its token has expired')
    expect(client.unread()).to.deep.equal([])
  })

  it('[P-7.4] warns at once where less than that is left', async () => {
    const it = await testBroker()
    const client = await it.client('alice', { token: { ttlMs: 30_000 } })
    await client.subscribe('reply/alice/$ctl')
    expect((await control(client))['ctl']).to.equal('auth-expiring')
  })

  it('[P-7.5, P-7.9] takes a fresh token: the answer comes before the PUBACK, and the connection lives on', async () => {
    const clock = new TestClock()
    const it = await testBroker({ clock, limits: blind })
    const client = await it.client('alice', { token: { ttlMs: 120_000 } })
    await client.subscribe(['reply/alice/#', 'users/alice/#'])
    const tapping = await it.client('alice', { clientId: 'tapping', token: { tap: true } })
    await tapping.subscribe('#')
    clock.ms += 61_000
    await control(client)
    await client.publish('auth/renew', await it.token('alice', { ttlMs: 3_600_000 }))
    const cmds = client.inbox.all.map(({ cmd }) => cmd)
    expect(cmds.slice(-2)).to.deep.equal(['publish', 'puback'])
    expect(await control(client)).to.deep.equal({ ctl: 'renewed', exp: Math.floor(clock.ms / 1_000) + 3_600 })
    client.publishNow('auth/renew', await it.token('alice', { ttlMs: 7_200_000 }), { qos: 0 })
    expect((await control(client))['ctl']).to.equal('renewed')
    clock.ms += 120_000
    await client.publish('users/alice/a', 'still here')
    expect((await client.message()).text).to.equal('still here')
    // Never logged, stored, delivered or shown to a tap [P-7.10].
    await tapping.ping()
    expect(tapping.unread().map(({ topic }) => topic)).to.deep.equal(['users/alice/a'])
    expect(JSON.stringify(it.lines.all)).to.not.match(/eyJ[\w-]{24}/)
  })

  it('[P-7.6, P-10.24, P-12.11] refuses a renewal that is not of the same user, and leaves all as it was', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    await client.subscribe('reply/alice/#')
    for (const [token, reason] of [
      [await it.token('bob'), 'forbidden'],
      ['nonsense', 'unauthorized'],
      ['', 'unauthorized'],
      ['x'.repeat(9_000), 'unauthorized'],
      [await it.token('alice', { now: Date.now() - 7_200_000 }), 'token-expired'],
    ] as const) {
      await client.publish('auth/renew', token)
      expect(await control(client), token.slice(0, 20)).to.deep.equal({ ctl: 'renew-refused', reason })
    }
    await client.publish('users/alice/a', 'still alice')
  })

  it('[P-7.3] tells a connection of its token on reply/{client}/$ctl if one of its filters covers that, else not', async () => {
    const it = await testBroker()
    for (const [at, filter, hears] of [
      [0, '#', true],
      [1, '+', true],
      [2, '$ctl', true],
      [3, 'one', false],
      [4, undefined, false],
    ] as const) {
      const clientId = `c${at}`
      const client = await it.client('alice', { clientId })
      if (filter !== undefined) expect(await client.subscribe(`reply/${clientId}/${filter}`), filter).to.deep.equal([0])
      await client.publish('auth/renew', await it.token('alice'))
      await client.ping()
      const told = client.unread().map(({ topic, text }) => [topic, (JSON.parse(text) as Json)['ctl']])
      expect(told, filter).to.deep.equal(hears ? [[`reply/${clientId}/$ctl`, 'renewed']] : [])
      if (filter === undefined) continue
      await client.unsubscribe(`reply/${clientId}/${filter}`)
      await client.publish('auth/renew', await it.token('alice'))
      await client.ping()
      expect(client.unread(), `${filter} is unsubscribed`).to.have.length(hears ? 1 : 0)
    }
  })

  it('[P-7.9] closes a renewal with QoS 2 or retain', async () => {
    const it = await testBroker()
    for (const options of [{ qos: 2 }, { retain: true }] as const) {
      const client = await it.client('alice')
      client.publishNow('auth/renew', await it.token('alice'), options)
      await client.gone(JSON.stringify(options))
    }
  })

  it('[P-10.24] lets new grants count at once: filters sleep or end, others wake up', async () => {
    const it = await testBroker()
    const spaces = { board: 'write' } as const
    const client = await it.client('alice', { token: { spaces, tap: true } })
    await client.subscribe(['reply/alice/#', 'spaces/board/#', 'sync/spaces/board/#', 'users/#'])
    await client.message('sync/spaces/board/$ctl')
    await client.publish('auth/renew', await it.token('alice'))
    expect((await control(client))['ctl']).to.equal('renewed')
    const ended = JSON.parse((await client.message('sync/spaces/board/$ctl')).text) as Json
    expect(ended).to.include({ ctl: 'ended', reason: 'grant', filter: 'sync/spaces/board/#' })
    expect(String(ended['pos']).split('.').slice(1)).to.deep.equal(['0', '0000'])
    const bob = await it.client('bob', { token: { spaces } })
    await bob.publish('spaces/board/a', 'while asleep')
    await bob.publish('users/bob/a', 'not tapped')
    await client.publish('auth/renew', await it.token('alice', { spaces }))
    expect((await client.message('spaces/board/a')).text).to.equal('while asleep')
    await client.ping()
    expect(client.unread().map(({ topic }) => topic)).to.deep.equal(['reply/alice/$ctl'])
    client.publishNow('spaces/board/a', 'allowed again')
    await client.message('spaces/board/a')
  })

  it('[P-7.8, P-10.25] tells a revoked connection so and closes it, and refuses its token from then on', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    const other = await it.client('bob')
    await client.subscribe('reply/alice/#')
    const password = await it.token('alice')
    const admin = await it.authority.authenticate(await it.token('admin', { grants: ['ops:revoke'] }), undefined)
    await it.authority.revoke(admin, { uid: 'alice' })
    await client.gone('its user was revoked')
    expect(await control(client)).to.deep.equal({ ctl: 'revoked' })
    const again = await it.raw()
    expect(await again.connect({ clientId: 'alice', password })).to.include({ returnCode: 4 })
    await other.ping()
  })

  it('[P-10.26, P-13.39] delivers nothing while revocations cannot be learned, and goes on afterwards', async () => {
    const store = new GatedStore(new MemoryStore())
    const it = await testBroker({ store, limits: { revocationBlindMs: 200, revocationPollMs: 20 } })
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    const writer = await it.client('alice', { clientId: 'writer' })
    const mend = store.fail((call) => call.name.startsWith('documents.') && call.args[0] === 'revocations')
    await it.lines.take(({ message }) => message.includes('nothing is delivered'), 'blindness')
    await writer.publish('users/alice/a', 'late')
    await reader.ping()
    expect(reader.unread()).to.deep.equal([])
    mend()
    expect((await reader.message()).text).to.equal('late')
  })

  describe('CONNECT', () => {
    async function answer(it: TestBroker, options: Parameters<RawClient['connect']>[0]): Promise<number> {
      const client = await it.raw()
      const { returnCode } = await client.connect(options)
      if (returnCode !== 0) await client.gone(`CONNECT was refused with ${returnCode}`)
      client.destroy()
      return returnCode as number
    }

    it('[P-7.12] serves protocol levels 4 and 3', async () => {
      const it = await testBroker()
      const password = await it.token('alice')
      expect(await answer(it, { clientId: 'a', password })).to.equal(0)
      expect(
        await answer(it, { clientId: 'a-name-longer-than-23-characters', password, protocolId: 'MQIsdp', protocolVersion: 3 }),
      ).to.equal(0)
      expect(await answer(it, { clientId: 'a', password, protocolVersion: 5 })).to.equal(1)
    })

    it('[P-7.14] answers 2 to a client id that is not allowed', async () => {
      const it = await testBroker()
      const password = await it.token('alice')
      const anonymous = await it.raw()
      anonymous.bytes(Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0, 0, 0, 0, 0]))
      expect(await anonymous.expect(({ cmd }) => cmd === 'connack', 'CONNACK')).to.include({ returnCode: 2 })
      await anonymous.gone('it has no client id')
      expect(await answer(it, { clientId: 'x'.repeat(129), password })).to.equal(2)
      expect(await answer(it, { clientId: 'x'.repeat(128), password })).to.equal(0)
      expect(await answer(it, { clientId: '', clean: true, password })).to.equal(0)
    })

    it('[P-7.15, P-13.21, P-13.22] answers 3 above connectionsPerUserMax and sessionsPerUserMax, and to nobody else', async () => {
      const it = await testBroker({ limits: { connectionsPerUserMax: 2, sessionsPerUserMax: 1 } })
      const password = await it.token('alice')
      const first = await it.client('alice', { clientId: 'one', clean: false })
      await it.client('alice', { clientId: 'two' })
      expect(await answer(it, { clientId: 'three', password })).to.equal(3)
      expect(await answer(it, { clientId: 'one', clean: false, password })).to.equal(0)
      await it.client('bob')
      await first.gone('it was taken over')
      expect(await answer(it, { clientId: 'four', clean: false, password })).to.equal(3)
      await it.lines.until(() => it.broker.stats().connections <= 2, 'the refused ones to be gone')
      expect(await answer(it, { clientId: 'five', password })).to.equal(0)
    })

    it('[P-7.15, P-12.23] answers 3 while the store is not usable, and serves again when it is', async () => {
      const store = new SickStore(new MemoryStore())
      const it = await testBroker({ store })
      const password = await it.token('alice')
      store.sick = true
      expect(await answer(it, { clientId: 'a', password })).to.equal(3)
      expect(it.refusals.at(-1)).to.equal('tcp store-unavailable')
      store.sick = false
      const mend = store.fail(calls('documents.claim', 'sessions'))
      expect(await answer(it, { clientId: 'a', clean: false, password })).to.equal(3)
      mend()
      expect(await answer(it, { clientId: 'a', clean: false, password })).to.equal(0)
    })

    it('[P-7.18] gives an empty client id with clean=1 an id, by which it cannot know its reply topics', async () => {
      const it = await testBroker()
      const password = await it.token('alice')
      const reader = await it.client('alice')
      await reader.subscribe('sync/users/alice/#')
      await reader.message() // at
      const ids = new Set<unknown>()
      const nameless = await Promise.all([it.raw(), it.raw()])
      for (const client of nameless) {
        expect(await client.connect({ clientId: '', clean: true, password })).to.include({ returnCode: 0, sessionPresent: false })
        expect(await client.subscribe(['reply//#', 'reply/+/#', 'reply/#', 'users/alice/#'])).to.deep.equal([128, 128, 128, 1])
      }
      for (const client of nameless) {
        await client.publish('users/alice/a', 'x')
        ids.add((JSON.parse((await reader.message('sync/users/alice/a')).text) as Json)['client'])
      }
      expect(ids).to.have.property('size', 2)
      for (const id of ids) expect(id).to.match(/^[A-Za-z0-9_-]+$/)
      for (const client of nameless) await client.ping()
      const [first] = nameless
      first.publishNow('put/users/alice/a', '{"id":"one","text":"x"}')
      await first.gone('nobody would see the answer to its put')
    })

    it('[P-7.16, P-7.17, P-12.11] answers 4 to a bad token, 5 to a will that is not allowed', async () => {
      const it = await testBroker()
      const password = await it.token('alice')
      expect(await answer(it, { clientId: 'a' })).to.equal(4)
      expect(await answer(it, { clientId: 'a', password: 'x' })).to.equal(4)
      expect(await answer(it, { clientId: 'a', password: await it.token('alice', { now: Date.now() - 7_200_000 }) })).to.equal(4)
      for (const topic of ['users/bob/a', 'put/users/alice/a', 'sync/users/alice/a', 'reply/a/x', 'auth/renew', 'users/alice']) {
        expect(
          await answer(it, { clientId: 'a', password, will: { topic, payload: Buffer.from('w'), qos: 1, retain: false } }),
          topic,
        ).to.equal(5)
      }
      expect(it.broker.stats()).to.include({ connections: 0, sessions: 0 })
    })

    it('[P-7.13, P-13.12] closes an authentication that does not end in time', async () => {
      const clock = new TestClock()
      const store = new GatedStore(new MemoryStore())
      const it = await testBroker({ clock, store, limits: blind })
      const gate = store.hold(calls('documents.claim', 'sessions'))
      const client = await it.raw()
      client.connect({ clientId: 'a', clean: false, password: await it.token('alice') }).catch(() => {}) // Never answered.
      await within(gate.reached, 'the session to be claimed')
      clock.ms += 10_001
      await client.gone('its CONNECT was not finished in time')
      gate.release()
      await it.client('alice', { clientId: 'a', clean: false })
    })

    it('[P-7.11, P-13.11] closes what does not begin with a complete CONNECT in time, and a second one', async () => {
      const clock = new TestClock()
      const it = await testBroker({ clock, limits: blind })
      const [silent, partial] = [await it.raw(), await it.raw()]
      partial.bytes(Buffer.from([0x10, 40, 0, 4]))
      const live = await it.client('alice')
      clock.ms += 10_001
      await silent.gone('it said nothing')
      await partial.gone('its CONNECT was not whole')
      await live.ping()
      live.send({ cmd: 'connect', clientId: 'alice', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0 })
      await live.gone('a second CONNECT')
      for (const bytes of [
        [0xc0, 0],
        [0x30, 5, 0, 1, 97, 98, 99],
        [0xe0, 0],
        [0x10, 0],
        [0x47, 0x45, 0x54, 0x20],
        [0x10, 0xff, 0xff, 0xff, 0x7f],
      ]) {
        const client = await it.raw()
        client.bytes(Buffer.from(bytes))
        await client.gone(`first bytes ${bytes.join(' ')}`)
      }
      expect(it.broker.stats().connections).to.equal(0)
    })

    it('[P-10.22, P-1.13] encodes client ids wherever they appear', async () => {
      const it = await testBroker()
      const client = await it.client('alice', { clientId: 'my phone/1' })
      expect(
        await client.subscribe(['reply/my=20phone=2F1/#', 'reply/other/#', 'reply/my phone/1', 'reply/+/#', 'reply/my=20phone=2F1/a/b']),
      ).to.deep.equal([0, 128, 128, 128, 128])
      await client.publish('put/users/alice/a', '{"id":"one","data":1}')
      expect((await client.message()).topic).to.equal('reply/my=20phone=2F1/one')
    })
  })
})
