/** How the console gets its token, in a real Chromium. */
import { expect } from 'chai'
import { browsing } from '../support/browser.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { Console, openByLink, publishAll } from './support.ts'

describe('console: signing in', function () {
  this.timeout(60_000)
  const browser = browsing()
  let server: TestServer
  beforeEach(async () => void (server = await testServer()))
  afterEach(() => server.stop())

  it('[P-19.1, P-19.4] opens signed in by the link that the server prints, and takes the secret out of the address', async () => {
    await publishAll(server, 'users/alice', [{ topic: 'notes/1', text: 'hello' }])
    const page = await browser.page()
    const it = await openByLink(page, server)
    await it.row('hello').waitFor()
    expect(page.url()).to.equal(`${server.urls.http}/`)
    expect(await page.locator('.who').textContent()).to.equal('alice')
    expect(await page.title()).to.equal('Tidemark console')
    // A reload stays signed in.
    await page.reload()
    await it.row('hello').waitFor()
  })

  it('[P-19.4] says what to do with the link of an earlier start', async () => {
    browser.expectErrors(/403/)
    const page = await browser.page()
    await page.goto(`${server.urls.http}/#dev=wrong`)
    await page.getByRole('alert').filter({ hasText: 'This link is of an earlier start of the server.' }).waitFor()
    // The right one, in the same tab.
    await page.goto(server.running.consoleUrl)
    await new Console(page).ready()
  })

  it('says that a bad token is refused, and takes a good one', async () => {
    browser.expectErrors(/400/)
    const page = await browser.page()
    await page.goto(server.urls.http)
    await page.getByLabel('Token of your app').fill('no-token')
    await page.getByRole('button', { name: 'Use token' }).click()
    await page.getByRole('alert').filter({ hasText: 'The server refuses this token' }).waitFor()
    await page.getByLabel('Token of your app').fill(await server.token('bob'))
    await page.getByRole('button', { name: 'Use token' }).click()
    await new Console(page).ready()
    expect(await page.locator('.streams button').allTextContents()).to.deep.equal(['users/bob', 'outbox/bob', 'inbox/bob'])
  })

  it('lets a user be picked, with spaces, in development mode', async () => {
    await publishAll(server, 'spaces/board-7', [{ topic: 'cards/1', data: { title: 'Ship it' }, retain: true }])
    const page = await browser.page()
    const it = await openByLink(page, server)
    await it.button('Switch user').click()
    await page.getByLabel('Name').fill('bob')
    await page.getByLabel('Spaces').fill('board-7=read')
    await it.button('Sign in').click()
    await it.ready()
    await it.choose('spaces/board-7')
    await it.row('Ship it').waitFor()
    await page.getByText('This token may not publish here.').waitFor()
  })

  it('shows of a token that grants a part that part', async () => {
    await publishAll(server, 'users/alice', [
      { topic: 'notes/1', text: 'shown' },
      { topic: 'private', text: 'hidden' },
    ])
    const form = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: await server.token('alice'),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      scope: 'subscribe:users/alice/notes/#',
    })
    const answer = (await (await fetch(`${server.urls.http}/v1/token`, { method: 'POST', body: form })).json()) as { access_token: string }
    // Sessions are for whole tokens [P-19.5].
    browser.expectErrors(/403/)
    const page = await browser.page()
    await page.goto(server.urls.http)
    await page.getByLabel('Token of your app').fill(answer.access_token)
    await page.getByRole('button', { name: 'Use token' }).click()
    const it = new Console(page)
    await it.ready()
    await it.row('shown').waitFor()
    expect(await it.row('hidden').count()).to.equal(0)
  })
})
