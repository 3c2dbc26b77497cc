/** `/v1/token`: token exchange, RFC 8693 [P-11.5]. */
import { Type } from 'typebox'
import { exchangeGrantType, jwtTokenType, type ExchangeRequest } from '../auth/index.ts'
import { SyncError } from '../protocol/errors.ts'
import type { App, RouteParts } from './parts.ts'
import { answer } from './schemas.ts'

const form = 'application/x-www-form-urlencoded'
const fields: ReadonlySet<string> = new Set(['grant_type', 'subject_token', 'subject_token_type', 'scope', 'client_id'])

/**
 * `POST` of a form: 200 with a broker token and where to go with it [P-10.19]; `expires_in` in s. Refusals are
 * those of RFC 6749 section 5.2: 400 with `invalid_request`, `invalid_grant`, `invalid_scope` or
 * `unsupported_grant_type`. No answer may be stored.
 */
export async function tokenRoutes(app: App, { authority }: RouteParts): Promise<void> {
  // In a scope of its own, so that no other route takes forms: a page can send one anywhere without being asked.
  await app.register(async (scope) => {
    scope.addContentTypeParser(form, { parseAs: 'string' }, (_request, body, done) => done(null, body))
    scope.post<{ Body: string }>(
      '/v1/token',
      {
        config: { errors: 'oauth' },
        validatorCompiler: () => (value: unknown) => ({ value }),
        schema: {
          summary: 'Exchange a token for a broker token',
          consumes: [form],
          body: Type.Object(
            {
              grant_type: Type.Literal(exchangeGrantType),
              subject_token: Type.String({ description: 'An app token or a broker token.' }),
              subject_token_type: Type.Literal(jwtTokenType),
              scope: Type.Optional(Type.String({ description: 'Grants separated by spaces; only narrower ones [P-10.21].' })),
              client_id: Type.Optional(Type.String({ description: 'The MQTT client id to bind the token to.' })),
            },
            {
              examples: [
                {
                  grant_type: exchangeGrantType,
                  subject_token: 'eyJ…',
                  subject_token_type: jwtTokenType,
                  scope: 'subscribe:users/alice/#',
                },
              ],
            },
          ),
          response: { 200: answer('A broker token.', tokenAnswer), 400: answer('RFC 6749 section 5.2.', oauthProblem) },
        },
      },
      async (request, reply) => {
        const response = await authority.exchange(readForm(request.body))
        return reply.header('cache-control', 'no-store').header('pragma', 'no-cache').send(response)
      },
    )
  })
}

/** Unknown fields are ignored, repeated ones refused (RFC 6749 section 3.2). */
function readForm(body: unknown): ExchangeRequest {
  if (typeof body !== 'string') throw new SyncError('bad-request', `the body must be ${form}`)
  const request: Record<string, string> = {}
  for (const [name, value] of new URLSearchParams(body)) {
    if (!fields.has(name)) continue
    if (Object.hasOwn(request, name)) throw new SyncError('bad-request', `${name} is given twice`)
    if (value !== '') request[name] = value
  }
  return request
}

const tokenAnswer = Type.Object({
  access_token: Type.String(),
  issued_token_type: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds.' }),
  scope: Type.String(),
  client_id: Type.Optional(Type.String({ description: 'Encoded; where the token is bound.' })),
  mqtt_url: Type.String(),
  http_url: Type.String(),
  limits: Type.Record(Type.String(), Type.Integer(), { description: 'Chapter 13.' }),
  mqtt: Type.Optional(
    Type.Object(
      {
        engine: Type.Literal('aws-iot'),
        auth: Type.String({ description: '`sigv4` or `authorizer`.' }),
        client_id: Type.String({ description: 'As it must stand in CONNECT.' }),
        root: Type.String({ description: 'The first level of every topic.' }),
        url_expires_in: Type.Integer({ description: 'Seconds for which `mqtt_url` opens connections.' }),
        credentials: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'Where the deployment gives them.' })),
      },
      { description: 'Where another engine carries the connections [P-10.30].' },
    ),
  ),
})

const oauthProblem = Type.Object(
  { error: Type.String(), error_description: Type.Optional(Type.String()) },
  { examples: [{ error: 'invalid_scope', error_description: 'the grant is wider than the token' }] },
)
