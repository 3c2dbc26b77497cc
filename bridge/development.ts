/** `/v1/dev/token`: tokens for the console of a server in development mode [P-19.4]. */
import { Type } from 'typebox'
import type { App, RouteParts } from './parts.ts'
import { answer, problems } from './schemas.ts'

/** `POST` of `{secret, name, spaces?}`: 200 with `{token}`, good for one hour. Refusals: `bad-request`, `forbidden`, 413, 503. */
export function developmentRoutes(app: App, { authority }: RouteParts): void {
  const level = Type.Union([Type.Literal('read'), Type.Literal('write'), Type.Literal('own')])
  app.post(
    '/v1/dev/token',
    {
      schema: {
        summary: 'A token of any user, in development mode',
        body: Type.Object(
          {
            secret: Type.String({ description: 'Printed by the server at its start.' }),
            name: Type.String({ minLength: 1, maxLength: 256 }),
            spaces: Type.Optional(Type.Record(Type.String(), level)),
          },
          { additionalProperties: false, examples: [{ secret: 'Zk3rQ0aBx7QpZk3rQ0aBx7', name: 'alice', spaces: { 'board-7': 'write' } }] },
        ),
        response: {
          200: answer('A development token.', Type.Object({ token: Type.String() })),
          ...problems('bad-request', 'forbidden', 'payload-too-large', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      const { secret, ...wanted } = request.body
      const token = await authority.mintForConsole(secret, wanted)
      return reply.header('cache-control', 'no-store').send({ token })
    },
  )
}
