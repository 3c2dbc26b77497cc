/** Retained messages on the plain door. */
import { expect } from 'chai'
import { closeAll, testBroker } from '../support/broker.ts'

describe('Retained messages', () => {
  afterEach(closeAll)

  it('[P-4.12, P-4.13] come first and with the retain flag, what follows without it', async () => {
    const it = await testBroker()
    const writer = await it.client('alice', { clientId: 'writer' })
    await writer.publish('users/alice/a', 'old', { retain: true })
    await writer.publish('users/alice/a', 'not retained')
    await writer.publish('users/alice/b', 'b', { retain: true, qos: 2 })
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    await writer.publish('users/alice/a', 'new', { retain: true })
    const got = (await reader.messages(3)).map(({ text, retain, qos }) => `${text} ${retain} ${qos}`)
    expect(got).to.deep.equal(['old true 1', 'b true 1', 'new false 1'])
  })

  it('[P-3.21] are deleted by an empty payload, which is itself delivered', async () => {
    const it = await testBroker()
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    for (const qos of [0, 1, 2] as const) {
      await reader.publish('users/alice/a', 'x', { retain: true })
      await reader.publish('users/alice/a', '', { retain: true, qos })
    }
    expect((await reader.messages(6)).map(({ text }) => text)).to.deep.equal(['x', '', 'x', '', 'x', ''])
    const late = await it.client('alice', { clientId: 'late' })
    await late.subscribe('users/alice/#')
    await late.ping()
    expect(late.unread()).to.deep.equal([])
  })

  it('[P-4.14] are sent again where a filter is subscribed again, which moves nothing', async () => {
    const it = await testBroker({ limits: { inflightMax: 3 } })
    const reader = await it.client('alice', { clientId: 'reader' })
    await reader.subscribe('users/alice/#')
    await reader.publish('users/alice/a', 'kept', { retain: true })
    await reader.message()
    reader.acknowledges = false
    for (let at = 0; at < 5; at++) await reader.publish('users/alice/b', `m${at}`)
    const first = await reader.messages(3)
    await reader.subscribe('users/alice/#')
    reader.acknowledges = true
    for (const { messageId } of first) reader.send({ cmd: 'puback', messageId: messageId as number })
    const rest = await reader.messages(3)
    expect(rest.filter(({ retain }) => retain).map(({ text }) => text)).to.deep.equal(['kept'])
    expect(rest.filter(({ retain }) => !retain).map(({ text }) => text)).to.deep.equal(['m3', 'm4'])
  })

  it('[P-4.12] that were not acknowledged come again to a returning session, as of its SUBSCRIBE', async () => {
    const it = await testBroker()
    const writer = await it.client('alice', { clientId: 'writer' })
    for (const at of [1, 2, 3]) await writer.publish(`users/alice/${at}`, `v${at}`, { retain: true })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    phone.acknowledges = false
    await phone.subscribe('users/alice/#')
    await phone.messages(3)
    phone.destroy()
    await writer.publish('users/alice/1', 'v4', { retain: true })
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    const got = (await back.messages(3)).map(({ text, retain }) => `${text} ${retain}`)
    expect(got).to.deep.equal(['v2 true', 'v3 true', 'v4 false'])
  })

  it('[P-4.30] keep to the window, and all come', async () => {
    const it = await testBroker({ limits: { inflightMax: 4, unsentBytesMax: 20_000 } })
    const writer = await it.client('alice', { clientId: 'writer' })
    for (let at = 0; at < 30; at++) await writer.publish(`users/alice/${at}`, 'x'.repeat(3_000), { retain: true })
    const reader = await it.client('alice', { clientId: 'reader' })
    reader.acknowledges = false
    await reader.subscribe('users/alice/#')
    await writer.publish('users/alice/last', 'last')
    await reader.ping()
    const first = reader.unread()
    expect(first).to.have.length(4)
    reader.acknowledges = true
    for (const { messageId } of first) reader.send({ cmd: 'puback', messageId: messageId as number })
    const all = await reader.messages(31)
    expect(all.map(({ retain }) => retain)).to.deep.equal([...Array.from({ length: 30 }, () => true), false])
    const zero = await it.client('alice', { clientId: 'zero' })
    await zero.subscribe('users/alice/#', 0)
    expect(await zero.messages(30)).to.have.length(30)
  })
})
