/** HTTP requests with a bound, and what they were answered. */
import { withoutTokens, type Trace } from './arrivals.ts'
import { Broken, must, short } from './check.ts'
import { objectOf, type Json } from './wire.ts'

export interface Question {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly body?: string | URLSearchParams
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body, where it is a JSON object; otherwise empty. */
  readonly json: Json
}

export class Http {
  readonly url: string
  readonly #timeoutMs: number

  constructor(url: string, timeoutMs: number) {
    this.url = url
    this.#timeoutMs = timeoutMs
  }

  async ask(path: string, question: Question, trace: Trace): Promise<Answer> {
    const { method = 'GET', headers = {}, query = {}, body } = question
    const url = new URL(`${this.url}${path}`)
    for (const [name, value] of Object.entries(query)) url.searchParams.append(name, value)
    const sent = body instanceof URLSearchParams ? `(${[...body.keys()].join(', ')})` : (body ?? '')
    trace.add(`→ ${method} ${decodeURIComponent(`${url.pathname}${url.search}`)} ${short(sent, 100)}`)
    try {
      const signal = AbortSignal.timeout(this.#timeoutMs)
      // A connection for each: one that is kept may be closed by the server just when it is used again.
      const all = { connection: 'close', ...headers }
      const response = await fetch(url, { method, headers: all, redirect: 'manual', signal, ...(body === undefined ? {} : { body }) })
      const text = await response.text()
      trace.add(`← ${response.status} ${short(withoutTokens(text), 160)}`)
      return { status: response.status, headers: response.headers, text, json: objectOf(text) ?? {} }
    } catch (error) {
      throw new Broken(`${method} ${url.pathname} was not answered: ${reasonOf(error)}`, { cause: error })
    }
  }
}

/** Throws `Broken` where the answer has another status. */
export function mustAnswer(answer: Answer, status: number, what: string): Answer {
  must(answer.status === status, `${what}: expected ${status}, got ${answer.status} ${short(answer.text)}`)
  return answer
}

/** Throws `Broken` where the answer is not a problem document of this status and code [P-12.1]. */
export function mustRefuse(answer: Answer, status: number, code: string, what: string): Answer {
  mustAnswer(answer, status, what)
  must(answer.json['code'] === code, `${what}: expected the code ${code}, got ${short(answer.text)}`)
  return answer
}

/** What the system says of a failed connection. */
export function reasonOf(error: unknown): string {
  const { cause, message, errors } = error as { cause?: unknown; message?: string; errors?: unknown[] }
  if (cause instanceof Error) return reasonOf(cause)
  return message !== undefined && message !== '' ? message : errors?.[0] instanceof Error ? errors[0].message : String(error)
}
