/** `/v1/streams/{kind}/{id}/entries`: history, and publishing [P-11.2, P-11.3]. */
import { Type } from 'typebox'
import { mustBeMember } from '../log/members.ts'
import { authentication, principalOf, readAuthentication } from './access.ts'
import { UnfinishedBuckets } from './bucket-source.ts'
import { historyPage } from './history.ts'
import type { App, RouteParts } from './parts.ts'
import { publish } from './publish.ts'
import { answer, bearer, belowFilter, envelope, positionText, problems, streamPath } from './schemas.ts'
import { streamOfPath, wantedBelow } from './target.ts'

export function entriesRoutes(app: App, parts: RouteParts): void {
  historyRoute(app, parts)
  publishRoute(app, parts)
}

/**
 * `GET`: 200 with `{entries, next, head, first, upToDate}` [P-11.21]. Times in ms. Refusals: `bad-request`,
 * `bad-topic`, `bad-filter`, `bad-position`, 401, `forbidden`, `not-found`, 410, 503.
 */
function historyRoute(app: App, parts: RouteParts): void {
  const { log, limits, rules } = parts
  const unfinished = new UnfinishedBuckets()
  const querystring = Type.Object(
    {
      after: Type.Optional(
        Type.String({ description: 'Entries after this position, or earliest; default from the beginning.', examples: ['earliest'] }),
      ),
      before: Type.Optional(Type.String({ description: 'Only entries before the one at this position.' })),
      since: Type.Optional(Type.Integer({ minimum: 0, description: 'Only entries with ts not less than this, ms since 1970.' })),
      until: Type.Optional(Type.Integer({ minimum: 0, description: 'Only entries with ts less than this, ms since 1970.' })),
      topic: Type.Optional(belowFilter),
      reverse: Type.Optional(Type.Boolean({ default: false, description: 'true: newest first, and next works as before.' })),
      limit: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: limits.pageEntriesMax,
          default: Math.min(limits.pageEntriesDefault, limits.pageEntriesMax),
          description: 'Entries of this page at most; 0 answers where the stream stands.',
        }),
      ),
    },
    { additionalProperties: false },
  )
  const page = Type.Object({
    entries: Type.Array(envelope),
    next: positionText,
    head: positionText,
    first: positionText,
    upToDate: Type.Boolean({ description: 'No entry asked for is left beyond next.' }),
  })
  app.get(
    '/v1/streams/:kind/:id/entries',
    {
      onRequest: readAuthentication(parts),
      schema: {
        summary: 'A page of history',
        security: bearer,
        params: streamPath,
        querystring,
        response: {
          200: answer('A page, in log order or in reverse.', page),
          ...problems('bad-request', 'bad-topic', 'bad-filter', 'bad-position', 'unauthorized', 'token-expired', 'forbidden', 'not-found'),
          ...problems('trimmed', 'epoch', 'ahead', 'store-unavailable', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      const { topic = '#', reverse = false, limit = Math.min(limits.pageEntriesDefault, limits.pageEntriesMax), ...bounds } = request.query
      const name = streamOfPath(request.params, rules)
      const { filter } = wantedBelow(name, topic, principalOf(request), rules)
      const stream = await log.stream(name)
      const isGone = (): boolean => request.raw.socket.destroyed
      await mustBeMember(log, name, principalOf(request))
      const { document, next, upToDate } = await historyPage(log, stream, { ...bounds, reverse, limit, filter }, { isGone, unfinished })
      await mustBeMember(log, name, principalOf(request)) // Who was withdrawn meanwhile is not shown what came after that.
      if (!upToDate) reply.header('link', `<${pageFrom(request.url, reverse ? 'before' : 'after', next)}>; rel="next"`)
      return reply.header('cache-control', 'no-store').type('application/json; charset=utf-8').send(document)
    },
  )
}

/** The same query from another place on, relative to its route [RFC 8288]. */
function pageFrom(url: string, side: 'after' | 'before', position: string): string {
  const query = new URLSearchParams(url.split('?')[1])
  query.set(side, position)
  return `?${query.toString()}`
}

/**
 * `POST`: 201 with `{id, pos}` once the entry is on disk, or 200 with `duplicate: true` [P-11.29]. Refusals:
 * `bad-put`, `bad-topic`, `bad-position`, `bad-request`, 401, `forbidden`, `not-found`, 409, 412, 413, 422, 429, 503.
 */
function publishRoute(app: App, parts: RouteParts): void {
  const headers = Type.Object({
    'idempotency-key': Type.Optional(Type.String({ description: 'The same as id.', examples: ['note-1-v2'] })),
    'if-position': Type.Optional(Type.String({ description: 'The same as if.', examples: ['none'] })),
  })
  // It documents; log/put.ts judges, so that HTTP refuses what the put door refuses.
  const body = Type.Object(
    {
      topic: Type.String({ description: 'The levels below the stream.' }),
      id: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'Makes a retry safe [P-9.6].' })),
      data: Type.Optional(Type.Unknown({ description: 'The payload as JSON.' })),
      text: Type.Optional(Type.String({ description: 'The payload as text.' })),
      base64: Type.Optional(Type.String({ description: 'The payload as bytes, with padding.' })),
      retain: Type.Optional(Type.Boolean({ default: false, description: 'Part of the state; without payload it deletes the topic.' })),
      if: Type.Optional(Type.String({ description: 'A position, none, or id:{entry id}; with retain only [P-9.12].' })),
      since: Type.Optional(positionText),
    },
    { examples: [{ topic: 'notes/1', id: 'note-1-v2', data: { title: 'Milk' }, retain: true, if: 'none' }] },
  )
  const published = Type.Object({ id: Type.String(), pos: positionText, duplicate: Type.Optional(Type.Literal(true)) })
  app.post(
    '/v1/streams/:kind/:id/entries',
    {
      onRequest: authentication(parts),
      config: { badBody: 'bad-put' },
      validatorCompiler: () => (value: unknown) => ({ value }),
      schema: {
        summary: 'Publish one entry',
        security: bearer,
        params: streamPath,
        headers,
        body,
        response: {
          200: answer('The entry was there already.', published),
          201: answer('The entry is on disk.', published),
          ...problems('bad-request', 'bad-put', 'bad-topic', 'bad-position', 'unauthorized', 'token-expired', 'forbidden', 'not-found'),
          ...problems('unknown-outcome', 'conflict', 'payload-too-large', 'id-reused', 'too-many-requests'),
          ...problems('store-unavailable', 'clock-skew', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      const { id, pos, duplicate } = await publish(parts, {
        stream: streamOfPath(request.params, parts.rules),
        principal: principalOf(request),
        body: request.body,
        idempotencyKey: request.headers['idempotency-key'],
        ifPosition: request.headers['if-position'],
        receivedMs: request.receivedMs,
      })
      return reply
        .code(duplicate ? 200 : 201)
        .header('cache-control', 'no-store')
        .send(duplicate ? { id, pos, duplicate } : { id, pos })
    },
  )
}
