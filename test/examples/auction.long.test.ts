/** The auction, started as its README says, in a real Chromium; and its load, small. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { expect } from 'chai'
import type { BrowserContext, Page } from 'playwright-core'
import { Tally } from '../../examples/auction/load/tally.ts'
import { browsing } from '../support/browser.ts'
import { cleanEnvironment } from '../support/server.ts'
import { root } from '../support/source-files.ts'
import { tempFolder } from '../support/temp.ts'
import { exampleProgram } from './program.ts'

describe('examples/auction', function () {
  this.timeout(90_000)
  const browser = browsing()
  const example = exampleProgram('auction')

  async function login(page: Page, name: string): Promise<Page> {
    await page.goto(example.origin)
    await page.getByLabel('Your name').fill(name)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByText(`${name}: online`).waitFor()
    await price(page, 'From €100')
    return page
  }
  const open = async (profile: BrowserContext, name: string): Promise<Page> => login(await profile.newPage(), name)
  const price = (page: Page, text: string): Promise<void> =>
    page.getByRole('region', { name: 'Price' }).getByText(text, { exact: true }).waitFor()
  const bidButton = (page: Page) => page.getByRole('button', { name: 'Bid', exact: true })
  const newest = (page: Page) => page.getByRole('list', { name: 'Bids' }).getByRole('listitem').first()

  async function bid(page: Page, amount: number): Promise<void> {
    await page.getByLabel('Your bid').fill(String(amount))
    await page.getByLabel('Your bid').press('Enter')
  }

  /** A page that hears nothing of the server from `hold` until `release`, while what it says goes through. */
  async function slowPage(name: string): Promise<{ page: Page; hold: () => void; release: () => void }> {
    const page = await (await browser.profile()).newPage()
    let held: (() => void)[] | undefined
    await page.routeWebSocket(/\/mqtt/, (socket) => {
      const server = socket.connectToServer()
      server.onMessage((message) => {
        const pass = (): void => socket.send(message)
        if (held) held.push(pass)
        else pass()
      })
    })
    await login(page, name)
    return {
      page,
      hold: () => (held = []),
      release: () => {
        const passed = held
        held = undefined
        passed?.forEach((pass) => pass())
      },
    }
  }

  it('[P-9.15, P-9.16] lets the first of two equal bids win, and the other one be raised at once', async () => {
    const alice = await open(await browser.profile(), 'alice')
    const { page: bob, hold, release } = await slowPage('bob')
    hold()
    await bid(alice, 100)
    await price(alice, '€100')
    await alice.getByText('bid by you').waitFor()
    await bid(bob, 100)
    await bob.getByText('bob: online, 1 on the way').waitFor()
    release()
    await bob.getByText('Somebody was first: alice bids €100.').waitFor()
    await price(bob, '€100')
    await bob.getByRole('button', { name: 'Bid €110 now' }).click()
    await Promise.all([alice, bob].map((page) => price(page, '€110')))
    await alice.getByText('bid by bob').waitFor()
    expect(await alice.getByRole('list', { name: 'Bids' }).getByRole('listitem').count()).to.equal(2)
  })

  it('[P-3.17] shows where the time of each bid went, hop by hop', async () => {
    const [alice, bob] = [await open(await browser.profile(), 'alice'), await open(await browser.profile(), 'bob')]
    await bid(alice, 100)
    await price(alice, '€100')
    // From her first entry on the page knows the server's clock, and says when it was asked to bid.
    await bid(alice, 150)
    await price(bob, '€150')
    const hops = /to the broker \d+ ms authorised \d+ ms on disk \d+ ms sent \d+ ms received here \d+ ms together \d+ ms/
    for (const page of [alice, bob]) await newest(page).getByText(hops).waitFor()
  })

  it('[P-3.2] counts who watches', async () => {
    const alice = await open(await browser.profile(), 'alice')
    await alice.getByText('1 watching').waitFor()
    const bob = await open(await browser.profile(), 'bob')
    await Promise.all([alice, bob].map((page) => page.getByText('2 watching').waitFor()))
    await bob.goto('about:blank')
    await alice.getByText('1 watching').waitFor()
  })

  it('ends for everybody at one place of the log: a bid after it is told so', async () => {
    const alice = await open(await browser.profile(), 'alice')
    const auctioneer = await open(await browser.profile(), 'auctioneer')
    const { page: bob, hold, release } = await slowPage('bob')
    await bid(alice, 100)
    await price(bob, '€100')
    hold()
    await auctioneer.getByRole('button', { name: 'Close the lot' }).click()
    await alice.getByText('The lot is closed: sold to you.').waitFor()
    expect(await bidButton(alice).isDisabled()).to.equal(true)
    await bid(bob, 110)
    await bob.getByText('1 on the way').waitFor()
    release()
    await bob.getByText('Too late: the lot was sold to alice for €100.').waitFor()
    await bob.getByText('The lot is closed: sold to alice.').waitFor()
    await auctioneer.getByRole('button', { name: 'Open the next lot' }).click()
    await Promise.all([alice, bob].map((page) => page.getByRole('heading', { name: 'Lot 2' }).waitFor()))
    await bid(bob, 100)
    await price(alice, '€100')
  })

  it('says that it is offline, and lets nobody bid then', async () => {
    const profile = await browser.profile()
    const page = await open(profile, 'alice')
    browser.expectErrors(/ERR_INTERNET_DISCONNECTED|WebSocket/)
    await profile.setOffline(true)
    await page.getByText('You are offline.').waitFor()
    expect(await bidButton(page).isDisabled()).to.equal(true)
    await profile.setOffline(false)
    await page.getByText('You are offline.').waitFor({ state: 'hidden' })
    await bid(page, 100)
    await price(page, '€100')
  })

  it('fits a phone', async () => {
    const page = await open(await browser.profile({ viewport: { width: 360, height: 640 }, colorScheme: 'dark' }), 'a'.repeat(32))
    await bid(page, 1_000_000)
    await price(page, '€1,000,000')
    await newest(page).getByText('received here').waitFor()
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).to.be.at.most(360)
  })
})

