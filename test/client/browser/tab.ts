/** One tab with the page under test, over all its lives: what it tells is kept here when it is loaded again. */
import type { Page } from 'playwright-core'
import { Inbox } from '../../support/waiting.ts'
import type { App, Opening, Told } from './told.ts'

/** So long a loaded machine may take for what is a matter of moments. */
const patienceMs = 120_000

type Of<What extends Told['what']> = Extract<Told, { readonly what: What }>

export class Tab {
  readonly page: Page
  readonly #told = new Inbox<Told>()
  readonly #byKind = new Map<Told['what'], Told[]>()
  readonly #entries = new Map<string, Of<'entry'>[]>()
  readonly #url: string

  private constructor(page: Page, url: string) {
    this.page = page
    this.#url = url
  }

  static async load(page: Page, origin: string, url: string, token: () => Promise<string>): Promise<Tab> {
    const tab = new Tab(page, url)
    await page.exposeFunction('tell', (told: readonly Told[]) => told.forEach((one) => tab.#hear(one)))
    await page.exposeFunction('token', token)
    await page.goto(origin, { timeout: patienceMs })
    return tab
  }

  /** Connects, and reads these streams: from the beginning, or from where it was before it was loaded again. */
  async open(streams: readonly string[], options: Partial<Opening> = {}): Promise<void> {
    const places = Object.fromEntries(streams.map((stream) => [stream, this.position(stream)]))
    await this.page.evaluate((opening) => app.open(opening), { url: this.#url, streams: places, ...options })
  }

  /** Opens, and is online. */
  async join(streams: readonly string[], options: Partial<Opening> = {}): Promise<void> {
    await this.open(streams, options)
    await this.status(({ connection }) => connection === 'online', 'being online')
  }

  /** A new life of the page: what the last one said about itself no longer counts. */
  async reload(): Promise<void> {
    await this.page.reload({ timeout: patienceMs })
    this.#byKind.delete('status')
    this.#byKind.delete('refused')
  }

  call<Name extends keyof App>(name: Name, ...args: Parameters<App[Name]>): Promise<Awaited<ReturnType<App[Name]>>> {
    const call = ([method, given]: [Name, Parameters<App[Name]>]): ReturnType<App[Name]> =>
      (app[method] as (...all: Parameters<App[Name]>) => ReturnType<App[Name]>)(...given)
    return this.page.evaluate(call as never, [name, args] as never)
  }

  all<What extends Told['what']>(what: What): Of<What>[] {
    return listIn(this.#byKind as Map<What, Of<What>[]>, what)
  }

  last<What extends Told['what']>(what: What): Of<What> | undefined {
    return this.all(what).at(-1)
  }

  /** The entries of a stream as the app has taken them, over all lives of the tab. */
  entries(stream: string): Of<'entry'>[] {
    return listIn(this.#entries, stream)
  }

  /** Where an app would go on that keeps the position with what it has taken. */
  position(stream: string): string {
    return this.entries(stream).at(-1)?.pos ?? 'earliest'
  }

  outcomes(what: 'promise' | 'settled', outcome: 'committed' | 'refused'): string[] {
    return this.all(what).flatMap((told) => (told.outcome === outcome ? [told.id] : []))
  }

  until(holds: () => boolean, what: string, timeoutMs = patienceMs): Promise<void> {
    return this.#told.until(holds, what, timeoutMs)
  }

  /** The newest status is one of these. */
  status(holds: (status: Of<'status'>) => boolean, what: string): Promise<void> {
    return this.until(() => {
      const status = this.last('status')
      return status !== undefined && holds(status)
    }, what)
  }

  /** So many publishes have been answered since the tab was opened. */
  answered(count: number, timeoutMs = patienceMs): Promise<void> {
    return this.until(() => this.all('promise').length >= count, `${count} answers`, timeoutMs)
  }

  /** Until the browser's database holds so many publishes. */
  async kept(count: number): Promise<void> {
    let found = -1
    while (found !== count) found = await this.call('kept')
  }

  /** Ends the pump, and waits until everything that it has published is answered. */
  async stop(lanes: number): Promise<void> {
    const ended = this.all('pumped').length + lanes
    await this.call('stop')
    await this.until(() => this.all('pumped').length >= ended, 'the last answers')
  }

  /** Entries up to this one have been taken. */
  reached(stream: string, seq: number, timeoutMs = patienceMs): Promise<void> {
    return this.until(() => (this.entries(stream).at(-1)?.seq ?? 0) >= seq, `entry ${seq} of ${stream}`, timeoutMs)
  }

  #hear(told: Told): void {
    listIn(this.#byKind, told.what).push(told)
    if (told.what === 'entry') listIn(this.#entries, told.stream).push(told)
    this.#told.add(told)
  }
}

function listIn<Key, Value>(lists: Map<Key, Value[]>, key: Key): Value[] {
  const list = lists.get(key) ?? []
  lists.set(key, list)
  return list
}
