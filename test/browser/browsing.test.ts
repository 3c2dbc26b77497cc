/** The means of the browser tests themselves: what a page does wrong is seen. */
import { expect } from 'chai'
import { browsing } from '../support/browser.ts'
import { servedPage, type ServedPage } from '../support/served-page.ts'

describe('browsing', () => {
  const browser = browsing()
  let served: ServedPage | undefined
  afterEach(() => served?.close())

  it('serves a bundled page with what it loads later', async () => {
    const code = `
      import { errorTable } from './protocol/errors.ts'
      const { parsePosition } = await import('./protocol/positions.ts')
      document.body.dataset.seen = errorTable.conflict.status + ' ' + parsePosition('Zk3rQ0aB.42.x7Qp').seq`
    served = await servedPage({ script: { code }, body: '<p>Hello</p>' })
    const page = await browser.page()
    await page.goto(served.origin)
    await page.locator('body[data-seen="412 42"]').waitFor()
    expect(await page.locator('p').textContent()).to.equal('Hello')
  })

  it('sees what a page logs, throws, and is refused by its policy', async () => {
    const code = `
      console.error('logged')
      document.body.insertAdjacentHTML('beforeend', '<p style="color: red">styled')
      setTimeout(() => { throw new Error('thrown') })
      setTimeout(() => (document.body.dataset.done = 'yes'), 1)`
    served = await servedPage({ script: { code } })
    const page = await browser.page()
    const thrown = page.waitForEvent('pageerror')
    await page.goto(served.origin)
    await page.locator('body[data-done]').waitFor()
    expect((await thrown).message).to.equal('thrown')
    expect(browser.console.join('\n'))
      .to.match(/logged/)
      .and.match(/Content Security Policy/)
    browser.expectErrors(/logged|thrown|Content Security Policy/)
  })
})
