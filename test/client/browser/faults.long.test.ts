/** A server that dies, a network that does anything, and a page that sleeps: nothing acknowledged is lost, nothing stands twice, no gap. */
import { expect } from 'chai'
import { amount } from '../../support/amount.ts'
import { busy, expectInOrder, expectWhole, numbered, World } from './world.ts'
import type { Tab } from './tab.ts'

describe('browser: faults', function () {
  this.timeout(600_000)
  const world = new World()
  const lanes = 8

  it('[P-8.8] [P-6.8] the server is killed and started again while the page publishes', async () => {
    const stream = 'users/gus'
    const [tab, other] = [await world.tab('gus'), await world.tab('gus')]
    for (const each of [tab, other]) await each.join([stream], { options: { bounds: busy } })
    await tab.call('pump', stream, 'gus', lanes)
    for (let kill = 1; kill <= amount(8, 2); kill++) {
      await tab.answered(kill * 60)
      await world.server.kill('SIGKILL')
      await tab.status(({ connection }) => connection !== 'online', 'word that the server is gone')
      await world.server.start()
      await tab.status(({ connection }) => connection === 'online', 'being online again')
    }
    await tab.answered(tab.all('promise').length + 60)
    await tab.stop(lanes)
    await expectAllOnce(tab, 'gus', [tab, other])
  })

  for (const transport of ['mqtt', 'http'] as const) {
    it(`[P-8.8] [P-6.8] over ${transport} the network delays, cuts, resets, stalls, loses answers, and dies without a word`, async () => {
      const user = `hal-${transport}`
      const tab = await world.tab(user)
      // Silence is noticed by time alone; too soon costs a session, and nothing else.
      const bounds = { ...busy, putTimeoutMs: 4_000, probeTimeoutMs: 4_000, requestTimeoutMs: 4_000, openTimeoutMs: 8_000, quietMs: 4_000 }
      await tab.join([`users/${user}`], { options: { transport, bounds } })
      await tab.call('pump', `users/${user}`, user, lanes)
      const { proxy } = world
      const gone = (): Promise<void> => tab.status(({ connection }) => connection !== 'online', 'the loss to be noticed')
      const more = (): Promise<void> => tab.answered(tab.all('promise').length + 40)
      const faults: readonly (() => Promise<void> | void)[] = [
        () => proxy.delay(60),
        () => proxy.cut(),
        () => proxy.reset(),
        () => (proxy.hold(), gone()),
        () => (proxy.loseAnswers(), gone()),
        () => proxy.halfOpen('near'),
        () => (proxy.halfOpen('far'), gone()),
        () => (proxy.refuse(), gone()),
      ]
      for (const fault of faults) {
        await more()
        await fault()
        // What only slows down is lived with for a while.
        if (fault === faults[0]) await more()
        proxy.mend()
      }
      await more()
      await tab.stop(lanes)
      await expectAllOnce(tab, user, [tab])
    })
  }

  it('[P-10.23] [P-6.8] a page that stood still for longer than its token lives renews first when it goes on, does not hurry, and misses nothing', async () => {
    const stream = 'users/ivy'
    const lifeMs = 8_000
    const tab = await world.tab('ivy')
    world.tokensOf('ivy').lifeMs = lifeMs
    await tab.join([stream], { options: { bounds: { ...busy, retryFirstMs: 250 } } })
    // Whoever is awake renews at half of the life: the fourth time is more than a whole one after the first.
    let renewed = 0
    let isOver = (): void => {}
    const elsewhere = world.writer('ivy', async () => {
      if (++renewed === 4) isOver()
      return await world.token('ivy')
    })
    await elsewhere.stream(stream).publish('log', { n: 0 }, { id: 'before' })
    await tab.reached(stream, 1)
    const ended = new Promise<void>((resolve) => (isOver = resolve))
    renewed = 0
    // As on a laptop that sleeps: nothing runs, while the clock goes on. Chromium freezes no page that is driven from outside.
    const browser = await tab.page.context().newCDPSession(tab.page)
    await browser.send('Debugger.enable')
    const paused = new Promise((resolve) => browser.once('Debugger.paused', resolve))
    await browser.send('Debugger.pause')
    await Promise.all(numbered('asleep', 30).map((id) => elsewhere.stream(stream).publish('log', { n: 1 }, { id })))
    await paused
    const taken = tab.entries(stream).length
    await ended
    expect(tab.entries(stream).length, 'what a page that stands still has taken').to.equal(taken)
    const steps: string[] = []
    tab.page.on('request', (request) => request.url().endsWith('/v1/token') && steps.push('token'))
    tab.page.on('websocket', () => steps.push('connect'))
    await browser.send('Debugger.resume')
    await browser.send('Debugger.disable')
    await tab.reached(stream, 31)
    await tab.call('publish', stream, 'awake', 5)
    await tab.answered(5)
    expect(steps[0], 'renewed first').to.equal('token')
    expect(steps.length, steps.join(' ')).to.be.at.most(6)
    const log = await world.log('ivy')
    expect([expectInOrder(log, 'asleep'), expectInOrder(log, 'awake')]).to.deep.equal([30, 5])
    await tab.reached(stream, log.length)
    expectWhole(tab.entries(stream), log)
  })

  it('[P-6.8] what is published while the connection closes is sent by the next one, and the page logs nothing of it', async () => {
    const profile = await world.browser.profile()
    await profile.addInitScript(() => {
      const Socket = WebSocket
      globalThis.WebSocket = class extends Socket {
        constructor(...given: ConstructorParameters<typeof WebSocket>) {
          super(...given)
          Object.assign(globalThis, { close: () => this.close() })
        }
      }
    })
    const tab = await world.tab('jan', profile)
    await tab.join(['users/jan'], { options: { bounds: busy } })
    // With a position of the stream at hand nothing has to be asked before the next ones are sent.
    await world.writer('jan').stream('users/jan').publish('log', { n: 0 }, { id: 'before' })
    await tab.reached('users/jan', 1)
    // The server's half of the closing does not arrive.
    world.proxy.hold()
    await tab.page.evaluate(() => close())
    await tab.call('publish', 'users/jan', 'jan', 5)
    // What is kept is sent in the same moment.
    await tab.kept(5)
    world.proxy.mend()
    await tab.answered(5)
    expect(tab.outcomes('promise', 'refused')).to.deep.equal([])
    expect(expectInOrder(await world.log('jan'), 'jan')).to.equal(5)
  })

  /** Everything that was published was acknowledged, stands once and in order, and was read so by all of them. */
  async function expectAllOnce(tab: Tab, user: string, readers: readonly Tab[]): Promise<void> {
    const log = await world.log(user)
    expect(tab.outcomes('promise', 'refused')).to.deep.equal([])
    expect(expectInOrder(log, user)).to.equal(tab.outcomes('promise', 'committed').length).and.to.equal(log.length)
    for (const reader of readers) {
      await reader.reached(`users/${user}`, log.length)
      expectWhole(reader.entries(`users/${user}`), log)
      expect(reader.all('reset')).to.deep.equal([])
    }
  }
})
