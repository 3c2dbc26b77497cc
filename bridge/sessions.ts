/** `/v1/sessions`: the MQTT sessions of a user, and how far each is behind [P-19.5]. */
import { Type, type Static } from 'typebox'
import { mustBeMember } from '../log/members.ts'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { isCanonicalName } from '../protocol/names.ts'
import { quote } from '../protocol/topics.ts'
import { sessionsPageMax } from '../seams/limits.ts'
import type { Principal } from '../auth/index.ts'
import { principalOf, readAuthentication } from './access.ts'
import type { App, HeldSession, RouteParts } from './parts.ts'
import { answer, bearer, problems } from './schemas.ts'

const listed = Type.Object({
  client: Type.String({ description: 'Encoded.', examples: ['phone'] }),
  kept: Type.Boolean({ description: 'It outlives its connection: clean=0.' }),
  connected: Type.Boolean(),
  seen: Type.Integer({ description: 'When it was last known to be connected, ms since 1970.' }),
  streams: Type.Optional(
    Type.Array(
      Type.Object({
        stream: Type.String({ examples: ['users/alice'] }),
        behind: Type.Integer({ description: 'Entries of the stream after its place, matching its filters or not.' }),
        lost: Type.Optional(Type.Literal(true, { description: 'What it lacks was trimmed: it will be discarded [P-4.22].' })),
      }),
    ),
  ),
})

/** `GET`: 200 with `{sessions, next, upToDate}`. Refusals: `bad-request`, 401, `forbidden`, 503. */
export function sessionRoutes(app: App, parts: RouteParts): void {
  app.get(
    '/v1/sessions',
    {
      onRequest: readAuthentication(parts),
      schema: {
        summary: 'Your MQTT sessions',
        security: bearer,
        querystring: Type.Object(
          {
            after: Type.Optional(Type.String({ description: 'next of the page before this one.' })),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: sessionsPageMax, default: sessionsPageMax })),
          },
          { additionalProperties: false },
        ),
        response: {
          200: answer(
            'A page, by rising client id.',
            Type.Object({
              sessions: Type.Array(listed),
              next: Type.String({ description: 'Works as after of the next page.' }),
              upToDate: Type.Boolean({ description: 'This page is the last.' }),
            }),
          ),
          ...problems('bad-request', 'unauthorized', 'token-expired', 'forbidden', 'store-unavailable', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      const { after = '', limit = sessionsPageMax } = request.query
      if (after !== '' && !isCanonicalName(after)) throw new SyncError('bad-request', `after: ${quote(after)} is no encoded client id`)
      const principal = principalOf(request)
      const own = `users/${principal.uid}/#`
      // A token that was narrowed to some streams is not for everything about its user.
      if (!principal.grants.covers('subscribe', own)) throw new SyncError('forbidden', `sessions need the grant subscribe:${own}`)
      const { sessions, next } = await parts.sessions(principal.uid, { after, limit })
      const last = sessions.at(-1)?.client ?? after
      const document = { sessions: await shown(sessions, principal, parts), next: next ?? last, upToDate: next === undefined }
      return reply.header('cache-control', 'no-store').send(document)
    },
  )
}

type Shown = Static<typeof listed>

async function shown(sessions: readonly HeldSession[], principal: Principal, parts: RouteParts): Promise<Shown[]> {
  const names = [...new Set(sessions.flatMap(({ places }) => [...(places?.keys() ?? [])]))]
  const ends = await endsOf(names, principal, parts)
  return sessions.map(({ client, kept, connected, seenMs: seen, places }) => {
    const streams = [...(places ?? [])].flatMap(([stream, place]) => {
      const end = ends.get(stream)
      if (!end) return []
      return [{ stream, behind: Math.max(0, end.head - place), ...(place < end.first - 1 ? { lost: true as const } : {}) }]
    })
    return { client, kept, connected, seen, ...(places ? { streams } : {}) }
  })
}

interface Ends {
  readonly head: number
  readonly first: number
}

/** Where the streams stand that the token may read as a whole; not in time with each other, and a few at once. */
async function endsOf(names: readonly string[], principal: Principal, { log, limits }: RouteParts): Promise<Map<string, Ends>> {
  const ends = new Map<string, Ends>()
  const waiting = names.filter((name) => principal.grants.covers('subscribe', `${name}/#`))
  const look = async (): Promise<void> => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      if (!(await isMember(name))) continue
      const stream = await log.stream(name)
      await log.confirmHead(stream) // What is said of the head must be true [P-2.18].
      ends.set(name, { head: stream.headSeq, first: stream.first })
    }
  }
  const isMember = async (name: string): Promise<boolean> => {
    try {
      await mustBeMember(log, name, principal)
      return true
    } catch (error) {
      if (asSyncError(error).code === 'forbidden') return false
      throw error
    }
  }
  await Promise.all(Array.from({ length: Math.min(limits.headReadsMax, waiting.length) }, look))
  return ends
}
