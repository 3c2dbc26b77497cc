/** `/v1/streams/{kind}/{id}/state`: the last retained entry of each topic [P-11.4]. */
import { Type } from 'typebox'
import { mustBeMember } from '../log/members.ts'
import { principalOf, readAuthentication } from './access.ts'
import type { App, RouteParts } from './parts.ts'
import { answer, bearer, belowFilter, envelope, positionText, problems, streamPath } from './schemas.ts'
import { statePage } from './state-page.ts'
import { streamOfPath, wantedBelow } from './target.ts'

/**
 * `GET`: 200 with `{entries, next, pos, upToDate}` [P-11.30]. `pos` of the first page is where
 * `entries?after={pos}` goes on [P-11.31]. Refusals as for history.
 */
export function stateRoutes(app: App, parts: RouteParts): void {
  const { log, limits, rules } = parts
  const limitDefault = Math.min(limits.pageEntriesDefault, limits.pageEntriesMax)
  const querystring = Type.Object(
    {
      topic: Type.Optional(belowFilter),
      after: Type.Optional(Type.String({ description: 'next of the state page before this one.' })),
      limit: Type.Optional(
        Type.Integer({ minimum: 0, maximum: limits.pageEntriesMax, default: limitDefault, description: 'Entries of this page at most.' }),
      ),
    },
    { additionalProperties: false },
  )
  const page = Type.Object({
    entries: Type.Array(envelope),
    next: positionText,
    pos: positionText,
    upToDate: Type.Boolean({ description: 'This page is the last.' }),
  })
  app.get(
    '/v1/streams/:kind/:id/state',
    {
      onRequest: readAuthentication(parts),
      schema: {
        summary: 'A page of state',
        security: bearer,
        params: streamPath,
        querystring,
        response: {
          200: answer('A page, in ascending position.', page),
          ...problems('bad-request', 'bad-topic', 'bad-filter', 'bad-position', 'unauthorized', 'token-expired', 'forbidden', 'not-found'),
          ...problems('trimmed', 'epoch', 'ahead', 'store-unavailable', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      const { topic = '#', limit = limitDefault, ...rest } = request.query
      const name = streamOfPath(request.params, rules)
      const { filter } = wantedBelow(name, topic, principalOf(request), rules)
      await mustBeMember(log, name, principalOf(request))
      const document = await statePage(log, await log.stream(name), { ...rest, limit, filter })
      await mustBeMember(log, name, principalOf(request)) // As for history.
      return reply.header('cache-control', 'no-store').type('application/json; charset=utf-8').send(document)
    },
  )
}
