/** What the console says when something is wrong: no server, a stream that begins elsewhere, the end of a token. */
import { expect } from 'chai'
import { inProcess } from '../cli/run.ts'
import { browsing } from '../support/browser.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { Console, numbered, openByLink, publishAll } from './support.ts'

/** What a browser logs about a server that is away. */
const away = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection|50[03]/

describe('console: trouble', function () {
  this.timeout(90_000)
  const browser = browsing()
  let server: TestServer
  afterEach(() => server.stop())

  it('says that it is disconnected, and goes on without a gap when the server is back', async () => {
    server = await testServer()
    browser.expectErrors(away)
    const it = await openByLink(await browser.page(), server)
    await publishAll(server, 'users/alice', numbered(2))
    await it.row('entry 2.').waitFor()
    await server.stop()
    await it.banner('Disconnected').waitFor()
    // While nobody answers it stays; once the server is back it may be gone before anybody can click.
    await it.button('Try now').click()
    await server.restart()
    await publishAll(server, 'users/alice', [{ topic: 'notes/1', text: 'meanwhile' }])
    await it.row('meanwhile').waitFor({ timeout: 20_000 })
    await it.banner('Disconnected').waitFor({ state: 'hidden' })
    expect(await it.tail.locator('.seq').allTextContents()).to.deep.equal(['#1', '#2', '#3'])
  })

  it('says that a stream was reset, and shows its present state', async () => {
    server = await testServer({ store: 'level' })
    browser.expectErrors(away)
    browser.expectErrors(/410/)
    const it = await openByLink(await browser.page(), server)
    await publishAll(server, 'users/alice', [{ topic: 'settings', text: 'standing', retain: true }, ...numbered(2)])
    await it.row('entry 2.').waitFor()
    await server.stop()
    await it.banner('Disconnected').waitFor()
    // Where the page does not find it, the stream goes on and is trimmed.
    const elsewhere = await testServer({ store: 'level', folder: server.folder })
    await publishAll(elsewhere, 'users/alice', numbered(5, 'later'))
    await elsewhere.stop()
    const { code, stderr } = await inProcess(['trim', 'users/alice', '--before', '7', '--data', server.folder])
    expect(code, stderr).to.equal(0)
    await server.restart()
    // As when the network is back: the page may be faster than anybody who presses a button.
    await it.page.evaluate(() => dispatchEvent(new Event('online')))
    await it.banner('users/alice was reset: entries that this page had not seen were trimmed').waitFor({ timeout: 30_000 })
    await it.row('standing').getByText('state').waitFor()
    expect(await it.row('entry 2.').count(), 'what was shown before').to.equal(0)
    await publishAll(server, 'users/alice', [{ topic: 'notes/1', text: 'after' }])
    await it.row('after').waitFor()
    await it.banner('was reset').getByRole('button', { name: 'Dismiss' }).click()
    await it.banner('was reset').waitFor({ state: 'hidden' })
  })

  it('warns before a pasted token ends, and says when it has', async () => {
    server = await testServer()
    browser.expectErrors(/40[01]/)
    const page = await browser.page()
    await page.goto(server.urls.http)
    await page.getByLabel('Token of your app').fill(await server.token('alice', { ttlMs: 6_000 }))
    await page.getByRole('button', { name: 'Use token' }).click()
    const it = new Console(page)
    await it.banner(/This token ends in \d+ s\./).waitFor()
    await it.banner('This token has expired.').waitFor()
    await it.button('Paste a fresh token').click()
    await page.getByLabel('Token of your app').fill(await server.token('alice'))
    await page.getByRole('button', { name: 'Use token' }).click()
    await it.ready()
    expect(await it.banner('This token').filter({ visible: true }).count()).to.equal(0)
  })
})
