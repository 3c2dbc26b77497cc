/** Everything the SDK refuses or fails with: the server's codes [P-12.2] and those that only a client can have. */
import { errorTable, type ErrorCode } from '../protocol/errors.ts'

export type Retry = 'yes' | 'no' | 'after-refresh'

const clientTable = {
  network: { retry: 'yes', title: 'The server cannot be reached' },
  'not-tidemark': { retry: 'no', title: 'What answers at this address is no Tidemark server' },
  'token-source': { retry: 'yes', title: 'getToken() failed' },
  closed: { retry: 'no', title: 'The client has been closed' },
  'bad-value': { retry: 'no', title: 'The value cannot be published' },
  'outbox-full': { retry: 'yes', title: 'Too much waits to be published' },
  'storage-full': { retry: 'yes', title: 'The device has no room to keep what waits to be published' },
  'storage-unavailable': { retry: 'yes', title: 'The device does not let us keep anything' },
  'too-much-state': { retry: 'no', title: 'The state has more topics than the bound' },
  listener: { retry: 'no', title: 'A listener of the app has thrown' },
  undecodable: { retry: 'no', title: 'The codec cannot read this entry' },
} as const satisfies Record<string, { retry: Retry; title: string }>

export type ClientErrorCode = ErrorCode | keyof typeof clientTable

/** The SDK's one error class. Decide by `code`; `details` holds what the code brings, as `current` with `conflict`. */
export class ClientError extends Error {
  readonly code: ClientErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ClientErrorCode, message?: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message ?? meaningOf(code).title, cause === undefined ? undefined : { cause })
    this.name = 'ClientError'
    this.code = code
    this.details = details
  }

  /** Whether the same call may succeed later [P-12.3]. */
  get retry(): Retry {
    return meaningOf(this.code).retry
  }
}

function meaningOf(code: ClientErrorCode): { readonly retry: Retry; readonly title: string } {
  return code in clientTable ? clientTable[code as keyof typeof clientTable] : errorTable[code as ErrorCode]
}

/** The error of a code that came over the wire; an unknown one counts by its HTTP status [P-14.7]. Without a message it says what the code means. */
export function errorOf(
  code: unknown,
  status: number,
  message: string | undefined,
  details: Readonly<Record<string, unknown>> = {},
): ClientError {
  if (typeof code === 'string' && code in errorTable) return new ClientError(code as ErrorCode, message, details)
  return new ClientError(
    status >= 500
      ? 'internal'
      : status === 429
        ? 'too-many-requests'
        : status === 401
          ? 'unauthorized'
          : status === 403
            ? 'forbidden'
            : 'bad-request',
    message ?? (typeof code === 'string' ? code : undefined),
    details,
  )
}

/** Anything thrown, as a ClientError. */
export function asClientError(thrown: unknown, code: ClientErrorCode): ClientError {
  if (thrown instanceof ClientError) return thrown
  return new ClientError(code, thrown instanceof Error ? thrown.message : String(thrown), {}, thrown)
}
