/** Who asks: the bearer token of a request, and nothing else [P-10.1]. */
import type { FastifyRequest } from 'fastify'
import type { Principal } from '../auth/index.ts'
import { SyncError } from '../protocol/errors.ts'
import type { RouteParts } from './parts.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on routes that need a token, once it has been judged. */
    principal: Principal | undefined
    /** When the server had the head of the request, ms. */
    receivedMs: number
  }
}

/** Runs before the body is read, so that nobody without a token makes the server hold one [P-11.34]. */
export function authentication({ authority }: RouteParts): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const principal = await authority.authenticate(bearerToken(request), undefined)
    if (authority.isRevoked(principal)) throw new SyncError('unauthorized', 'the token was revoked')
    request.principal = principal
  }
}

/** As `authentication`, for routes that show entries: not while revocations cannot be learned [P-10.26]. */
export function readAuthentication(parts: RouteParts): (request: FastifyRequest) => Promise<void> {
  const authenticate = authentication(parts)
  return async (request) => {
    await authenticate(request)
    if (parts.authority.blind) throw new SyncError('store-unavailable', 'revocations cannot be read at the moment, so nothing is shown')
  }
}

/** Who was authenticated by the hook of this route. */
export function principalOf(request: FastifyRequest): Principal {
  if (!request.principal) throw new Error('the route has no authentication')
  return request.principal
}

/** RFC 6750 section 2.1; the other two ways of that RFC are not accepted. Undefined where no header is sent. */
export function bearerToken(request: FastifyRequest): string | undefined {
  const values = request.raw.headersDistinct['authorization']
  if (values === undefined) return undefined
  const token = values.length === 1 ? /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(values[0] as string)?.[1] : undefined
  if (token === undefined) throw new SyncError('unauthorized', 'the Authorization header must be one "Bearer" and a token')
  return token
}
