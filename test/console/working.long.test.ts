/** What a person does with the console, in a real Chromium. */
import { expect } from 'chai'
import { browsing } from '../support/browser.ts'
import { RawClient } from '../support/raw-mqtt.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { numbered, openByLink, publishAll } from './support.ts'

describe('console: working', function () {
  this.timeout(60_000)
  const browser = browsing()
  let server: TestServer
  beforeEach(async () => void (server = await testServer()))
  afterEach(() => server.stop())

  it('publishes, shows it in the tail with everything about it, and in the tree', async () => {
    const it = await openByLink(await browser.page(), server)
    await it.tail.getByText('Nothing was published here yet.').waitFor()
    await it.publish('notes/1', '{"title": "Buy milk"}', { retain: true })
    await it.outcome.filter({ hasText: 'On disk as #1' }).waitFor()
    await it.row('{"title":"Buy milk"}').locator('summary').click()
    const detail = it.tail.locator('.detail')
    await detail.getByText('"title": "Buy milk"').waitFor()
    expect(await detail.locator('dd').first().textContent()).to.match(/^[\w-]{8}\.1\.[\w-]{4}$/)
    await detail.getByText(/received · authorised \+/).waitFor()
    await detail.getByRole('button', { name: 'As text' }).click()
    expect(await detail.locator('pre').textContent()).to.equal('{"title":"Buy milk"}')
    await it.topics.getByText('1 retained topic').waitFor()
    await it.topics.getByRole('button', { name: '1 {"title":"Buy milk"}' }).waitFor()
    await it.publish('notes/1', '', { format: 'nothing (delete)' })
    await it.topics.getByText('No retained messages.').waitFor()
  })

  it('says what is no JSON before anything is sent, and publishes text as it is', async () => {
    const it = await openByLink(await browser.page(), server)
    await it.publish('notes/1', '{title}')
    await it.outcome.filter({ hasText: 'This is no JSON' }).waitFor()
    await it.publish('notes/1', '{title}', { format: 'text' })
    await it.row('{title}').waitFor()
    expect(await it.rows.count()).to.equal(1)
  })

  it('shows the tail live, filtered by words and by topics', async () => {
    const it = await openByLink(await browser.page(), server)
    await publishAll(server, 'users/alice', [
      { topic: 'notes/1', data: { title: 'Ship it' } },
      { topic: 'devices/phone', text: 'ship' },
      { topic: 'notes/2', text: 'other' },
    ])
    await it.row('other').waitFor()
    const filter = it.page.getByLabel('Filter entries')
    await filter.fill('SHIP notes')
    await it.tail.getByText('1 entry of 3 match').waitFor()
    await filter.fill('notes/#')
    await it.tail.getByText('2 entries of 3 match').waitFor()
    await publishAll(server, 'users/alice', [
      { topic: 'devices/phone', text: 'not shown' },
      { topic: 'notes/3', text: 'shown' },
    ])
    await it.row('shown').waitFor()
    expect(await it.rows.count()).to.equal(3)
  })

  it('stands still while paused, and shows what came meanwhile afterwards', async () => {
    await publishAll(server, 'users/alice', [{ topic: 'notes/1', text: 'before' }])
    const it = await openByLink(await browser.page(), server)
    await it.row('before').waitFor()
    await it.button('Pause').click()
    await publishAll(server, 'users/alice', numbered(3))
    await it.button('Resume (3 new)').waitFor()
    expect(await it.rows.count()).to.equal(1)
    await it.button(/^Resume/).click()
    await it.row('entry 3.').waitFor()
    expect(await it.rows.count()).to.equal(4)
  })

  it('goes back through history page by page, in order and without a gap, and stays where one reads', async () => {
    await publishAll(server, 'users/alice', numbered(230))
    const it = await openByLink(await browser.page(), server)
    await it.row('entry 230.').waitFor()
    expect(await it.rows.count()).to.equal(100)
    const reading = it.row('entry 131.')
    await it.tail.evaluate((element) => (element.scrollTop = 0))
    await it.row('entry 31.').waitFor({ state: 'attached' })
    expect(await reading.evaluate((row) => row.getBoundingClientRect().top > 0), 'it was not scrolled away').to.equal(true)
    await it.tail.evaluate((element) => (element.scrollTop = 0))
    await it.row('entry 1.').waitFor({ state: 'attached' })
    const seqs = await it.tail.locator('.seq').allTextContents()
    expect(seqs).to.deep.equal(Array.from({ length: 230 }, (_unused, at) => `#${at + 1}`))
    expect(await it.button('Older entries').isHidden()).to.equal(true)
    await it.button('↓ Newest').click()
    await it.button('↓ Newest').waitFor({ state: 'hidden' })
  })

  it('shows a conflict with what stands there, and lets it be taken over', async () => {
    await publishAll(server, 'users/alice', [{ topic: 'notes/1', data: { by: 'phone' }, retain: true }])
    const it = await openByLink(await browser.page(), server)
    await it.topics.getByRole('button', { name: /by.*phone/ }).click()
    expect(await it.page.getByLabel('Payload').last().inputValue()).to.include('"by": "phone"')
    await publishAll(server, 'users/alice', [{ topic: 'notes/1', data: { by: 'desk' }, retain: true }])
    await it.row('desk').waitFor()
    await it.button('Publish').last().click()
    await it.outcome.filter({ hasText: 'Conflict: somebody came before. alice wrote #2: {"by":"desk"}' }).waitFor()
    await it.button('Take theirs and edit').click()
    await it.page.getByLabel('Payload').last().fill('{"by":"console"}')
    await it.button('Publish').last().click()
    await it.outcome.filter({ hasText: 'On disk as #3' }).waitFor()
    await it.publish('notes/1', '{"by":"nobody"}', { condition: 'if nothing is there' })
    await it.outcome.filter({ hasText: 'alice wrote #3: {"by":"console"}' }).waitFor()
  })

  it('shows the tree live, and narrows the tail to a part of it', async () => {
    const it = await openByLink(await browser.page(), server)
    await it.choose('spaces/board-7')
    await it.topics.getByText('No retained messages.').waitFor()
    await publishAll(server, 'spaces/board-7', [{ topic: 'cards/1', data: 'one', retain: true }], 'bob')
    await it.topics.getByRole('button', { name: '1 "one"' }).waitFor()
    await publishAll(
      server,
      'spaces/board-7',
      [
        { topic: 'cards/1', data: 'two', retain: true },
        { topic: 'columns', data: 3, retain: true },
      ],
      'bob',
    )
    await it.topics.getByRole('button', { name: '1 "two"' }).waitFor()
    await it.topics.getByText('2 retained topics').waitFor()
    await it.topics.locator('summary').filter({ hasText: 'cards/' }).hover()
    await it.topics.getByRole('button', { name: 'filter' }).first().click()
    await it.tail.getByText('2 entries of 3 match').waitFor()
  })

  it('lists the sessions of the user, and draws what passes', async () => {
    const phone = await RawClient.open(server.ports.mqtt)
    await phone.connect({ clientId: 'phone', clean: false, password: await server.token('alice') })
    await phone.subscribe('users/alice/#')
    await phone.disconnect()
    await publishAll(server, 'users/alice', numbered(2))
    const it = await openByLink(await browser.page(), server)
    const session = it.page.locator('.sessions > li').filter({ hasText: 'phone' })
    await session.getByText('2 entries behind').waitFor()
    await session.getByText(/^seen .* · kept$/).waitFor()
    await it.publish('notes/1', '1')
    await it.page
      .locator('.charts .summary')
      .filter({ hasText: /Last minute: .* half arrived within/ })
      .waitFor()
    expect(await it.page.locator('.charts .rate rect').count()).to.be.at.least(1)
    expect(await it.page.locator('.charts .latency rect').count()).to.be.at.least(1)
  })
})
