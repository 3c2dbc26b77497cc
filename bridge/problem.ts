/** Problem documents, RFC 9457: the body of every refusal [P-12.1]. */
import { errorTable, type ErrorCode, type SyncError } from '../protocol/errors.ts'

export const problemType = 'application/problem+json'

/** JSON that goes into a document byte for byte. */
export class RawJson {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** Seconds after which the same request may succeed. */
const retryAfterSeconds: Readonly<Partial<Record<number, number>>> = { 429: 10, 503: 1 }
const ownMembers: ReadonlySet<string> = new Set(['type', 'title', 'status', 'detail', 'code', 'oauth'])

/** `{type, title, status, detail, code}` and the members its code brings. A fault of the server tells no detail. */
export function problemDocument(error: SyncError): string {
  const { title, status } = error.meaning
  const detail = error.code === 'internal' ? title : error.message
  let document = JSON.stringify({ type: problemUri(error.code), title, status, detail, code: error.code }).slice(0, -1)
  if (error.code !== 'internal') {
    for (const [name, value] of Object.entries(error.details)) {
      if (ownMembers.has(name) || value === undefined) continue
      document += `,${JSON.stringify(name)}:${value instanceof RawJson ? value.text : JSON.stringify(value)}`
    }
  }
  return document + '}'
}

/** The headers that go with a code: how to authenticate (RFC 6750 section 3), when to come again. */
export function problemHeaders(code: ErrorCode, hadToken: boolean): Record<string, string> {
  const { status, title } = errorTable[code]
  const headers: Record<string, string> = {}
  // A request that showed no token is told the scheme and nothing else.
  if (status === 401)
    headers['www-authenticate'] = `Bearer realm="tidemark"${hadToken ? `, error="invalid_token", error_description="${title}"` : ''}`
  const retryAfter = retryAfterSeconds[status]
  if (retryAfter !== undefined) headers['retry-after'] = String(retryAfter)
  return headers
}

/** The `type` of the documents of a code. */
export function problemUri(code: ErrorCode): string {
  return `urn:tidemark:error:${code}`
}
