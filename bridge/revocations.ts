/** `/v1/revocations`: takes tokens out of force [P-11.6]. */
import { Type } from 'typebox'
import { authentication, principalOf } from './access.ts'
import type { App, RouteParts } from './parts.ts'
import { bearer, problems } from './schemas.ts'

/**
 * `POST` of `{uid, before?}`, `{uid, client}` or `{jti}` with the grant `ops:revoke`: 204 once it is in force on
 * this server [P-10.25]; `before` in s since 1970. Refusals: `bad-request`, 401, `forbidden`, 413, 429, 503.
 */
export function revocationRoutes(app: App, parts: RouteParts): void {
  app.post(
    '/v1/revocations',
    {
      onRequest: authentication(parts),
      schema: {
        summary: 'Revoke tokens',
        security: bearer,
        body: Type.Object(
          {
            uid: Type.Optional(Type.String({ description: 'Encoded.' })),
            before: Type.Optional(Type.Integer({ minimum: 0, description: 'Tokens issued up to then, s since 1970; default now.' })),
            client: Type.Optional(Type.String({ description: 'Encoded.' })),
            jti: Type.Optional(Type.String()),
          },
          { examples: [{ uid: 'alice' }, { uid: 'alice', client: 'phone' }, { jti: '0b3c' }] },
        ),
        response: {
          204: Type.Null({ description: 'In force.' }),
          ...problems('bad-request', 'unauthorized', 'token-expired', 'forbidden', 'payload-too-large', 'too-many-requests'),
          ...problems('store-unavailable', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      await parts.authority.revoke(principalOf(request), request.body)
      return reply.code(204).send(null)
    },
  )
}
