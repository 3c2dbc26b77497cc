/** The auction's own back end: people log in and get a token of the app; the house opens and closes. All bids go to Tidemark. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import { startServer } from 'tidemark'
import { bundled } from './bundle.ts'
import { openHouse } from './house.ts'
import { house, streamName, topic } from './rules.ts'
import { Watchers } from './watchers.ts'

const { PORT = '3001', DATA = './data/auction', MINUTES = '10' } = process.env
const issuer = 'https://auction.example.org'
const secret = randomBytes(32).toString('base64url')
/** Who may close a lot before its time, and open the next one. A real app keeps that in its database. */
const auctioneer = 'auctioneer'

const files = await bundled()
let begin = (): void => {}
const isReady = new Promise<void>((resolve) => (begin = resolve))
// Whoever asks earlier waits.
const app = createServer((request, response) => void isReady.then(() => serve(request, response)))
app.listen(Number(PORT), '127.0.0.1')
await once(app, 'listening')
const origin = `http://localhost:${(app.address() as AddressInfo).port}`

const tidemark = await startServer({
  data: DATA,
  mqttPort: 0,
  httpPort: 0,
  corsOrigins: [origin],
  // The app names the very topic that may be bid on, so it writes grants and not only levels of spaces.
  issuers: [{ issuer, algorithms: ['HS256'], secret, mayGrant: true }],
})
const { httpUrl, mqttUrl } = tidemark.addresses
const ownGrants = [`subscribe:${streamName}/#`, `publish:${streamName}/#`]
const auctionHouse = await openHouse({ httpUrl, mqttUrl, minutes: Number(MINUTES), getToken: () => tokenOf(house, ownGrants) })
const watchers = new Watchers((count) => auctionHouse.tellWatching(count))

begin()

function serve(request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url ?? '/', 'http://app')
  const file = files.get(pathname)
  if (request.method === 'GET' && file) {
    const policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${httpUrl} ${httpUrl.replace('http', 'ws')}`
    response.writeHead(200, { 'content-type': file.type, 'content-security-policy': policy }).end(file.content)
    return
  }
  const send = (status: number, json: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json))
  }
  answer(request, pathname).then(
    (json) => send(json ? 200 : 404, json ?? {}),
    (error: unknown) => send(400, { error: error instanceof Error ? error.message : String(error) }),
  )
}

async function answer(request: IncomingMessage, path: string): Promise<object | undefined> {
  if (request.method !== 'POST') return undefined
  const { name = '', page = '' } = (await jsonOf(request)) as { name?: string; page?: string }
  switch (path) {
    // A real app asks for a password, and keeps a session of its own.
    case '/login':
      return { token: await tokenOf(name, grantsOf(name)), url: httpUrl, mayClose: name === auctioneer }
    case '/watching':
      if (page.length <= 64) watchers.seen(page)
      return { count: watchers.count }
    case '/left':
      watchers.left(page)
      return {}
    case '/close':
      if (name === auctioneer) await auctionHouse.close()
      return {}
    case '/open':
      if (name === auctioneer) await auctionHouse.open()
      return {}
    default:
      return undefined
  }
}

/** Everybody may watch and bid, and nobody may be the house. */
function grantsOf(name: string): string[] {
  if (!/^[\w-]{1,32}$/.test(name) || name === house) throw new Error('a name is 1 to 32 letters, digits, _ and -')
  return [`subscribe:${streamName}/#`, `publish:${streamName}/${topic}`]
}

/** The app's own JWT: who it is, and what they may do. */
async function tokenOf(name: string, grants: readonly string[]): Promise<string> {
  return await new SignJWT({ grants })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(issuer)
    .setAudience('tidemark')
    .setSubject(name)
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(Buffer.from(secret))
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > 10_000) throw new Error('the body has more than 10,000 characters')
  }
  return JSON.parse(text)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    app.close()
    app.closeAllConnections()
    watchers.stop()
    void auctionHouse.stop().then(() => tidemark.stop())
  })
}
console.log(`auction ready ${origin}  (log in by any name; as ${auctioneer} you may close the lot and open the next)`)
