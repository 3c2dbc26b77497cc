/** The back end of an app, as small as it can be: it serves a page, answers its questions, and signs the app's own JWT. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import type { Addresses } from 'tidemark'
import { bundled } from './bundle.ts'

/** What a page asked by POST; undefined is 404, and what is thrown is told with 400. */
export type Answer = (path: string, question: Readonly<Record<string, string | undefined>>) => Promise<object | undefined>

export interface Backend {
  /** What Tidemark is told of the app: whose tokens it believes, and which pages may use it. */
  readonly trust: { readonly issuer: string; readonly algorithms: ['HS256']; readonly secret: string }
  readonly origin: string
  /** The app's own JWT, for 5 minutes: who it is, and what they may do. */
  tokenOf(name: string, claims: Readonly<Record<string, unknown>>): Promise<string>
  /** From now on the page is served, which may speak to Tidemark, and to whoever carries its MQTT. Whoever asked before has waited. */
  serve(tidemark: Addresses, answer: Answer): void
  close(): void
}

/** Listens on loopback. The page lies in `folder`. */
export async function openBackend({ issuer, port, folder }: { issuer: string; port: number; folder: URL }): Promise<Backend> {
  const secret = randomBytes(32).toString('base64url')
  const files = await bundled(folder)
  let begin!: (handle: (request: IncomingMessage, response: ServerResponse) => void) => void
  const handler = new Promise<Parameters<typeof begin>[0]>((resolve) => (begin = resolve))
  const app = createServer((request, response) => void handler.then((handle) => handle(request, response)))
  app.listen(port, '127.0.0.1')
  await once(app, 'listening')
  return {
    trust: { issuer, algorithms: ['HS256'], secret },
    origin: `http://localhost:${(app.address() as AddressInfo).port}`,
    tokenOf: (name, claims) =>
      new SignJWT({ ...claims })
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuer(issuer)
        .setAudience('tidemark')
        .setSubject(name)
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(Buffer.from(secret)),
    serve({ httpUrl, wsUrl, mqttUrl }, answer) {
      const places = ["'self'", httpUrl, new URL(wsUrl ?? mqttUrl).origin].join(' ')
      const policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src ${places}`
      begin((request, response) => {
        const { pathname } = new URL(request.url ?? '/', 'http://app')
        const file = files.get(pathname)
        if (request.method === 'GET' && file) {
          response.writeHead(200, { 'content-type': file.type, 'content-security-policy': policy }).end(file.content)
          return
        }
        const send = (status: number, json: object): void => {
          response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json))
        }
        const asked = request.method === 'POST' ? jsonOf(request).then((question) => answer(pathname, question)) : Promise.resolve()
        asked.then(
          (json) => send(json ? 200 : 404, json ?? {}),
          (error: unknown) => send(400, { error: error instanceof Error ? error.message : String(error) }),
        )
      })
    },
    close() {
      app.close()
      app.closeAllConnections()
    },
  }
}

/** Fields that are text; whatever else was sent is not asked about. */
async function jsonOf(request: IncomingMessage): Promise<Record<string, string>> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > 10_000) throw new Error('the body has more than 10,000 characters')
  }
  const fields = Object.entries((JSON.parse(text) ?? {}) as object) as [string, unknown][]
  return Object.fromEntries(fields.filter((field): field is [string, string] => typeof field[1] === 'string'))
}
