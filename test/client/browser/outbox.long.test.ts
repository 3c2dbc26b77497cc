/** What is published in a browser: over reloads, without a network, and while the page goes away. */
import { expect } from 'chai'
import { amount } from '../../support/amount.ts'
import { busy, expectInOrder, expectWhole, numbered, World } from './world.ts'

describe('browser: the outbox', function () {
  this.timeout(600_000)
  const world = new World()

  it('[P-7.21] [P-9.6] a first load under a strict policy connects, publishes, and reads what it has published', async () => {
    const tab = await world.tab('ann')
    await tab.join(['users/ann'])
    await tab.call('publish', 'users/ann', 'first', 20)
    await tab.answered(20)
    await tab.reached('users/ann', 20)
    expect(tab.last('status')).to.include({ connection: 'online', transport: 'mqtt', outbox: 'durable', leader: true, error: undefined })
    expect(tab.outcomes('promise', 'committed')).to.have.members(numbered('first', 20))
    const log = await world.log('ann')
    expect(log.map(({ id }) => id)).to.deep.equal(numbered('first', 20))
    expectWhole(tab.entries('users/ann'), log)
    expect(tab.all('warning')).to.deep.equal([])
  })

  it('[P-8.9] [P-9.6] what was published offline survives a reload, stands once and in order, and its results are events', async () => {
    const tab = await world.tab('bea')
    const streams = ['users/bea']
    await tab.join(streams, { options: { bounds: busy } })
    world.proxy.refuse()
    await tab.call('publish', 'users/bea', 'kept', 300)
    await tab.call('publish', 'users/else', 'forbidden', 1)
    await tab.kept(301)
    await tab.reload()
    await tab.open(streams, { options: { bounds: busy } })
    await tab.status(({ pending, connection }) => pending === 301 && connection === 'offline', 'what the last life has left')
    await tab.call('publish', 'users/bea', 'later', 1)
    world.proxy.mend()
    await tab.call('retry')
    await tab.until(() => tab.all('settled').length === 302, 'every result as an event')
    expect(tab.outcomes('settled', 'committed')).to.have.members([...numbered('kept', 300), 'later-1'])
    expect(tab.all('settled').find(({ id }) => id === 'forbidden-1')).to.include({ outcome: 'refused', code: 'forbidden' })
    expect(tab.last('refused')?.ids).to.deep.equal(['forbidden-1'])
    const log = await world.log('bea')
    expect(log.map(({ id }) => id)).to.deep.equal([...numbered('kept', 300), 'later-1'])
    await tab.reached('users/bea', 301)
    expectWhole(tab.entries('users/bea'), log)
    // A refused one stays until the app has dismissed it, over reloads as well.
    await tab.kept(1)
    await tab.reload()
    await tab.join([], { options: { bounds: busy } })
    await tab.until(() => tab.last('refused')?.ids[0] === 'forbidden-1', 'the refused one')
    await tab.call('dismiss', 'forbidden-1')
    await tab.kept(0)
    expect(tab.all('settled'), 'nothing is sent again').to.have.length(302)
  })

  it('[P-8.9] [P-13.6] large publishes that have waited are all sent, though the page has them ready at once', async () => {
    const tab = await world.tab('lea')
    await tab.join(['users/lea'], { options: { bounds: busy } })
    world.proxy.refuse()
    await tab.status(({ connection }) => connection === 'offline', 'being offline')
    await tab.call('publish', 'users/lea', 'large', 60, 60_000)
    await tab.kept(60)
    world.proxy.mend()
    await tab.call('retry')
    await tab.answered(60)
    expect((await world.log('lea')).map(({ id }) => id)).to.deep.equal(numbered('large', 60))
    expect(tab.all('warning')).to.deep.equal([])
  })

  it('[P-8.9] the browser goes offline and online again: it comes back at once, sends what waits, and sees no gap', async () => {
    const tab = await world.tab('cat')
    // Only the browser's word that it is online again ends such a pause.
    const bounds = { ...busy, retryFirstMs: 3_600_000, retryLongestMs: 3_600_000 }
    await tab.join(['users/cat'], { options: { bounds } })
    // A socket that is open outlives the emulation; a network that is gone takes it along.
    world.proxy.refuse()
    await tab.status(({ connection }) => connection === 'offline', 'being offline')
    await tab.page.context().setOffline(true)
    await tab.call('publish', 'users/cat', 'offline', 50)
    const elsewhere = world.writer('cat').stream('users/cat')
    await Promise.all(numbered('elsewhere', 30).map((id) => elsewhere.publish('log', { n: 1 }, { id })))
    await tab.status(({ pending }) => pending === 50, 'publishes that wait')
    world.proxy.mend()
    await tab.page.context().setOffline(false)
    await tab.answered(50)
    await tab.reached('users/cat', 80)
    const log = await world.log('cat')
    expect([expectInOrder(log, 'offline'), expectInOrder(log, 'elsewhere')]).to.deep.equal([50, 30])
    expectWhole(tab.entries('users/cat'), log)
    await tab.status(({ connection, pending }) => connection === 'online' && pending === 0, 'nothing that waits')
  })

  it('[P-8.8] [P-8.9] a page that goes away in the middle of publishing: what was answered stands, nothing twice, no hole', async () => {
    const profile = await world.browser.profile()
    const lives = amount(12, 4)
    const answered: string[] = []
    let tab = await world.tab('eve', profile)
    for (let life = 1; life <= lives; life++) {
      await tab.join([], { options: { bounds: busy } })
      const before = tab.all('promise').length
      await tab.call('pump', 'users/eve', `life${life}`, 1 + (life % 8))
      await tab.answered(before + 10 + life * 3)
      const leave = life % 3
      if (leave === 0) await tab.reload()
      else if (leave === 1) await tab.page.close()
      // Left behind, perhaps in the cache of pages to which one can go back.
      else await tab.page.goto('about:blank')
      answered.push(...tab.outcomes('promise', 'committed'))
      if (leave !== 0) tab = await world.tab('eve', profile)
    }
    await tab.join(['users/eve'], { options: { bounds: busy } })
    await tab.kept(0)
    await tab.call('publish', 'users/eve', 'last', 1)
    await tab.until(() => tab.outcomes('promise', 'committed').includes('last-1'), 'the last answer')
    const log = await world.log('eve')
    for (let life = 1; life <= lives; life++) expect(expectInOrder(log, `life${life}`)).to.be.at.least(10 + life * 3)
    expect(log.map(({ id }) => id)).to.include.members(answered)
    await tab.reached('users/eve', log.length)
    expectWhole(tab.entries('users/eve'), log)
  })
})
