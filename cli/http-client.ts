/** GET requests of the client commands, with problem documents as sentences. */
import { errorTable, SyncError, type ErrorCode } from '../protocol/errors.ts'
import { unreachable } from './doctor/unreachable.ts'
import { UsageError } from './usage-error.ts'
import type { Target } from './target.ts'

/** The body of a GET below the stream, as text. Throws the refusal with its code. */
export async function getFromStream(
  target: Target,
  stream: string,
  route: 'entries' | 'state',
  query: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const url = new URL(`${target.url}/v1/streams/${pathOf(stream)}/${route}`)
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value)
  const authorization = `Bearer ${await target.token()}`
  const response = await fetch(url, { headers: { authorization } }).catch((error: unknown) => {
    const { message, advice } = unreachable(target.url, error)
    throw new SyncError('store-unavailable', `${target.url} cannot be reached: ${message}; ${advice}`, {}, error)
  })
  const text = await response.text()
  if (!response.ok) throw problem(response.status, text)
  return text
}

function pathOf(stream: string): string {
  const levels = stream.split('/')
  if (levels.length !== 2 || levels.includes('')) throw new UsageError(`${stream} is no stream; it has two levels, like users/alice`)
  return levels.map(encodeURIComponent).join('/')
}

function problem(status: number, text: string): SyncError {
  const { code, detail, first, head } = parsed(text)
  const known: ErrorCode = typeof code === 'string' && code in errorTable ? (code as ErrorCode) : 'internal'
  const ends = typeof first === 'string' && typeof head === 'string' ? ` (first ${first}, head ${head})` : ''
  return new SyncError(known, `${typeof detail === 'string' ? detail : `the server answered ${status}`}${ends}`)
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}
