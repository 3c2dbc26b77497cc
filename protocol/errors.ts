/** Every refusal the product can give, in one table [P-12.1]. */

export interface ErrorMeaning {
  /** HTTP status of the problem details (RFC 9457). */
  readonly status: number
  /** What an MQTT client sees. */
  readonly mqtt: 'close' | 'suback-0x80' | 'connack-4' | 'connack-5' | 'reply' | 'reset'
  /** Whether the same request may succeed later. */
  readonly retry: 'yes' | 'no' | 'after-refresh'
  readonly title: string
}

export const errorTable = {
  'bad-request': { status: 400, mqtt: 'close', retry: 'no', title: 'The request is not well formed' },
  'bad-topic': { status: 400, mqtt: 'close', retry: 'no', title: 'The topic cannot be used' },
  'bad-filter': { status: 400, mqtt: 'suback-0x80', retry: 'no', title: 'The topic filter cannot be used' },
  'bad-position': { status: 400, mqtt: 'suback-0x80', retry: 'no', title: 'The position is not well formed' },
  'bad-put': { status: 400, mqtt: 'reply', retry: 'no', title: 'The put message is not well formed' },
  unauthorized: { status: 401, mqtt: 'connack-4', retry: 'after-refresh', title: 'The token is missing or not valid' },
  'token-expired': { status: 401, mqtt: 'connack-4', retry: 'after-refresh', title: 'The token has expired' },
  forbidden: { status: 403, mqtt: 'close', retry: 'no', title: 'The grants do not allow this' },
  'not-found': { status: 404, mqtt: 'close', retry: 'no', title: 'There is nothing here' },
  'unknown-outcome': {
    status: 409,
    mqtt: 'reply',
    retry: 'after-refresh',
    title: 'Whether the entry was stored can no longer be told from its id',
  },
  trimmed: { status: 410, mqtt: 'reset', retry: 'after-refresh', title: 'The position is older than the oldest readable entry' },
  epoch: { status: 410, mqtt: 'reset', retry: 'after-refresh', title: 'The position belongs to another history of this store' },
  ahead: { status: 410, mqtt: 'reset', retry: 'after-refresh', title: 'The position is ahead of the newest entry' },
  conflict: { status: 412, mqtt: 'reply', retry: 'after-refresh', title: 'The topic has changed since the version named' },
  'payload-too-large': { status: 413, mqtt: 'close', retry: 'no', title: 'The message is larger than the limit' },
  'id-reused': { status: 422, mqtt: 'reply', retry: 'no', title: 'The entry id was used for other content' },
  'too-many-requests': { status: 429, mqtt: 'close', retry: 'yes', title: 'A limit of this user is reached' },
  internal: { status: 500, mqtt: 'close', retry: 'yes', title: 'The server failed' },
  'store-unavailable': { status: 503, mqtt: 'close', retry: 'yes', title: 'The store does not take writes at the moment' },
  'clock-skew': { status: 503, mqtt: 'close', retry: 'yes', title: 'The clock of this node differs from the clock of the store or engine' },
  'engine-unavailable': { status: 503, mqtt: 'close', retry: 'yes', title: 'The engine lets nobody in at the moment' },
  'engine-credentials': { status: 503, mqtt: 'close', retry: 'yes', title: 'The server has no valid credentials for its engine' },
  'engine-refused': { status: 503, mqtt: 'close', retry: 'yes', title: 'The engine does not let the server admit clients' },
  'engine-region': { status: 503, mqtt: 'close', retry: 'yes', title: 'The engine cannot be used in the configured region' },
  stopping: { status: 503, mqtt: 'close', retry: 'yes', title: 'The server is stopping' },
} as const satisfies Record<string, ErrorMeaning>

export type ErrorCode = keyof typeof errorTable

/** The one error class. `message` says what, where and the limit; `details` are members of the problem document. */
export class SyncError extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'SyncError'
    this.code = code
    this.details = details
  }

  get meaning(): ErrorMeaning {
    return errorTable[this.code]
  }
}

/** Any thrown value as a SyncError, so that every boundary answers with a code. */
export function asSyncError(thrown: unknown): SyncError {
  if (thrown instanceof SyncError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new SyncError('internal', message, {}, thrown)
}
