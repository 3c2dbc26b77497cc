/** The board's own back end: people log in, and get a token of the app. Everything else is between the page and Tidemark. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import { startServer } from 'tidemark'
import { bundled } from './bundle.ts'

const { PORT = '3000', DATA = './data/board' } = process.env
const board = 'board-7'
const issuer = 'https://board.example.org'
const secret = randomBytes(32).toString('base64url')
/** Who sits at the board. A real app keeps that in its database. */
const members = new Map<string, 'own' | 'write'>([
  ['alice', 'own'],
  ['bob', 'write'],
])

const files = await bundled()
const app = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://app')
  const file = files.get(pathname)
  const policy = `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ${httpUrl} ${httpUrl.replace('http', 'ws')}`
  if (request.method === 'GET' && file) {
    response.writeHead(200, { 'content-type': file.type, 'content-security-policy': policy }).end(file.content)
  } else {
    answer(request, pathname).then(
      (json) => response.writeHead(json ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(json ?? {})),
      (error: unknown) => response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error: String(error) })),
    )
  }
})
app.listen(Number(PORT), '127.0.0.1')
await once(app, 'listening')
const origin = `http://localhost:${(app.address() as AddressInfo).port}`

const tidemark = await startServer({
  data: DATA,
  mqttPort: 0,
  httpPort: 0,
  corsOrigins: [origin],
  issuers: [{ issuer, algorithms: ['HS256'], secret }],
})
const { httpUrl } = tidemark.addresses

async function answer(request: IncomingMessage, path: string): Promise<object | undefined> {
  if (request.method !== 'POST') return undefined
  const { name, member } = (await jsonOf(request)) as { name: string; member?: string }
  switch (path) {
    // A real app asks for a password, and keeps a session of its own.
    case '/login':
      return { token: await tokenOf(name), url: httpUrl, board, level: members.get(name) ?? 'none' }
    case '/members':
      if (members.get(name) === 'own' && member) members.set(member, 'write')
      return { members: [...members.keys()] }
    // Whoever owns the board withdraws the member with Tidemark: from that place in the log on nothing reaches them.
    case '/withdraw':
      if (members.get(name) === 'own' && member && members.get(member) === 'write') members.delete(member)
      return { members: [...members.keys()] }
    default:
      return undefined
  }
}

/** The app's own JWT: who it is, and which boards they may read, write or own. */
async function tokenOf(name: string): Promise<string> {
  const level = members.get(name)
  const claims = level ? { spaces: { [board]: level } } : {}
  return await new SignJWT(claims)
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
    void tidemark.stop()
  })
}
console.log(`board ready ${origin}  (log in as alice, who owns it, or as bob)`)
