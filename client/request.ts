/** One HTTP request, and what its answer means. */
import type { Bounds } from './bounds.ts'
import { asClientError, ClientError, errorOf } from './errors.ts'
import type { Timers } from './seams.ts'

export interface Surroundings {
  readonly timers: Timers
  readonly bounds: Bounds
  /** Default: the platform's. */
  readonly fetch?: typeof fetch
}

export interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * Begins the work at once, and rejects with `late()` when `ms` have passed since the beginning, or since the work has called its second
 * argument; its signal then aborts, as it does with `outer`.
 */
export async function within<Result>(
  timers: Timers,
  ms: number,
  late: () => ClientError,
  work: (signal: AbortSignal, goesOn: () => void) => Promise<Result> | Result,
  outer?: AbortSignal,
): Promise<Result> {
  const controller = new AbortController()
  const { signal } = controller
  const abort = (): void => controller.abort(asClientError(outer?.reason, 'closed'))
  if (outer?.aborted) abort()
  outer?.addEventListener('abort', abort)
  const wait = (): (() => void) => timers.after(ms, () => controller.abort(late()))
  let cancel = wait()
  const goesOn = (): void => {
    cancel()
    if (!signal.aborted) cancel = wait()
  }
  try {
    if (signal.aborted) throw signal.reason
    return await Promise.race([aborted(signal), work(signal, goesOn)])
  } finally {
    cancel()
    outer?.removeEventListener('abort', abort)
  }
}

/** Rejects with the signal's reason. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error))
  })
}

export interface AskOptions {
  /** Default `requestTimeoutMs`. */
  readonly ms?: number
  /** Hears the headers before the body has come. */
  readonly onHeaders?: ((headers: Headers) => void) | undefined
}

/** A request whose answer is a JSON object, which may take long as long as it comes. Rejects with `network` or `not-tidemark`; what the server refuses is an answer. */
export function ask(
  surroundings: Surroundings,
  url: string,
  init: RequestInit,
  outer?: AbortSignal,
  { ms = surroundings.bounds.requestTimeoutMs, onHeaders }: AskOptions = {},
): Promise<Answer> {
  return within(
    surroundings.timers,
    ms,
    () => new ClientError('network', `no answer from ${placeOf(url)} within ${ms} ms`),
    async (signal, goesOn) => {
      const response = await send(surroundings, url, init, signal)
      onHeaders?.(response.headers)
      return answerOf(url, response, goesOn)
    },
    outer,
  )
}

/** As `fetch`, but rejects with a ClientError. */
export async function send(surroundings: Surroundings, url: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
  try {
    return await (surroundings.fetch ?? fetch)(url, { ...init, signal, cache: 'no-store', credentials: 'omit' })
  } catch (thrown) {
    if (signal.aborted) throw asClientError(signal.reason, 'closed')
    throw new ClientError('network', `${placeOf(url)} cannot be reached, or does not admit this page`, {}, thrown)
  }
}

/** Reads the answer. HTML of a proxy whose server is away is a fault of the network; any other text but JSON is not ours. */
export async function answerOf(url: string, response: Response, goesOn?: () => void): Promise<Answer> {
  const { status } = response
  let text: string
  try {
    text = await textOf(response, goesOn)
  } catch (thrown) {
    throw new ClientError('network', `the answer of ${placeOf(url)} broke off`, {}, thrown)
  }
  const body = objectIn(text)
  if (body) return { status, body }
  const found = `${placeOf(url)} answers ${response.headers.get('content-type') ?? 'without a type'}, status ${status}`
  throw new ClientError(status >= 500 || status === 429 ? 'network' : 'not-tidemark', found)
}

/** On a slow link a page of a megabyte comes in pieces, each of which says that the next one may come. */
async function textOf({ body }: Response, goesOn: () => void = () => {}): Promise<string> {
  const reader = body?.getReader()
  const utf8 = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined }
    if (done) return text + utf8.decode()
    goesOn()
    text += utf8.decode(value, { stream: true })
  }
}

/** What a problem document says [P-12.1]. */
export function problemOf({ status, body }: Answer): ClientError {
  const { type: _type, title, status: _status, detail, code, ...details } = body
  if (typeof code !== 'string' && status < 500 && status !== 429) {
    return new ClientError('not-tidemark', `status ${status} without a code: this is no answer of Tidemark`)
  }
  const message = [detail, title].find((text) => typeof text === 'string')
  return errorOf(code, status, message ?? `status ${status}`, details)
}

/** The JSON object that a text is, or undefined. */
export function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    // Not being JSON is what the caller asked about.
    return undefined
  }
}

function placeOf(url: string): string {
  const { origin, pathname } = new URL(url)
  return origin + pathname
}
