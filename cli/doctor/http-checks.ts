/** The server over HTTP: whether it is one, whether it is ready, and what its clock says. */
import { tokenAheadMs } from '../../seams/limits.ts'
import { Trouble, type Found } from './report.ts'
import { stepTimeoutMs, unreachable } from './unreachable.ts'

export interface HttpAnswer {
  /** What the server's clock is ahead of ours, as far as whole seconds and the way tell; undefined without a Date header. */
  readonly aheadMs: number | undefined
}

/** JSON of an answer; throws where something else than Tidemark answers. */
export async function jsonOf(response: Response, url: string): Promise<Record<string, unknown>> {
  const type = response.headers.get('content-type') ?? 'no content type'
  const text = await response.text()
  try {
    if (/json/.test(type)) return JSON.parse(text) as Record<string, unknown>
  } catch {
    // Told below: whatever it calls itself, it is not JSON.
  }
  throw new Trouble(
    `${url} answers ${response.status} with ${type.split(';')[0]} where Tidemark answers JSON`,
    'something else stands there or in front of it, such as a web site, a login page or a proxy: correct --url, or let the path through',
  )
}

export async function askHttp(url: string, init: RequestInit = {}): Promise<Response> {
  return await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(stepTimeoutMs), ...init }).catch((error: unknown) => {
    throw unreachable(url, error)
  })
}

/** `/readyz` [P-11.9]. */
export async function checkServer(url: string): Promise<Found<HttpAnswer>> {
  const beganMs = Date.now()
  const response = await askHttp(`${url}/readyz`)
  const endedMs = Date.now()
  const body = await jsonOf(response, `${url}/readyz`)
  if (response.status === 403)
    throw new Trouble(
      `the server refuses the host or origin: ${String(body['detail'])}`,
      'name it as allowedHosts has it; in development mode as localhost',
    )
  if (response.status !== 200 || body['ready'] !== true) {
    throw new Trouble(
      `the server is not ready: ${typeof body['detail'] === 'string' ? body['detail'] : `it answers ${response.status}`}`,
      'look at its log, its disk and its store; docs/OPERATIONS.md says what fails and what to do',
    )
  }
  const date = Date.parse(response.headers.get('date') ?? '')
  // The header has whole seconds: half of one is the best guess.
  const aheadMs = Number.isNaN(date) ? undefined : date + 500 - (beganMs + endedMs) / 2
  return { said: `${url} is ready and answers in ${endedMs - beganMs} ms`, value: { aheadMs } }
}

export function checkClock({ aheadMs }: HttpAnswer): Found<undefined> {
  if (aheadMs === undefined) return { said: 'the answer has no Date, so nothing is known of the clock', value: undefined }
  const off = Math.abs(aheadMs)
  const said = `the clock of this machine is ${words(off)} ${aheadMs > 0 ? 'behind' : 'ahead of'} the server's`
  if (off > tokenAheadMs) {
    throw new Trouble(said, 'set both by a time service: tokens look expired, or made for later, where clocks differ')
  }
  return {
    said: off <= 2_000 ? 'the clocks of this machine and of the server agree' : `${said}, which harms nothing up to ${words(tokenAheadMs)}`,
    value: undefined,
  }
}

/** A time in words: 45 s, 5 min, 2 h, 3 d. */
export function words(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
  ] as const
  const unit = units.find(([, size]) => ms >= 1.5 * size)
  return unit ? `${Math.round(ms / unit[1])} ${unit[0]}` : `${Math.round(ms / 1_000)} s`
}
