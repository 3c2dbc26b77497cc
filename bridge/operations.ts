/** Routes for operators and machines: health, readiness, metrics and the description of the API. */
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { errorTable, SyncError, type ErrorCode } from '../protocol/errors.ts'
import { authentication, principalOf } from './access.ts'
import type { App, RouteParts } from './parts.ts'
import { answer, problems } from './schemas.ts'

export function operationRoutes(app: App, parts: RouteParts): void {
  healthRoute(app)
  readinessRoute(app, parts)
  metricsRoute(app, parts)
  descriptionRoute(app)
}

/** `GET`: 200 while the process lives, whatever else is wrong [P-11.8]. */
function healthRoute(app: App): void {
  const alive = Type.Object({ status: Type.Literal('ok') })
  app.get('/healthz', { schema: { summary: 'Alive', response: { 200: answer('Alive.', alive) } } }, async () => ({ status: 'ok' }))
}

/** `GET`: 200 with the checks when it can append, otherwise 503 with the code of the first that fails [P-11.9]. */
function readinessRoute(app: App, { log, readiness }: RouteParts): void {
  const check = Type.Object({ name: Type.String(), ready: Type.Boolean(), degraded: Type.Optional(Type.Boolean()), detail: Type.String() })
  const ready = Type.Object({ ready: Type.Literal(true), checks: Type.Array(check) })
  app.get(
    '/readyz',
    {
      schema: {
        summary: 'Ready to append',
        response: { 200: answer('Ready.', ready), ...problems('store-unavailable', 'clock-skew', 'stopping') },
      },
    },
    async () => {
      const checks = readiness()
      const failed = checks.find((one) => !one.ready)
      if (failed) throw new SyncError(codeOf(failed.name), `${failed.name}: ${failed.detail}`, { checks })
      if (log.failure) throw new SyncError(log.failure.code, log.failure.message, { checks })
      return { ready: true, checks }
    },
  )
}

/** `GET`: 200 with Prometheus text, for peers on loopback or with the grant `ops:metrics` [P-11.10]. Refusals: 401, `forbidden`. */
function metricsRoute(app: App, parts: RouteParts): void {
  const { metrics } = parts
  const authenticate = authentication(parts)
  app.get(
    '/metrics',
    {
      onRequest: async (request) => {
        if (isLocal(request)) return
        await authenticate(request)
        if (!principalOf(request).grants.has('ops:metrics')) throw new SyncError('forbidden', 'metrics need the grant ops:metrics')
      },
      schema: {
        summary: 'Prometheus metrics',
        response: {
          200: answer('Prometheus text.', Type.String(), 'text/plain'),
          ...problems('unauthorized', 'token-expired', 'forbidden'),
        },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  )
}

/** `GET`: 200 with the OpenAPI document of these routes, made from the schemas they are checked by [P-11.11]. */
function descriptionRoute(app: App): void {
  app.get(
    '/openapi.json',
    { schema: { summary: 'This description', response: { 200: answer('OpenAPI 3.1.', Type.Object({})) } } },
    async (_request, reply) => reply.type('application/json; charset=utf-8').send(JSON.stringify(app.swagger())),
  )
}

/** A check may be called like the refusal it leads to. */
function codeOf(check: string): ErrorCode {
  return Object.hasOwn(errorTable, check) && errorTable[check as ErrorCode].status === 503 ? (check as ErrorCode) : 'store-unavailable'
}

/** A peer on this machine that speaks for itself: what a proxy passes on comes from elsewhere. */
function isLocal({ raw: { socket, headers } }: FastifyRequest): boolean {
  if (headers['forwarded'] !== undefined || headers['x-forwarded-for'] !== undefined || headers['via'] !== undefined) return false
  return /^(::ffff:)?127\.|^::1$/.test(socket.remoteAddress ?? '')
}
