/** The open stream: every topic whose first level is not reserved. */
import { expect } from 'chai'
import { closeAll, testBroker } from '../support/broker.ts'

describe('The open stream', () => {
  afterEach(closeAll)

  it('[P-1.24] is off by default', async () => {
    const it = await testBroker()
    const client = await it.client('alice')
    expect(await client.subscribe(['lamp/+', '#', '+/x'])).to.deep.equal([128, 128, 128])
    client.publishNow('lamp/on', '1')
    await client.gone('there is no open stream')
  })

  it('[P-1.25] knows only MQTT’s own rules for names', async () => {
    const it = await testBroker({ openEnabled: true })
    const client = await it.client('alice')
    expect(await client.subscribe('#')).to.deep.equal([1])
    const topics = ['a', '/', '/a//b', 'a/*?', 'constructor', 'toString/__proto__', 'open/-/x', 'a/$b', '1/2/3/4/5/6/7/8']
    for (const topic of topics) await client.publish(topic, topic)
    expect((await client.messages(topics.length)).map(({ topic }) => topic)).to.deep.equal(topics)
  })

  it('[P-1.26] keeps topics that begin with $ from wildcards, and $SYS and $share from everybody [P-1.22]', async () => {
    const it = await testBroker({ openEnabled: true })
    const client = await it.client('alice')
    expect(await client.subscribe(['#', '+/x', '$mine/x', '$SYS/#', '$share/g/#'])).to.deep.equal([1, 1, 1, 128, 128])
    await client.publish('$mine/x', 'exact')
    await client.publish('$other/x', 'nobody')
    await client.publish('a', 'end')
    expect((await client.messages(2)).map(({ text }) => text)).to.deep.equal(['exact', 'end'])
    for (const topic of ['$SYS/x', '$share/g/x']) {
      const other = await it.client('alice', { clientId: 'other' })
      other.publishNow(topic, 'x')
      await other.gone(topic)
    }
  })

  it('[P-4.12] a filter that looks like the name of the stream matches its own topics only', async () => {
    const it = await testBroker({ openEnabled: true })
    const client = await it.client('alice')
    const sync = await it.client('alice', { clientId: 'sync' })
    expect(await client.subscribe('open/-/#')).to.deep.equal([1])
    expect(await sync.subscribe('sync/open/-/open/-/#')).to.deep.equal([1])
    await sync.message() // at
    await client.publish('lamp/on', 'not theirs')
    await client.publish('open/-/x', 'theirs')
    expect((await client.message()).text).to.equal('theirs')
    await sync.message('sync/open/-/open/-/x')
    expect(sync.unread().filter(({ topic }) => !topic.endsWith('$ctl'))).to.deep.equal([])
  })

  it('[P-1.28] a filter that begins with a wildcard means the open stream only, whatever the grants', async () => {
    const it = await testBroker({ openEnabled: true })
    const client = await it.client('alice', { token: { tap: true } })
    expect(await client.subscribe(['#', '+/+/a'])).to.deep.equal([1, 1])
    await client.publish('users/alice/a', 'own stream')
    await client.publish('x/y/a', 'open')
    expect((await client.message()).text).to.equal('open')
  })

  it('[P-1.29] serves a client without credentials where that is turned on, and nothing else of it', async () => {
    const it = await testBroker({ openEnabled: true, anonymous: true })
    const client = await it.raw()
    expect(await client.connect({ clientId: 'lamp' })).to.include({ returnCode: 0 })
    expect(await client.subscribe(['lamp/#', 'users/alice/#', 'spaces/a/#', 'users/#'])).to.deep.equal([1, 128, 128, 128])
    await client.publish('lamp/on', '1')
    expect((await client.message()).text).to.equal('1')
    client.publishNow('users/~anonymous/a', 'x')
    await client.gone('it may use the open stream only')
  })

  it('[P-7.16] refuses a client without credentials where that is not turned on', async () => {
    const it = await testBroker({ openEnabled: true })
    const client = await it.raw()
    expect(await client.connect({ clientId: 'lamp' })).to.include({ returnCode: 4 })
    await client.gone('it has shown no token')
  })

  it('[P-6.5] passes over what would not fit behind the sync door', async () => {
    const it = await testBroker({ openEnabled: true })
    const client = await it.client('alice')
    await client.subscribe('sync/open/-/#')
    await client.publish('1/2/3/4/5/6', 'too deep')
    await client.publish('1/2/3/4/5', 'fits')
    await client.message('sync/open/-/1/2/3/4/5')
    expect(client.unread().filter(({ topic }) => !topic.endsWith('$ctl'))).to.deep.equal([])
  })
})
