/** A real Chromium for tests: one per process, a fresh profile per test, and no error in a page's console goes unseen. */
import { existsSync } from 'node:fs'
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'
import { skipLoudly } from './skipping.ts'

const installed = 'on Debian: apt-get install --no-install-recommends chromium; elsewhere CHROMIUM=path'
const places = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

export interface Browsing {
  /** A fresh profile: storage, locks and channels of its own, which its pages share as tabs do. Closed after the test. */
  profile(options?: BrowserContextOptions): Promise<BrowserContext>
  /** A page in a fresh profile. */
  page(options?: BrowserContextOptions): Promise<Page>
  /** From here to the end of the test errors that match are no fault: a server that is stopped is a failed request. */
  expectErrors(pattern: RegExp): void
  /** What the consoles of this test's pages said, any level, oldest first. */
  readonly console: readonly string[]
}

/**
 * To be called within a suite: gives its tests a Chromium; skips them, loudly, where there is none. A test whose pages
 * logged an error, threw, or broke their Content-Security-Policy fails.
 */
export function browsing(): Browsing {
  let browser: Browser | undefined
  let profiles: BrowserContext[] = []
  let expected: RegExp[] = []
  let errors: string[] = []
  let lines: string[] = []

  before(async function () {
    const path = places.find((place) => place !== undefined && existsSync(place))
    if (path === undefined) skipLoudly(this, `Chromium is missing here (${installed})`)
    browser = await theBrowser(path)
  })
  afterEach(async function () {
    const faults = errors.filter((error) => !expected.some((pattern) => pattern.test(error)))
    await Promise.all(profiles.map((made) => made.close()))
    ;[profiles, expected, errors, lines] = [[], [], [], []]
    if (faults.length === 0) return
    const told = `the page logged errors:\n${[...new Set(faults)].join('\n')}`
    // Said at once: a run that is cut off never comes to its summary.
    console.log(told)
    // The test's own failure says more, and a failing hook would end the suite.
    if (!this.currentTest?.isFailed()) throw new Error(told)
  })

  const watch = (page: Page): void => {
    page.on('console', (message) => {
      const line = `${message.text()} (${message.location().url})`
      lines.push(line)
      if (message.type() === 'error') errors.push(line)
    })
    page.on('pageerror', (error) => errors.push(`${error.stack ?? error}`))
    page.on('crash', () => errors.push('the page crashed'))
  }
  const profile = async (options?: BrowserContextOptions): Promise<BrowserContext> => {
    const made = await (browser as Browser).newContext(options)
    made.setDefaultTimeout(8_000)
    made.on('page', watch)
    // By this functions keep their names when tests are compiled; what runs in the page must find it there, too.
    await made.addInitScript('globalThis.__name ??= (named) => named')
    profiles.push(made)
    return made
  }
  return {
    profile,
    page: async (options) => (await profile(options)).newPage(),
    expectErrors: (pattern) => void expected.push(pattern),
    get console() {
      return lines
    },
  }
}

let running: Promise<Browser> | undefined

function theBrowser(executablePath: string): Promise<Browser> {
  return (running ??= chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] }))
}

// Of the whole run, since this is read outside any suite: an open browser would keep the process from ending. Workers of
// a parallel run are ended from outside, and their browsers with them.
after(async () => {
  const browser = running
  running = undefined
  await (await browser)?.close()
})