describe('examples/auction/load', function () {
  this.timeout(120_000)

  it('tells every watcher of every bid once, beside frozen ones', async () => {
    const sizes = ['--watchers', '30', '--bids', '10', '--frozen', '10%', '--seconds', '3', '--sdk', '12']
    const { code, output } = await load(...sizes, '--limit', '60000')
    expect(output).to.match(/30 watchers \(3 frozen\), 10 bids\/s for 3 s; 12 watchers are tidemark\/client/)
    expect(output).to.match(/30 accepted \([\d.]+\/s\), [1-9]\d* conflicts; entries at the watchers: 0 missed, 0 doubled/)
    expect(output).to.match(/p50 [\d.]+, p95 [\d.]+, p99 [\d.]+; limit 60000/)
    expect(code, output).to.equal(0)
  })

  it('fails where the last watcher is told too late', async () => {
    const { code, output } = await load('--watchers', '2', '--bids', '5', '--seconds', '1', '--limit', '0.01')
    expect(output).to.match(/TOO SLOW/)
    expect(code, output).to.equal(1)
  })

  it('counts what a watcher missed or was told twice', () => {
    const tally = new Tally()
    for (const seq of [4, 5, 5, 8, 7, 9]) tally.took(seq)
    expect([tally.missed(4, 9), tally.missed(3, 11), tally.doubled]).to.deep.equal([2, 5, 2])
    expect(new Tally().missed(4, 9)).to.equal(6)
  })

  let running: ChildProcess | undefined
  afterEach(() => {
    // It ends by itself, unless the test has not waited for that.
    if (running?.pid !== undefined && running.exitCode === null) process.kill(-running.pid, 'SIGTERM')
    running = undefined
  })

  async function load(...args: string[]): Promise<{ code: number | null; output: string }> {
    const env = { ...cleanEnvironment(), TMPDIR: await tempFolder() }
    const command = ['run', '--silent', 'example:auction:load', '--', ...args]
    const child = spawn('npm', command, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    running = child
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, output }
  }
})
