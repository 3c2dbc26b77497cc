/** `/v1/streams/{kind}/{id}`: erasing a stream [P-17.1]. */
import { Type } from 'typebox'
import { erase } from '../log/erase.ts'
import { SyncError } from '../protocol/errors.ts'
import { authentication, principalOf } from './access.ts'
import type { App, RouteParts } from './parts.ts'
import { httpClient } from './publish.ts'
import { answer, bearer, positionText, problems, streamPath } from './schemas.ts'
import { streamOfPath } from './target.ts'

/** `DELETE` with the grant `ops:erase`: 200 with `{pos}` once nothing is left. Refusals: `bad-topic`, 401, `forbidden`, `not-found`, 503. */
export function erasingRoutes(app: App, parts: RouteParts): void {
  const { log, logger, rules } = parts
  app.delete(
    '/v1/streams/:kind/:id',
    {
      onRequest: authentication(parts),
      schema: {
        summary: 'Erase a stream',
        security: bearer,
        params: streamPath,
        response: {
          200: answer('Nothing before this entry is left.', Type.Object({ pos: positionText })),
          ...problems('bad-topic', 'unauthorized', 'token-expired', 'forbidden', 'not-found'),
          ...problems('store-unavailable', 'clock-skew', 'stopping', 'internal'),
        },
      },
    },
    async (request, reply) => {
      const name = streamOfPath(request.params, rules)
      const { uid, client = httpClient, grants } = principalOf(request)
      if (!grants.has('ops:erase')) throw new SyncError('forbidden', 'erasing needs the grant ops:erase')
      const pos = await erase(log, name, { uid, client })
      logger.info({ audit: 'erased', by: uid, stream: name, pos }, 'a stream was erased')
      return reply.code(200).header('cache-control', 'no-store').send({ pos })
    },
  )
}
