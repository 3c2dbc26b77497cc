/** A browser that has no room, or keeps nothing at all. */
import { expect } from 'chai'
import { busy, expectWhole, numbered, World } from './world.ts'

describe('browser: storage', function () {
  this.timeout(600_000)
  const world = new World()

  it('[P-9.6] 10,000 publishes offline with a quota of 5 MB: each is kept or refused, what is kept stands once, others go on', async () => {
    const tab = await world.tab('dot')
    const streams = ['users/dot', 'spaces/board']
    await tab.join(streams, { options: { bounds: busy } })
    const browser = await tab.page.context().newCDPSession(tab.page)
    await browser.send('Storage.overrideQuotaForOrigin', { origin: world.origin, quotaSize: 5_000_000 })
    world.proxy.refuse()
    await tab.status(({ connection }) => connection === 'offline', 'being offline')
    await tab.call('publish', 'users/dot', 'much', 10_000, 1_200)
    await tab.answered(1)
    // Decided are those refused at once, and those in the database.
    const waits = (): number => 10_000 - tab.all('promise').length
    let kept = -1
    while (kept !== waits()) kept = await tab.call('kept')
    expect(new Set(tab.all('promise').map((told) => told.outcome === 'refused' && told.code))).to.deep.equal(new Set(['storage-full']))
    expect(kept).to.be.within(100, 9_900)
    world.proxy.mend()
    await tab.call('retry')
    await tab.answered(10_000, 300_000)
    const log = await world.log('dot')
    const refused = new Set(tab.outcomes('promise', 'refused'))
    expect(refused.size).to.equal(10_000 - kept)
    expect(log.map(({ id }) => id)).to.deep.equal(numbered('much', 10_000).filter((id) => !refused.has(id)))
    await tab.reached('users/dot', log.length)
    expectWhole(tab.entries('users/dot'), log)
    const other = world.writer('dot').stream('spaces/board')
    await other.publish('log', { n: 1 }, { id: 'other' })
    await tab.reached('spaces/board', 1)
    // There is room again.
    await tab.call('publish', 'spaces/board', 'again', 10)
    await tab.answered(10_010)
    expect(tab.outcomes('promise', 'committed')).to.include.members(numbered('again', 10))
  })

  const refusals: Readonly<Record<string, () => void>> = {
    'throws at the call': () => {
      indexedDB.open = () => {
        throw new DOMException('not in this mode', 'SecurityError')
      }
    },
    'refuses later': () => {
      if (location.protocol !== 'http:') return
      const open = indexedDB.open.bind(indexedDB)
      // A version that is older than what is there ends in an error, as a refusal does.
      const newer = new Promise((resolve) => (open('refused', 9).onsuccess = resolve))
      void newer
      indexedDB.open = () => open('refused', 1)
    },
  }
  for (const [how, refuse] of Object.entries(refusals)) {
    it(`[P-8.9] where IndexedDB ${how}, memory has to do: it says so, and everything else works`, async () => {
      const user = how.replaceAll(' ', '-')
      const profile = await world.browser.profile()
      await profile.addInitScript(refuse)
      const tab = await world.tab(user, profile)
      await tab.join([`users/${user}`], { options: { bounds: busy } })
      await tab.status(({ outbox }) => outbox === 'memory', 'the word that memory has to do')
      expect(tab.all('warning').map(({ code }) => code)).to.deep.equal(['storage-unavailable'])
      await tab.call('publish', `users/${user}`, 'online', 5)
      await tab.answered(5)
      world.proxy.refuse()
      await tab.status(({ connection }) => connection === 'offline', 'being offline')
      await tab.call('publish', `users/${user}`, 'offline', 5)
      await tab.status(({ pending }) => pending === 5, 'publishes that wait')
      world.proxy.mend()
      await tab.answered(10)
      const log = await world.log(user)
      expect(log.map(({ id }) => id)).to.deep.equal([...numbered('online', 5), ...numbered('offline', 5)])
      await tab.reached(`users/${user}`, 10)
      expectWhole(tab.entries(`users/${user}`), log)
    })
  }
})
