/** The HTTP application: how requests are read, in what order they are judged, and which routes there are. */
import cors from '@fastify/cors'
import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { LogController, type FastifyBaseLogger, type FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'
import { SyncError } from '../protocol/errors.ts'
import { consoleRoutes } from './console.ts'
import { developmentRoutes } from './development.ts'
import { entriesRoutes } from './entries.ts'
import { operationRoutes } from './operations.ts'
import { eventRoutes } from './events.ts'
import { keyRoutes } from './keys.ts'
import { Origins } from './origins.ts'
import type { App, RouteParts } from './parts.ts'
import { Refusals } from './refusals.ts'
import { erasingRoutes } from './erasing.ts'
import { memberRoutes } from './members.ts'
import { revocationRoutes } from './revocations.ts'
import { sessionRoutes } from './sessions.ts'
import { stateRoutes } from './state.ts'
import { tokenRoutes } from './token.ts'
import { parseQuery, validatorCompiler } from './validation.ts'

export async function buildApplication(parts: RouteParts): Promise<App> {
  const { metrics } = parts
  // Whatever gets into a log line with headers in it, tokens do not [P-10.29].
  const logger = parts.logger.child(
    { part: 'http' },
    { redact: ['headers.authorization', 'req.headers.authorization', '*.headers.authorization'] },
  )
  const refusals = new Refusals(logger, metrics)
  // Under the name of its interface, so that the application has one type whatever logs.
  const loggerInstance: FastifyBaseLogger = logger
  const app: App = Fastify({
    ...bounds(parts),
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 1_024, querystringParser: parseQuery },
    frameworkErrors: (error, request, reply) => void refusals.answer(error, request as FastifyRequest, reply),
    clientErrorHandler: (error, socket: Socket) => refusals.answerRaw(error, socket),
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (value: unknown) => JSON.stringify(value))
  app.setErrorHandler((error, request, reply) => refusals.answer(error, request, reply))
  app.setNotFoundHandler((request, reply) =>
    refusals.answerProblem(new SyncError('not-found', 'no route has this path and method'), request, reply),
  )
  readJson(app)
  judgeOrigins(app, parts, refusals)
  await allowOrigins(app, parts)
  refuseWhileStopping(app, parts)
  await describe(app, parts)
  entriesRoutes(app, parts)
  stateRoutes(app, parts)
  eventRoutes(app, parts)
  memberRoutes(app, parts)
  erasingRoutes(app, parts)
  sessionRoutes(app, parts)
  await tokenRoutes(app, parts)
  if (parts.authority.developmentMode) developmentRoutes(app, parts)
  revocationRoutes(app, parts)
  keyRoutes(app, parts)
  operationRoutes(app, parts)
  consoleRoutes(app, parts)
  await app.ready()
  return app
}

/** A slow or silent client costs a bounded time and bounded bytes. */
function bounds({ limits }: RouteParts) {
  return {
    bodyLimit: limits.packetBytesMax,
    // The whole of a request, and then a socket on which nothing moves, a reader that does not read included.
    requestTimeout: limits.holdTimeoutMs,
    connectionTimeout: limits.holdTimeoutMs,
    keepAliveTimeout: limits.connectTimeoutMs,
    http: { headersTimeout: limits.connectTimeoutMs, connectionsCheckingInterval: 1_000, maxHeaderSize: 2 * limits.tokenBytesMax },
  }
}

/** JSON bodies, and no others: a page cannot send that type to another origin without being asked first. */
function readJson(app: App): void {
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      done(null, JSON.parse(utf8.decode(body as Buffer)))
    } catch (error) {
      done(new SyncError(request.routeOptions.config.badBody ?? 'bad-request', 'the body is not JSON in UTF-8', {}, error))
    }
  })
}

/** Who asks comes first: no other page learns more than that it may not. */
function judgeOrigins(app: App, { authority, clock, corsOrigins, allowedHosts }: RouteParts, refusals: Refusals): void {
  const origins = new Origins({ developmentMode: authority.developmentMode, corsOrigins, allowedHosts })
  app.decorateRequest('principal', undefined)
  app.decorateRequest('receivedMs', 0)
  app.addHook('onRequest', async (request, reply) => {
    request.receivedMs = clock.now()
    const problem = origins.problemOf(request.raw)
    if (problem !== undefined) return refusals.answerProblem(new SyncError('forbidden', problem), request, reply)
    // Without these two it is no preflight, and no route has this method.
    const { origin, 'access-control-request-method': asked } = request.headers
    if (request.method === 'OPTIONS' && (origin === undefined || asked === undefined)) return reply.callNotFound()
  })
}

/** Before anything that refuses: a page reads a refusal only if its headers say that it may. */
async function allowOrigins(app: App, { authority, corsOrigins }: RouteParts): Promise<void> {
  if (corsOrigins.length === 0 || authority.developmentMode) return
  await app.register(cors, {
    origin: [...corsOrigins],
    credentials: false,
    methods: ['GET', 'POST', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key', 'If-Position', 'Last-Event-ID'],
    exposedHeaders: ['Link', 'Retry-After', 'WWW-Authenticate'],
    maxAge: 600,
  })
}

function refuseWhileStopping(app: App, { life }: RouteParts): void {
  app.addHook('onRequest', async (request) => {
    if (life.stopping && request.url !== '/healthz') throw new SyncError('stopping', 'the server is stopping')
  })
  app.addHook('onSend', async (_request, reply) => {
    if (life.stopping) reply.header('connection', 'close')
  })
}

/** Before the routes are added: it must see them. */
async function describe(app: App, { version }: RouteParts): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tidemark',
        version,
        description: 'The ordered, durable log of every user and space over HTTP. Clauses are those of docs/PROTOCOL.md.',
      },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
    },
  })
}
