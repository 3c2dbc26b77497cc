/** The console of a real server in a real browser, found as a person finds its parts: by name. */
import type { Locator, Page } from 'playwright-core'
import type { TestServer } from '../support/server.ts'
import { within } from '../support/waiting.ts'

/** Opens the link that the server prints, and waits for the first entries or for word that there are none. */
export async function openByLink(page: Page, server: TestServer): Promise<Console> {
  await page.goto(server.running.consoleUrl)
  const console = new Console(page)
  await console.ready()
  return console
}

export class Console {
  readonly page: Page

  constructor(page: Page) {
    this.page = page
  }

  /** Online, and the tail has begun. */
  async ready(): Promise<void> {
    await this.page.locator('.connection[data-state=online]').waitFor({ timeout: 20_000 })
    await this.tail.getByText('Loading …').waitFor({ state: 'hidden' })
  }

  get tail(): Locator {
    return this.page.getByRole('region', { name: 'Entries' }).last()
  }

  get rows(): Locator {
    return this.tail.locator('.entries > li')
  }

  get topics(): Locator {
    return this.page.locator('.topics')
  }

  get outcome(): Locator {
    return this.page.locator('.outcome')
  }

  row(text: string): Locator {
    return this.rows.filter({ hasText: text })
  }

  banner(text: string | RegExp): Locator {
    return this.page.locator('.banner').filter({ hasText: text })
  }

  button(name: string | RegExp): Locator {
    return this.page.getByRole('button', { name })
  }

  async choose(stream: string): Promise<void> {
    await this.page.getByRole('navigation', { name: 'Streams' }).getByRole('button', { name: stream, exact: true }).click()
    await this.tail.getByText('Loading …').waitFor({ state: 'hidden' })
  }

  async publish(topic: string, payload: string, { format = 'JSON', retain = false, condition = '' } = {}): Promise<void> {
    await this.page.locator('#publish-topic').fill(topic)
    await this.page.getByLabel('as', { exact: true }).selectOption(format)
    await this.page.getByLabel('condition').selectOption(condition === '' ? 'none' : condition)
    if (condition === '' && format !== 'nothing (delete)') await this.page.getByLabel('retain').setChecked(retain)
    if (payload !== '') await this.page.getByLabel('Payload').last().fill(payload)
    await this.button('Publish').last().click()
  }

  /** The page is as wide as the screen, and no wider. */
  async overflow(): Promise<number> {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  }
}

/** Publishes by HTTP as this user; resolves with the position of the last one. */
export async function publishAll(
  server: TestServer,
  stream: string,
  bodies: readonly { readonly topic: string; readonly data?: unknown; readonly text?: string; readonly retain?: boolean }[],
  name = 'alice',
): Promise<string> {
  const token = await server.token(name, { spaces: { 'board-7': 'write' } })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  let pos = ''
  for (const body of bodies) {
    const sent = fetch(`${server.urls.http}/v1/streams/${stream}/entries`, { method: 'POST', headers, body: JSON.stringify(body) })
    const answer = await within(sent, 'the answer to a publish')
    if (!answer.ok) throw new Error(await answer.text())
    pos = ((await answer.json()) as { pos: string }).pos
  }
  return pos
}

export function numbered(count: number, topic = 'notes/1'): { topic: string; text: string }[] {
  return Array.from({ length: count }, (_unused, at) => ({ topic, text: `entry ${at + 1}.` }))
}
