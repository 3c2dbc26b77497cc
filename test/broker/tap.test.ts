/** Filters across streams. */
import { expect } from 'chai'
import { closeAll, testBroker } from '../support/broker.ts'

describe('A tap', () => {
  afterEach(closeAll)

  it('[P-1.30] needs the grant', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    const filters = ['#', 'users/#', 'users/+/a', '+/alice/a', 'spaces/#']
    expect(await client.subscribe(filters)).to.deep.equal([128, 128, 128, 128, 128])
    expect(it.refusals.filter((refusal) => refusal === 'tcp forbidden')).to.have.length(5)
    const tapping = await it.client('alice', { clientId: 'tapping', token: { tap: true } })
    expect(await tapping.subscribe(filters)).to.deep.equal([0, 0, 0, 0, 0])
  })

  it('[P-1.31] delivers what this server handles, once, at QoS 0, live only', async () => {
    const it = await testBroker()
    const writer = await it.client('alice', { token: { spaces: { board: 'write' } } })
    await writer.publish('users/alice/a', 'retained before', { retain: true })
    const tap = await it.client('admin', { token: { tap: true }, clean: false })
    await tap.subscribe(['#', 'users/#', '+/+/a'])
    await writer.subscribe('reply/alice/#')
    await writer.publish('users/alice/a', 'durable')
    writer.publishNow('users/alice/a', 'ephemeral', { qos: 0 })
    await writer.publish('put/spaces/board/a', '{"id":"one","text":"put"}')
    await tap.ping()
    expect(tap.unread().map(({ topic, text, qos, retain }) => [topic, text, qos, retain])).to.deep.equal([
      ['users/alice/a', 'durable', 0, false],
      ['users/alice/a', 'ephemeral', 0, false],
      ['spaces/board/a', 'put', 0, false],
    ])
    await tap.disconnect()
    await writer.publish('users/alice/a', 'while away')
    const back = await it.client('admin', { token: { tap: true }, clean: false, present: true })
    await writer.publish('users/alice/a', 'back')
    expect((await back.message()).text).to.equal('back')
  })

  for (const openEnabled of [false, true]) {
    it(`[P-1.32] never shows messages on auth, reply or put, open ${openEnabled ? 'on' : 'off'}`, async () => {
      const it = await testBroker({ openEnabled })
      const tap = await it.client('admin', { token: { tap: true } })
      await tap.subscribe(['#', '+/#', '+/+', '+/renew', '+/alice/+', '+/users/alice/a', 'users/#'])
      const writer = await it.client('alice')
      await writer.subscribe('reply/alice/#')
      await writer.publish('put/users/alice/a', '{"id":"one","text":"the entry of a put"}')
      await writer.message('reply/alice/one')
      await writer.publish('put/users/alice/a', '{')
      await writer.message('reply/alice/$ctl')
      for (const qos of [0, 1] as const) {
        await writer.publish('auth/renew', await it.token('alice'), { qos })
        await writer.message('reply/alice/$ctl')
      }
      await writer.publish('users/alice/a', 'end')
      await tap.ping()
      expect(tap.unread().map(({ topic, text }) => [topic, text])).to.deep.equal([
        ['users/alice/a', 'the entry of a put'],
        ['users/alice/a', 'end'],
      ])
    })
  }

  it('[P-1.33] does not help on the sync and put doors', async () => {
    const it = await testBroker()
    const client = await it.client('admin', { token: { tap: true } })
    expect(await client.subscribe(['sync/#', 'sync/users/#', 'put/#', 'reply/#', 'auth/#'])).to.deep.equal([128, 128, 128, 128, 128])
  })
})
