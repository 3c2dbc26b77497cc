/** Tokens that end, and a clock that is wrong. */
import { expect } from 'chai'
import { amount } from '../../support/amount.ts'
import { busy, expectInOrder, expectWhole, World } from './world.ts'

describe('browser: tokens', function () {
  this.timeout(600_000)
  const world = new World()

  it('[P-7.9] [P-10.23] a token that expires every 20 s, and once is not renewed in time: not one entry is lost or doubled', async () => {
    const stream = 'users/joy'
    const tokens = world.tokensOf('joy')
    tokens.lifeMs = 20_000
    const tab = await world.tab('joy')
    const sockets: unknown[] = []
    tab.page.on('websocket', (socket) => sockets.push(socket))
    // One every 10 s, the last but one withheld until the session has ended: three minutes, or three quarters of one.
    const wanted = amount(17, 4)
    const isOffline = (): Promise<void> => tab.status(({ connection }) => connection === 'offline', 'the end of the token')
    tokens.before = (asked) => (asked === wanted ? isOffline() : undefined)
    await tab.join([stream], { options: { bounds: busy } })
    await tab.call('pump', stream, 'joy', 1)
    const enough = new Promise<void>((resolve) => {
      const { before } = tokens
      tokens.before = (asked) => (asked > wanted ? resolve() : before(asked))
    })
    await tab.until(() => tokens.asked >= wanted, 'renewals', 300_000)
    expect(sockets, 'renewed in place').to.have.length(1)
    await enough
    await tab.answered(tab.all('promise').length + 20)
    await tab.stop(1)
    expect(tab.all('status').some(({ connection }) => connection === 'refused')).to.equal(false)
    expect(tab.outcomes('promise', 'refused')).to.deep.equal([])
    tokens.before = () => {}
    const log = await world.log('joy')
    expect(expectInOrder(log, 'joy')).to.equal(tab.outcomes('promise', 'committed').length).and.to.equal(log.length)
    await tab.reached(stream, log.length)
    expectWhole(tab.entries(stream), log)
  })

  for (const [how, byMs] of [
    ['ahead', 7_200_000],
    ['behind', -7_200_000],
  ] as const) {
    it(`[P-10.20] a clock that is two hours ${how} changes nothing: tokens are renewed in time, entries come`, async () => {
      const user = `clock-${how}`
      world.tokensOf(user).lifeMs = 8_000
      const profile = await world.browser.profile()
      await profile.addInitScript((ms) => {
        const now = Date.now.bind(Date)
        Date.now = () => now() + ms
      }, byMs)
      const tab = await world.tab(user, profile)
      await tab.join([`users/${user}`], { options: { bounds: busy } })
      await tab.call('pump', `users/${user}`, user, 1)
      await tab.until(() => world.tokensOf(user).asked >= 3, 'renewals')
      await tab.answered(tab.all('promise').length + 5)
      await tab.stop(1)
      expect(tab.all('status').filter(({ connection }) => connection === 'refused')).to.deep.equal([])
      const log = await world.log(user)
      expect(expectInOrder(log, user)).to.equal(log.length)
      await tab.reached(`users/${user}`, log.length)
      expectWhole(tab.entries(`users/${user}`), log)
    })
  }
})
