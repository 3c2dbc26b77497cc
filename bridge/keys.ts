/** `/.well-known/jwks.json`: the public keys of broker tokens [P-11.7]. */
import { Type } from 'typebox'
import type { App, RouteParts } from './parts.ts'
import { answer } from './schemas.ts'

/** `GET`: 200 with a JWK set, RFC 7517, for whoever asks; it holds no private part. */
export function keyRoutes(app: App, { authority }: RouteParts): void {
  app.get(
    '/.well-known/jwks.json',
    {
      schema: {
        summary: 'Public keys of broker tokens',
        response: { 200: answer('RFC 7517.', Type.Object({ keys: Type.Array(Type.Object({})) }), 'application/jwk-set+json') },
      },
    },
    async (_request, reply) => reply.type('application/jwk-set+json').send(Buffer.from(JSON.stringify(authority.jwks()))),
  )
}
