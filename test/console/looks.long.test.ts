/** The console on a phone, in the dark, and without a mouse. */
import { expect } from 'chai'
import { browsing } from '../support/browser.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { openByLink, publishAll } from './support.ts'

const long = 'a-rather-long-name-of-a-topic-level-that-goes-on'

describe('console: looks', function () {
  this.timeout(60_000)
  const browser = browsing()
  let server: TestServer
  beforeEach(async () => {
    server = await testServer()
    const data = { title: 'x'.repeat(300), nested: { list: [1, 2, 3] } }
    await publishAll(server, 'users/alice', [
      { topic: `${long}/${long}/1`, data, retain: true },
      { topic: 'notes/1', text: 'word'.repeat(80), retain: true },
    ])
  })
  afterEach(() => server.stop())

  for (const width of [360, 390, 800, 1280]) {
    it(`has no horizontal scrolling at ${width} pixels`, async () => {
      const page = await browser.page({ viewport: { width, height: 760 } })
      const it = await openByLink(page, server)
      const overflows: number[] = []
      for (const view of ['Topics', 'Publish', 'Latency', 'Sessions', 'Entries']) {
        if (width < 720) await page.getByRole('navigation', { name: 'Views' }).getByRole('button', { name: view }).click()
        await page.locator(`section[data-view=${view}]`).waitFor()
        overflows.push(await it.overflow())
        if (width < 720) expect(await page.locator('section:visible').count(), 'one view at a time').to.equal(1)
      }
      await it.rows.first().locator('summary').click()
      await it.tail.locator('.detail').waitFor()
      overflows.push(await it.overflow(), await it.tail.evaluate((element) => element.scrollWidth - element.clientWidth))
      expect(overflows).to.deep.equal(overflows.map(() => 0))
    })
  }

  for (const colorScheme of ['light', 'dark'] as const) {
    it(`can be read in ${colorScheme} colours`, async () => {
      const page = await browser.page({ colorScheme })
      await openByLink(page, server)
      const contrasts = await page.evaluate(contrastsOfPage)
      expect(contrasts.length).to.be.at.least(20)
      expect(contrasts.filter(({ ratio }) => ratio < 4.5)).to.deep.equal([])
      const [background] = await page.evaluate(() => [getComputedStyle(document.body).backgroundColor])
      const lightness = Number(/rgb\((\d+)/.exec(background ?? '')?.[1])
      if (colorScheme === 'dark') expect(lightness).to.be.lessThan(60)
      else expect(lightness).to.be.greaterThan(200)
    })
  }

  it('is used without a mouse: choose a stream, filter, open an entry, publish', async () => {
    const page = await browser.page()
    const it = await openByLink(page, server)
    const press = (...keys: string[]) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve())
    const tabTo = async (what: string): Promise<void> => {
      for (let presses = 0; presses < 60; presses++) {
        const found = await page.evaluate(() => {
          const { activeElement: at } = document
          return at?.matches('button, summary') ? at.textContent : `${at?.getAttribute('aria-label')} ${at?.id}`
        })
        if (found.includes(what)) return
        await press('Tab')
      }
      throw new Error(`Tab does not lead to ${what}`)
    }
    await tabTo('spaces/board-7')
    await press('Enter')
    await it.tail.getByText('Nothing was published here yet.').waitFor()
    await tabTo('publish-topic')
    await page.keyboard.type('cards/1')
    await press('Tab')
    await page.keyboard.type('{"by":"keyboard"}')
    await press('Control+Enter')
    await it.row('{"by":"keyboard"}').waitFor()
    await it.outcome.filter({ hasText: 'On disk' }).waitFor()
    await page.evaluate(() => (document.activeElement as HTMLElement).blur())
    await press('/')
    await page.keyboard.type('keyboard')
    await it.tail.getByText('1 entry of 1 match').waitFor()
    await tabTo('#1')
    await press('Enter')
    await it.tail.locator('.detail').getByText('position').waitFor()
    await press('p')
    await it.button('Resume').waitFor()
    await press('p')
    await it.button('Pause').waitFor()
  })
})

/** The contrast of every visible text with the background behind it, WCAG 2. Runs in the page. */
function contrastsOfPage(): { text: string; ratio: number }[] {
  type Colour = readonly [number, number, number, number]
  const colourOf = (css: string): Colour => {
    const [red = 0, green = 0, blue = 0, alpha = 1] = (css.match(/[\d.]+/g) ?? []).map(Number)
    return [red, green, blue, alpha]
  }
  const channel = (value: number): number => (value <= 10.31 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4)
  const luminance = ([red, green, blue]: Colour): number => 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue)
  const behind = (element: Element | null): Colour => {
    for (let at = element; at; at = at.parentElement) {
      const colour = colourOf(getComputedStyle(at).backgroundColor)
      if (colour[3] === 1) return colour
    }
    return [255, 255, 255, 1]
  }
  return [...document.querySelectorAll('body *')].flatMap((element) => {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim() !== '')
    if (!own || !element.checkVisibility() || element.closest(':disabled, .changed')) return []
    const [one, other] = [luminance(colourOf(getComputedStyle(element).color)), luminance(behind(element))]
    return [{ text: element.textContent ?? '', ratio: (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) }]
  })
}
