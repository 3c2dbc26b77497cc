/** What the board promises to whoever sits at it, whichever engine carries its messages. */
import { expect } from 'chai'
import type { BrowserContext, Page } from 'playwright-core'
import type { Browsing } from '../support/browser.ts'

/** To be called within a suite. */
export function boardHolds(browser: Browsing, example: { readonly origin: string }): void {
  async function open(profile: BrowserContext, name: string): Promise<Page> {
    const page = await profile.newPage()
    await page.goto(example.origin)
    await page.getByLabel('Your name').fill(name)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByText(`${name}: online`).waitFor()
    return page
  }
  const column = (page: Page, name: string) => page.getByRole('region', { name })
  const titles = (page: Page): Promise<string[]> =>
    page.getByLabel('Title').evaluateAll((inputs) => inputs.map((input) => (input as HTMLInputElement).value))

  async function rename(page: Page, title: string): Promise<void> {
    await page.getByLabel('Title').first().fill(title)
    await page.getByLabel('Title').first().press('Tab')
  }
  /** Until the page shows exactly these titles. */
  async function shows(page: Page, ...wanted: string[]): Promise<void> {
    await page.waitForFunction((all) => {
      const found = [...document.querySelectorAll<HTMLInputElement>('article input')].map(({ value }) => value)
      return JSON.stringify(found.sort()) === all
    }, JSON.stringify(wanted.sort()))
  }

  it('shows what one does to all tabs of all members at once', async () => {
    const profile = await browser.profile()
    const [alice, again] = [await open(profile, 'alice'), await open(profile, 'alice')]
    const bob = await open(await browser.profile(), 'bob')
    await column(alice, 'todo').getByRole('button', { name: 'Add a card' }).click()
    await Promise.all([alice, again, bob].map((page) => shows(page, 'New card')))
    await rename(bob, 'Ship it')
    await Promise.all([alice, again].map((page) => shows(page, 'Ship it')))
    await alice.getByRole('button', { name: 'Move on' }).click()
    await Promise.all([alice, again, bob].map((page) => column(page, 'doing').getByLabel('Title').waitFor()))
  })

  it('is used without a mouse: what is drawn anew takes nobody from where they were', async () => {
    const page = await open(await browser.profile(), 'alice')
    const focused = async (): Promise<string | null> => {
      await page.getByText('alice: online', { exact: true }).waitFor()
      return page.evaluate(() => document.activeElement?.textContent ?? null)
    }
    await column(page, 'todo').getByRole('button', { name: 'Add a card' }).focus()
    await page.keyboard.press('Enter')
    await shows(page, 'New card')
    expect(await focused()).to.equal('Add a card')
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.type('Ship it')
    await page.keyboard.press('Tab')
    await shows(page, 'Ship it')
    expect(await focused()).to.equal('Move on')
    await page.keyboard.press('Enter')
    await column(page, 'doing').getByLabel('Title').waitFor()
    expect(await focused()).to.equal('Move on')
    await page.keyboard.press('Enter')
    await column(page, 'done').getByLabel('Title').waitFor()
    expect(await focused()).to.equal('Add a card')
  })

  it('tells who was second what stands there now', async () => {
    const [alice, bob] = [await open(await browser.profile(), 'alice'), await open(await browser.profile(), 'bob')]
    await column(alice, 'todo').getByRole('button', { name: 'Add a card' }).click()
    await Promise.all([alice, bob].map((page) => shows(page, 'New card')))
    // Bob is typing while Alice is done.
    await bob.getByLabel('Title').focus()
    await rename(alice, 'By Alice')
    await shows(alice, 'By Alice')
    await alice.getByText('alice: online', { exact: true }).waitFor()
    await rename(bob, 'By Bob')
    await bob.getByText('Somebody was first').waitFor()
    expect(await bob.getByRole('alert').textContent()).to.contain('By Alice')
    await shows(bob, 'By Alice')
    expect(await titles(alice)).to.deep.equal(['By Alice'])
  })

  it('keeps edits made offline, over a reload, and sends them in their order', async () => {
    const profile = await browser.profile()
    const page = await open(profile, 'alice')
    await column(page, 'todo').getByRole('button', { name: 'Add a card' }).click()
    await page.getByText('alice: online', { exact: true }).waitFor()
    await page.route('**/v1/**', (route) => route.abort())
    await page.evaluate(() => sessionStorage.setItem('kept', 'yes'))
    browser.expectErrors(/ERR_FAILED|ERR_INTERNET_DISCONNECTED|WebSocket/)
    // A socket that is open stays open: it is the reload that leaves the page without one.
    await page.routeWebSocket(/\/mqtt/, (socket) => socket.close())
    await page.reload()
    await page.getByText(/alice: (offline|connecting)/).waitFor()
    await column(page, 'todo').getByRole('button', { name: 'Add a card' }).click()
    await column(page, 'todo').getByRole('button', { name: 'Add a card' }).click()
    await page.getByText('2 to be sent').waitFor()
    await page.unrouteAll()
    const other = await open(await browser.profile(), 'bob')
    await page.reload()
    await page.getByText('alice: online', { exact: true }).waitFor()
    await Promise.all([page, other].map((one) => shows(one, 'New card', 'New card', 'New card')))
  })

  it('shows a withdrawn member nothing more, not even in the window that is open', async () => {
    const [alice, bob] = [await open(await browser.profile(), 'alice'), await open(await browser.profile(), 'bob')]
    await column(alice, 'todo').getByRole('button', { name: 'Add a card' }).click()
    await shows(bob, 'New card')
    browser.expectErrors(/403/)
    await alice.getByLabel('Member').fill('bob')
    await alice.getByRole('button', { name: 'Withdraw' }).click()
    await bob.getByText('You are no member of this board.').waitFor()
    await rename(alice, 'Without Bob')
    await shows(alice, 'Without Bob')
    await shows(bob)
    expect(await bob.content()).not.to.contain('Without Bob')
  })
}
