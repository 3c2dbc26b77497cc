/** A server of its own process, the fault proxy before it, and pages of a real Chromium that use the SDK. */
import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { SignJWT } from 'jose'
import type { BrowserContext } from 'playwright-core'
import { FaultProxy } from '../../../chaos/faults/proxy.ts'
import { connect, type Client } from '../../../client/index.ts'
import { browsing, type Browsing } from '../../support/browser.ts'
import { servedPage, type PageOptions, type ServedPage } from '../../support/served-page.ts'
import { childServer, freePorts, type ChildServer } from '../../support/server.ts'
import { Tab } from './tab.ts'

/** Bounds of a client that meets trouble: it tries again soon, and a machine that is busy is no trouble. */
export const busy = {
  retryFirstMs: 50,
  retryLongestMs: 500,
  openTimeoutMs: 120_000,
  requestTimeoutMs: 120_000,
  tokenTimeoutMs: 120_000,
  putTimeoutMs: 120_000,
  probeTimeoutMs: 120_000,
  storageOpenTimeoutMs: 120_000,
  tabAnswerMs: 30_000,
} as const

/** What a browser logs about a network that fails, and about requests that are refused. */
const failing = /net::ERR_|WebSocket connection|status of (?:40[13]|50\d)/

const issuer = 'https://app.example.org'

/** What an app's back end would be asked for. */
export interface Tokens {
  lifeMs: number
  /** How many have been asked for. */
  asked: number
  /** Called before each is given. */
  before: (asked: number) => Promise<void> | void
}

export interface LogEntry {
  readonly seq: number
  readonly id: string
}

export class World {
  readonly browser: Browsing
  server!: ChildServer
  proxy!: FaultProxy
  readonly tokens = new Map<string, Tokens>()
  #served: ServedPage | undefined
  #port = 0
  #writers: Client[] = []
  readonly #secret = randomBytes(32).toString('base64url')

  /** To be called within a suite: a server for all of its tests, where each should be another user. */
  constructor() {
    this.browser = browsing()
    before(async () => {
      const [port] = (await freePorts(1)) as [number]
      const origin = `http://127.0.0.1:${port}`
      const issuers = [{ issuer, algorithms: ['HS256' as const], secret: this.#secret }]
      // What a page has ready at once may be more than a WebSocket message.
      const limits = { webSocketMessageBytesMax: 256 * 1024 }
      this.server = await childServer({ settings: { issuers, corsOrigins: [origin], limits } })
      this.proxy = await FaultProxy.open('browser', this.server.ports.http)
      this.#port = port
      await this.release()
    })
    beforeEach(() => this.browser.expectErrors(failing))
    afterEach(async () => {
      this.proxy.mend()
      await Promise.all(this.#writers.splice(0).map((writer) => writer.close()))
    })
    after(async () => {
      await this.#served?.close()
      this.proxy?.close()
      await this.server?.kill('SIGKILL')
    })
  }

  /** Through the proxy. */
  get url(): string {
    return `http://127.0.0.1:${this.proxy.port}`
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** From now on this release of the page is loaded; pages that are open stay what they are. */
  async release(changes: NonNullable<PageOptions['changes']> = {}): Promise<void> {
    await this.#served?.close()
    const connectTo = `${this.url} ${this.url.replace('http', 'ws')}`
    this.#served = await servedPage({ script: { file: 'test/client/browser/page.ts' }, connectTo, port: this.#port, changes })
  }

  /** The tokens of this user, to change what becomes of them. */
  tokensOf(user: string): Tokens {
    const tokens = this.tokens.get(user) ?? { lifeMs: 3_600_000, asked: 0, before: () => {} }
    this.tokens.set(user, tokens)
    return tokens
  }

  async token(user: string): Promise<string> {
    const tokens = this.tokensOf(user)
    await tokens.before(++tokens.asked)
    return await new SignJWT({ spaces: { board: 'write' } })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(issuer)
      .setAudience('tidemark')
      .setSubject(user)
      .setIssuedAt()
      .setExpirationTime(new Date(Date.now() + tokens.lifeMs))
      .sign(Buffer.from(this.#secret))
  }

  /** A page of the user in this profile, where the app is loaded and has not connected yet. */
  async tab(user: string, profile?: BrowserContext): Promise<Tab> {
    const page = await (profile ?? (await this.browser.profile())).newPage()
    return await Tab.load(page, this.origin, this.url, () => this.token(user))
  }

  /** Somebody else of this user's, in this process and beside the proxy. */
  writer(user: string, getToken = (): Promise<string> => this.token(user)): Client {
    const writer = connect({ url: this.server.urls.http, getToken, bounds: busy })
    this.#writers.push(writer)
    return writer
  }

  /** The whole log of a stream, as the server has it. */
  async log(user: string, stream = `users/${user}`): Promise<LogEntry[]> {
    const found: LogEntry[] = []
    const history = this.writer(user).stream(stream)
    for (let after: string | undefined; ;) {
      const { entries, next, upToDate } = await history.history({ ...(after !== undefined && { after }), limit: 1_000 })
      found.push(...entries.map(({ seq, id }) => ({ seq, id })))
      if (upToDate) return found
      after = next
    }
  }
}

/** All of the log, in its order, once. */
export function expectWhole(taken: readonly LogEntry[], log: readonly LogEntry[]): void {
  expect(taken.map(({ seq, id }) => `${seq} ${id}`)).to.deep.equal(log.map(({ seq, id }) => `${seq} ${id}`))
}

/** What one publisher has published, `{name}-1` and so on: each once, in the order of the calls, none left out before another. */
export function expectInOrder(log: readonly LogEntry[], name: string): number {
  const ids = log.map(({ id }) => id).filter((id) => id.startsWith(`${name}-`))
  expect(ids).to.deep.equal(numbered(name, ids.length))
  return ids.length
}

export function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_unused, at) => `${name}-${at + 1}`)
}
