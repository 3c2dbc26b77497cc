/** `/v1/streams/{kind}/{id}/members/{uid}`: who belongs to a space [P-16.1]. */
import { Type } from 'typebox'
import { withdraw } from '../log/members.ts'
import { SyncError } from '../protocol/errors.ts'
import { isCanonicalUid } from '../protocol/names.ts'
import { formatPosition } from '../protocol/positions.ts'
import { quote } from '../protocol/topics.ts'
import { authentication, principalOf } from './access.ts'
import type { App, RouteParts } from './parts.ts'
import { httpClient } from './publish.ts'
import { answer, bearer, positionText, problems, streamPath } from './schemas.ts'
import { streamOfPath } from './target.ts'

/**
 * `DELETE` with the grant `own` on the whole space: 200 with `{id, pos}` of the entry that withdraws the user, once it is on
 * disk. Refusals: `bad-topic`, 401, `forbidden`, `not-found`, 503.
 */
export function memberRoutes(app: App, parts: RouteParts): void {
  const { log, logger, rules } = parts
  const params = Type.Object({ ...streamPath.properties, uid: Type.String({ description: 'Encoded.', examples: ['bob'] }) })
  app.delete(
    '/v1/streams/:kind/:id/members/:uid',
    {
      onRequest: authentication(parts),
      schema: {
        summary: 'Withdraw a member from a space',
        security: bearer,
        params,
        response: {
          200: answer('From this entry on the user is shown nothing.', Type.Object({ id: Type.String(), pos: positionText })),
          ...problems('bad-topic', 'unauthorized', 'token-expired', 'forbidden', 'not-found'),
          ...problems('store-unavailable', 'clock-skew', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      const { kind, uid } = request.params
      if (kind !== 'spaces') throw new SyncError('not-found', `${quote(kind)} has no members to withdraw`)
      const space = streamOfPath(request.params, rules)
      if (!isCanonicalUid(uid)) throw new SyncError('bad-topic', `${quote(uid)} is not a canonical name [P-1.11]`)
      const principal = principalOf(request)
      if (!principal.grants.covers('own', `${space}/#`)) throw new SyncError('forbidden', `no grant to own covers ${space}/#`)
      const { id, seq, mark } = await withdraw(log, space, uid, { ...principal, client: principal.client ?? httpClient })
      logger.info({ audit: 'withdrawn', by: principal.uid, uid, space, seq }, 'a member was withdrawn from a space')
      return reply
        .code(200)
        .header('cache-control', 'no-store')
        .send({ id, pos: formatPosition(log.epoch, seq, mark) })
    },
  )
}
