/** Where every failure of a request ends: answered, counted once, logged once [P-12.27]. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import { oauthError } from '../auth/index.ts'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import type { Metrics } from './metrics.ts'
import { problemDocument, problemHeaders, problemType } from './problem.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** In whose words the route refuses; default RFC 9457. */
    errors?: 'oauth'
    /** The code of a body that cannot be read; default `bad-request`. */
    badBody?: 'bad-put'
  }
}

export class Refusals {
  readonly #logger: Logger
  readonly #metrics: Metrics

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger
    this.#metrics = metrics
  }

  /** Answers whatever was thrown while a request was handled. */
  answer(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const error = understand(thrown, request)
    return request.routeOptions.config?.errors === 'oauth'
      ? this.#answerOAuth(error, request, reply)
      : this.answerProblem(error, request, reply)
  }

  /** Answers with a problem document, whatever the route. */
  answerProblem(error: SyncError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.#note(error, request)
    return reply
      .code(error.meaning.status)
      .headers(problemHeaders(error.code, request.headers.authorization !== undefined))
      .type(problemType)
      .send(Buffer.from(problemDocument(error))) // As text it would get a charset, which the type does not have.
  }

  /** Answers what is no request at all, and ends the connection. */
  answerRaw(thrown: NodeJS.ErrnoException, socket: Socket): void {
    if (thrown.code === 'ECONNRESET' || socket.destroyed) return void socket.destroy()
    // Opened ahead, as browsers do, and not used: an answer would be taken for that of a request that comes at this moment.
    if (socket.bytesRead === 0) return void socket.destroy()
    const error = understandRaw(thrown.code)
    this.#metrics.refused('http', error.code)
    this.#logger.warn({ code: error.code, reason: error.message }, 'something that is no HTTP request was refused')
    // After an answer has begun, another one would be taken for its body.
    if (!socket.writable || socket.bytesWritten > 0) return void socket.destroy()
    const body = problemDocument(error)
    socket.end(
      `HTTP/1.1 ${error.meaning.status} Refused\r\nconnection: close\r\ncontent-type: ${problemType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  }

  /** RFC 6749 section 5.2 [P-10.19]. */
  #answerOAuth(error: SyncError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.#note(error, request)
    // The names of RFC 6749 have none for a form that is too large.
    const named = error.code === 'payload-too-large' ? new SyncError('bad-request', error.message) : error
    const { status, body } = oauthError(named)
    return reply
      .code(error === named ? status : error.meaning.status)
      .headers({ ...problemHeaders(error.meaning.status === 401 ? 'bad-request' : error.code, true), 'cache-control': 'no-store' })
      .type('application/json')
      .send(JSON.stringify(body))
  }

  #note(error: SyncError, request: FastifyRequest): void {
    this.#metrics.refused('http', error.code)
    // The route and not the URL: whatever a client puts there by mistake stays out of the log.
    const fields = {
      code: error.code,
      method: request.method,
      route: request.routeOptions?.url,
      uid: request.principal?.uid,
      reason: error.message,
    }
    if (error.code === 'internal') this.#logger.error({ ...fields, error: error.cause ?? error }, 'a request failed')
    else this.#logger.warn(fields, 'a request was refused')
  }
}

/** What fastify throws, in our codes. */
function understand(thrown: unknown, request: FastifyRequest): SyncError {
  if (thrown instanceof SyncError || !isFastifyError(thrown)) return asSyncError(thrown)
  if (thrown.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new SyncError('payload-too-large', 'the body is larger than packetBytesMax', {}, thrown)
  if (thrown.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new SyncError('bad-request', 'the content type is not the one of this route', {}, thrown)
  }
  if (thrown.statusCode >= 400 && thrown.statusCode < 500) {
    const about = thrown.code === 'FST_ERR_BAD_URL' ? 'the path is not well encoded' : 'the request cannot be read'
    return new SyncError(request.routeOptions?.config?.badBody ?? 'bad-request', about, {}, thrown)
  }
  return asSyncError(thrown)
}

function understandRaw(code: string | undefined): SyncError {
  if (code === 'HPE_HEADER_OVERFLOW') return new SyncError('payload-too-large', 'the headers are larger than the limit')
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new SyncError('bad-request', 'the request did not arrive in time')
  return new SyncError('bad-request', 'this is no HTTP/1.1 request')
}

function isFastifyError(thrown: unknown): thrown is Error & { code: string; statusCode: number } {
  return thrown instanceof Error && 'statusCode' in thrown && typeof thrown.statusCode === 'number'
}
