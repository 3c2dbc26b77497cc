/** Bounds that a client can meet. */
import { expect } from 'chai'
import { generate } from 'mqtt-packet'
import { defaultLimits } from '../../seams/limits.ts'
import { closeAll, TestClock, testBroker } from '../support/broker.ts'

describe('Limits', () => {
  afterEach(closeAll)

  it('[P-13.8] closes above filtersPerSubscribeMax filters in one SUBSCRIBE or UNSUBSCRIBE', async () => {
    const it = await testBroker()
    const filters = Array.from({ length: 9 }, (_unused, at) => `users/alice/${at}`)
    const fits = await it.client('alice', { clientId: 'fits' })
    expect(await fits.subscribe(filters.slice(0, 8))).to.deep.equal(Array.from({ length: 8 }, () => 1))
    await fits.unsubscribe(filters.slice(0, 8))
    const subscribing = await it.client('alice', { clientId: 'subscribing' })
    subscribing.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) })
    await subscribing.gone('9 filters in a SUBSCRIBE')
    const unsubscribing = await it.client('alice', { clientId: 'unsubscribing' })
    unsubscribing.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: filters })
    await unsubscribing.gone('9 filters in an UNSUBSCRIBE')
  })

  it('[P-13.9] grants exactly subscriptionsPerConnectionMax filters, of all doors together', async () => {
    for (const clean of [true, false]) {
      const it = await testBroker()
      const client = await it.client('alice', { clean, token: { tap: true } })
      expect(await client.subscribe(['reply/alice/#', 'users/#', ...(clean ? ['sync/users/alice/#'] : ['users/alice/x'])])).to.deep.equal(
        clean ? [0, 0, 1] : [0, 0, 1],
      )
      const codes: number[] = []
      for (let at = 0; at < 7; at++)
        codes.push(...(await client.subscribe(Array.from({ length: 8 }, (_unused, index) => `users/alice/${at}/${index}`))))
      expect(codes.filter((code) => code === 1)).to.have.length(47)
      expect(codes.slice(0, 47).every((code) => code === 1)).to.equal(true)
      // One that is held already takes no room.
      expect(await client.subscribe(['users/alice/0/0', 'users/alice/new'])).to.deep.equal([1, 128])
      await client.unsubscribe('users/alice/0/0')
      expect(await client.subscribe('users/alice/new')).to.deep.equal([1])
    }
  })

  it('[P-13.6, P-13.7] takes a payload of payloadBytesMax, and closes one byte more', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    await client.subscribe(['users/alice/#', 'sync/users/alice/#'])
    const payload = Buffer.alloc(defaultLimits.payloadBytesMax, 0xff)
    await client.publish('users/alice/a', payload)
    expect((await client.message('users/alice/a')).payload.equals(payload)).to.equal(true)
    const envelope = await client.message('sync/users/alice/a')
    expect(envelope.payload.length).to.be.at.most(defaultLimits.packetBytesMax)
    client.publishNow('users/alice/a', Buffer.alloc(defaultLimits.payloadBytesMax + 1))
    await client.gone('a payload that is too large')
    expect(it.refusals.at(-1)).to.equal('tcp payload-too-large')
  })

  it('[P-13.6] closes on the header alone of a packet that is too large', async () => {
    const it = await testBroker()
    for (const first of [0x30, 0x82, 0xa2, 0x40, 0xc0, 0xe0, 0x62]) {
      const client = await it.client('alice')
      client.bytes(Buffer.from([first, 0xff, 0xff, 0xff, 0x7f]))
      await client.gone(`a header of type ${first >> 4} and 256 MB`)
    }
    const fresh = await it.raw()
    fresh.bytes(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]))
    await fresh.gone('a CONNECT of 256 MB')
    expect(fresh.bytesRead).to.equal(0)
  })

  it('[P-13.14] holds the input of a publisher that is ahead of the store, and loses nothing', async () => {
    const it = await testBroker({ limits: { appendsPerConnectionMax: 10, appendBytesPerNodeMax: 10_000 } })
    const client = await it.client('alice')
    client.bytes(
      Buffer.concat(
        Array.from({ length: 1_000 }, (_unused, at) =>
          generate({
            cmd: 'publish',
            topic: 'users/alice/a',
            payload: `m${at}`.padEnd(200),
            qos: 1,
            messageId: at + 1,
            retain: false,
            dup: false,
          }),
        ),
      ),
    )
    await client.expect(({ cmd, messageId }) => cmd === 'puback' && messageId === 1_000, 'the last PUBACK')
    expect((await it.log.stream('users/alice')).headSeq).to.equal(1_000)
  })

  it('[P-13.13, P-7.23] cuts a peer that does not read what is due within lingerMs', async () => {
    const it = await testBroker({ limits: { lingerMs: 100, unsentBytesMax: 64 * 1024 } })
    const stalled = await it.client('alice', { clientId: 'stalled' })
    await stalled.subscribe('users/alice/#', 0)
    stalled.socket.pause()
    const writer = await it.client('alice', { clientId: 'writer' })
    for (let at = 0; it.broker.stats().unsentBytes === 0 && at < 1_000; at++) await writer.publish('users/alice/a', Buffer.alloc(90_000))
    await it.close()
    expect(it.broker.stats().connections).to.equal(0)
  })

  it('[P-13.23] lets a user begin newStreamsPerUserPerHourMax streams in an hour, and write on in those', async () => {
    const clock = new TestClock()
    const it = await testBroker({ clock, limits: { newStreamsPerUserPerHourMax: 2, revocationBlindMs: 24 * 3_600_000 } })
    const spaces = { a: 'write', b: 'write', c: 'write' } as const
    const open = (name: string): ReturnType<typeof it.client> => it.client(name, { token: { spaces, ttlMs: 6 * 3_600_000 } })
    const client = await open('alice')
    for (const stream of ['spaces/a', 'spaces/b', 'spaces/a']) await client.publish(`${stream}/x`, 'taken')
    client.publishNow('spaces/c/x', 'one too many')
    await client.gone('it may begin two streams in an hour')
    expect(it.refusals.at(-1)).to.equal('tcp too-many-requests')
    expect(client.inbox.waiting).to.deep.equal([])
    const again = await open('alice')
    await again.publish('spaces/b/x', 'an old stream')
    await (await open('bob')).publish('users/bob/x', 'another user')
    clock.ms += 3_600_000
    await again.publish('spaces/c/x', 'an hour later')
    expect((await it.log.stream('spaces/c')).headSeq).to.equal(1)
  })

  it('[P-13.23] counts streams that were read before, and lets those who did not begin them write on', async () => {
    const it = await testBroker({ limits: { newStreamsPerUserPerHourMax: 2 } })
    const token = { spaces: { a: 'write', b: 'write', c: 'write' } as const }
    const alice = await it.client('alice', { token })
    await alice.subscribe(['a', 'b', 'c'].map((space) => `sync/spaces/${space}/#`))
    for (const space of ['a', 'a', 'b', 'b']) await alice.publish(`spaces/${space}/x`, 'taken')
    alice.publishNow('spaces/c/x', 'one too many')
    await alice.gone('it may begin two streams in an hour')
    expect(it.refusals.at(-1)).to.equal('tcp too-many-requests')
    const bob = await it.client('bob', { token })
    await bob.publish('spaces/c/x', 'by somebody else')
    const again = await it.client('alice', { token })
    await again.publish('spaces/c/x', 'which is there now')
    expect((await it.log.stream('spaces/c')).headSeq).to.equal(2)
  })

  it('[P-13.1] has no bound per user where it is 0', async () => {
    const it = await testBroker({ limits: { connectionsPerUserMax: 0, sessionsPerUserMax: 0, newStreamsPerUserPerHourMax: 0 } })
    for (const clientId of ['one', 'two', 'three']) {
      const client = await it.client('alice', { clientId, clean: false, token: { spaces: { [clientId]: 'write' } } })
      await client.publish(`spaces/${clientId}/x`, 'taken')
    }
    expect(it.broker.stats()).to.include({ connections: 3, sessions: 3 })
  })

  it('[P-13.41] closes a peer that has not read for unreadTimeoutMs, and leaves one in peace that has read again', async () => {
    const clock = new TestClock()
    const { unreadTimeoutMs } = defaultLimits
    const limits = { unsentBytesMax: 32 * 1024, revocationBlindMs: 24 * 3_600_000 }
    const it = await testBroker({ clock, limits })
    const writer = await it.client('alice', { clientId: 'writer' })
    const stalled = await it.client('alice', { clientId: 'stalled' })
    await stalled.subscribe('users/alice/#', 0)
    const stall = async (): Promise<number> => {
      stalled.socket.pause()
      let count = 0
      for (; it.broker.stats().unsentBytes === 0 && count < 1_000; count++) await writer.publish('users/alice/a', Buffer.alloc(90_000))
      return count
    }
    const count = await stall()
    clock.ms += unreadTimeoutMs
    stalled.socket.resume()
    await stalled.messages(count)
    await stalled.ping()
    await stall()
    // It comes after the others in every look at the clock.
    const silent = await it.raw()
    clock.ms += unreadTimeoutMs
    await silent.gone('it has not connected in time, which shows that the clock was looked at')
    expect(it.broker.stats().connections).to.equal(2)
    clock.ms += 1
    const line = await it.lines.take(({ fields }) => fields['code'] === 'unread', 'the end of the stalled connection')
    expect(line.fields['client']).to.equal('stalled')
    await writer.publish('users/alice/a', 'served')
    expect(it.broker.stats().connections).to.equal(1)
  })

  it('[P-4.30] goes on with a backlog at QoS 0 that is larger than unsentBytesMax, although nobody acknowledges', async () => {
    const it = await testBroker({ limits: { unsentBytesMax: 32 * 1024 } })
    const writer = await it.client('alice', { clientId: 'writer' })
    const phone = await it.client('alice', { clientId: 'phone', clean: false })
    await phone.subscribe('users/alice/#', 0)
    await phone.disconnect()
    for (let at = 0; at < 40; at++) writer.publishNow('users/alice/a', `m${at} `.padEnd(20_000, 'x'))
    await writer.ping()
    await writer.expect(({ cmd, messageId }) => cmd === 'puback' && messageId === 40, 'the last PUBACK')
    const back = await it.client('alice', { clientId: 'phone', clean: false, present: true })
    expect((await back.messages(40)).map(({ text }) => text.split(' ')[0])).to.deep.equal(
      Array.from({ length: 40 }, (_unused, at) => `m${at}`),
    )
  })
})
