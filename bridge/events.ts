/** `/v1/events`: history and what follows it, of several filters, as one event stream [P-11.37]. */
import { Type } from 'typebox'
import { principalOf, readAuthentication } from './access.ts'
import { wantedFilters } from './event-request.ts'
import type { App, RouteParts } from './parts.ts'
import { answer, bearer, problems } from './schemas.ts'

const example = `event: entry
id: Zk3rQ0aB.42.x7Qp
data: {"filter":"users/alice/#","pos":"Zk3rQ0aB.42.x7Qp","id":"note-1-v2","ts":1763712000000,"from":"alice",…}

event: at
id: Zk3rQ0aB.42.x7Qp
data: {"filter":"users/alice/#","ctl":"at","pos":"Zk3rQ0aB.42.x7Qp","head":"Zk3rQ0aB.42.x7Qp",…}

`

/** `GET`: 200 with events until the client leaves or its token ends. Refusals: 400, 401, `forbidden`, 429, 503. */
export function eventRoutes(app: App, parts: RouteParts): void {
  const { events, limits, rules } = parts
  const querystring = Type.Object(
    {
      from: Type.Array(Type.String(), {
        minItems: 1,
        maxItems: limits.subscriptionsPerConnectionMax,
        description:
          '{filter}@{place}, given once per filter: the filter of one stream, and a position, earliest, snapshot, or nothing for now. In a URL, + is written %2B and # %23.',
        examples: [['users/alice/#@earliest']],
      }),
    },
    { additionalProperties: false },
  )
  const headers = Type.Object({
    'last-event-id': Type.Optional(Type.String({ description: 'The id of the last event that was got: all filters go on behind it.' })),
  })
  app.get(
    '/v1/events',
    {
      onRequest: readAuthentication(parts),
      schema: {
        summary: 'History and what follows, as an event stream',
        security: bearer,
        querystring,
        headers,
        response: {
          200: answer('Server-sent events [P-18.7].', Type.String({ examples: [example] }), 'text/event-stream'),
          ...problems('bad-request', 'bad-filter', 'bad-position', 'unauthorized', 'token-expired', 'forbidden', 'too-many-requests'),
          ...problems('store-unavailable', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request)
      const wanted = wantedFilters(request.query.from, request.headers['last-event-id'], principal, rules)
      const stream = await events.open(principal, wanted)
      reply.hijack()
      stream.begin(reply.raw, reply.getHeaders())
    },
  )
}
