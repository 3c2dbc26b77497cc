/** `/`: the console for browsers, a text for everybody else; and the files of the console [P-19.1 – P-19.3]. */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { SyncError } from '../protocol/errors.ts'
import { quote } from '../protocol/topics.ts'
import { frontText } from './front.ts'
import type { App, ConsoleFiles, RouteParts } from './parts.ts'
import { answer, problems } from './schemas.ts'

/**
 * The page runs what comes from here and nothing else, talks to this server alone, and stands in nobody's frame.
 * `'self'` means WebSockets of this host as well.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ')

const pageHeaders = {
  'content-security-policy': policy,
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

const compress = promisify(gzip)

export function consoleRoutes(app: App, parts: RouteParts): void {
  const zipped = new Map<string, Promise<Buffer>>()
  frontRoute(app, parts, zipped)
  fileRoute(app, parts, zipped)
}

/** `GET`: 200, for who accepts HTML the page, otherwise a short text. */
function frontRoute(app: App, { version, openEnabled, console }: RouteParts, zipped: Map<string, Promise<Buffer>>): void {
  const text = frontText(version, openEnabled)
  app.get(
    '/',
    { schema: { summary: 'The console, or what this is', response: { 200: answer('For browsers a page.', Type.String(), 'text/plain') } } },
    async (request, reply) => {
      reply.header('vary', 'Accept, Accept-Encoding').header('x-content-type-options', 'nosniff').header('cache-control', 'no-cache')
      const files = acceptsHtml(request) ? await console() : undefined
      if (!files) return reply.type('text/plain; charset=utf-8').send(text)
      return send(request, reply.headers(pageHeaders), { files, name: 'index.html', zipped })
    },
  )
}

/** `GET`: 200 with a file whose name changes whenever it does. Refusals: `not-found`. */
function fileRoute(app: App, { console }: RouteParts, zipped: Map<string, Promise<Buffer>>): void {
  app.get(
    '/console/:file',
    {
      schema: {
        summary: 'A file of the console',
        params: Type.Object({ file: Type.String() }),
        response: { 200: answer('The file.', Type.String(), 'text/javascript'), ...problems('not-found') },
      },
    },
    async (request, reply) => {
      const { file: name } = request.params
      const files = await console()
      if (!files?.has(name) || name === 'index.html')
        throw new SyncError('not-found', `the console has no file ${quote(name.slice(0, 80))}`)
      reply.headers({
        'cache-control': 'public, max-age=31536000, immutable',
        vary: 'Accept-Encoding',
        'x-content-type-options': 'nosniff',
      })
      return send(request, reply.header('cross-origin-resource-policy', 'same-origin'), { files, name, zipped })
    },
  )
}

interface Sent {
  readonly files: ConsoleFiles
  readonly name: string
  readonly zipped: Map<string, Promise<Buffer>>
}

async function send(request: FastifyRequest, reply: FastifyReply, { files, name, zipped }: Sent): Promise<FastifyReply> {
  const bytes = files.get(name) as Uint8Array
  reply.type(types[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream')
  if (!/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))) return reply.send(bytes)
  let small = zipped.get(name)
  if (!small) zipped.set(name, (small = compress(bytes)))
  return reply.header('content-encoding', 'gzip').send(await small)
}

function acceptsHtml({ headers: { accept = '' } }: FastifyRequest): boolean {
  return accept.includes('text/html')
}
