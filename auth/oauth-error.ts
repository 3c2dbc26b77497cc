/** Refusals of the exchange in the words of RFC 6749 section 5.2. */
import { asSyncError, type ErrorCode } from '../protocol/errors.ts'

export interface OAuthError {
  readonly status: number
  readonly body: { readonly error: string; readonly error_description: string }
}

const names: Readonly<Partial<Record<ErrorCode, string>>> = {
  'bad-request': 'invalid_request',
  unauthorized: 'invalid_grant',
  'token-expired': 'invalid_grant',
  forbidden: 'invalid_grant',
  'too-many-requests': 'temporarily_unavailable',
  'store-unavailable': 'temporarily_unavailable',
  'engine-unavailable': 'temporarily_unavailable',
  'engine-credentials': 'temporarily_unavailable',
  'engine-refused': 'temporarily_unavailable',
  'engine-region': 'temporarily_unavailable',
  'clock-skew': 'temporarily_unavailable',
  stopping: 'temporarily_unavailable',
}

/** What the client asked wrongly is 400; what failed here keeps its own status and tells no detail. */
export function oauthError(thrown: unknown): OAuthError {
  const error = asSyncError(thrown)
  const named = error.details['oauth']
  const name = typeof named === 'string' ? named : (names[error.code] ?? 'server_error')
  const isOurs = error.meaning.status >= 500
  const isAsked = !isOurs && error.code !== 'too-many-requests'
  const description = isOurs ? error.meaning.title : error.message
  return { status: isAsked ? 400 : error.meaning.status, body: { error: name, error_description: printable(description) } }
}

/** The characters the RFC admits in `error_description`. */
function printable(text: string): string {
  return text.replaceAll('"', "'").replace(/[^\x20-\x5b\x5d-\x7e]/g, '?')
}
