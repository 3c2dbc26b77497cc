/** Several tabs of one browser: one of them has the connection, and any of them may go. */
import { expect } from 'chai'
import { busy, expectInOrder, expectWhole, World } from './world.ts'
import type { Tab } from './tab.ts'

const lanes = 4

/** A later release, whose tabs speak another language and whose database has another version. */
const newer: Readonly<Record<string, (source: string) => string>> = {
  'client/tabs/messages.ts': (source) => source.replace('channelVersion = 1', 'channelVersion = 2'),
  'client/outbox/indexeddb-store.ts': (source) =>
    source
      .replace('const version = 1', 'const version = 2')
      .replace('upgrade: (database) => void', 'upgrade: (database, from) => from > 0 ? undefined : void'),
}

describe('browser: tabs', function () {
  this.timeout(600_000)
  const world = new World()

  it('[P-6.8] [P-8.8] the leader is closed while all publish: another tab takes over, and nothing is lost or doubled', async () => {
    const profile = await world.browser.profile()
    const stream = 'users/fay'
    const tabs: Tab[] = []
    const sockets: number[] = []
    for (let each = 0; each < 3; each++) {
      const tab = await world.tab('fay', profile)
      tab.page.on('websocket', () => (sockets[each] = (sockets[each] ?? 0) + 1))
      await tab.join([stream], { options: { bounds: busy } })
      tabs.push(tab)
    }
    expect(tabs.map((tab) => tab.last('status')?.leader)).to.deep.equal([true, false, false])
    expect(sockets, 'one connection for all').to.deep.equal([1])
    for (const [at, tab] of tabs.entries()) await tab.call('pump', stream, `tab${at}`, lanes)
    for (const leader of tabs.slice(0, 2)) {
      for (const tab of tabs) if (!tab.page.isClosed()) await tab.answered(tab.all('promise').length + 30)
      await leader.page.close()
    }
    const [, , last] = tabs as [Tab, Tab, Tab]
    await last.status(({ leader, connection }) => leader && connection === 'online', 'the last tab to lead')
    await last.answered(last.all('promise').length + 30)
    await last.stop(lanes)
    await expectComplete(last, 'fay', tabs)
  })

  it('[P-8.8] two releases of the page in one browser, with another database and another language among tabs, harm nobody', async () => {
    const profile = await world.browser.profile()
    const stream = 'users/una'
    const open = async (): Promise<Tab> => {
      const tab = await world.tab('una', profile)
      await tab.join([stream], { options: { bounds: busy } })
      return tab
    }
    const old = await open()
    await old.call('pump', stream, 'old', lanes)
    await old.answered(30)
    await world.release(newer)
    const fresh = await open()
    await world.release()
    await fresh.call('pump', stream, 'fresh', lanes)
    for (const tab of [old, fresh]) await tab.answered(tab.all('promise').length + 30)
    // The older one can no longer keep anything, and says so.
    await old.status(({ outbox }) => outbox === 'memory', 'the word that memory has to do')
    const late = await open()
    await late.status(({ outbox }) => outbox === 'memory', 'the word that memory has to do')
    await late.call('pump', stream, 'late', lanes)
    for (const tab of [old, fresh, late]) await tab.answered(tab.all('promise').length + 30)
    expect([old, fresh, late].map((tab) => tab.last('status')?.leader)).to.deep.equal([true, true, false])
    expect(fresh.last('status')?.outbox).to.equal('durable')
    await old.stop(lanes)
    await old.page.close()
    for (const tab of [fresh, late]) await tab.answered(tab.all('promise').length + 30)
    await late.stop(lanes)
    await fresh.stop(lanes)
    await expectComplete(fresh, 'una', [old, fresh, late])
  })

  /** What was answered stands; what one tab has published is in order and without a hole; nobody has missed anything. */
  async function expectComplete(last: Tab, user: string, tabs: readonly Tab[]): Promise<void> {
    await last.kept(0)
    const log = await world.log(user)
    const names = new Set(log.map(({ id }) => id.split('-')[0] as string))
    expect(names.size).to.equal(3)
    for (const name of names) expectInOrder(log, name)
    for (const tab of tabs) {
      expect(tab.outcomes('promise', 'refused')).to.deep.equal([])
      expect(log.map(({ id }) => id)).to.include.members(tab.outcomes('promise', 'committed'))
      const open = !tab.page.isClosed()
      if (open) await tab.reached(`users/${user}`, log.length)
      const taken = tab.entries(`users/${user}`)
      expectWhole(taken, open ? log : log.slice(0, taken.length))
    }
  }
})
