/** The log over HTTP [P-11.2, P-11.4]. */
import { ClientError } from './errors.ts'
import { ask, problemOf, type Answer, type Surroundings } from './request.ts'
import type { EntriesQuery, History } from './seams.ts'
import type { Credential } from './transport/transport.ts'
import type { EntriesPage, StatePage } from './wire.ts'

/** Where requests get their token; a Link is one. */
export interface TokenSource {
  credential(): Promise<Credential>
  /** Another one, after a 401. */
  refresh(used: Credential): Promise<Credential>
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>

export class HttpHistory implements History {
  readonly #surroundings: Surroundings
  readonly #tokens: TokenSource
  readonly #waiting: (() => void)[] = []
  #underWay = 0

  constructor(surroundings: Surroundings, tokens: TokenSource) {
    this.#surroundings = surroundings
    this.#tokens = tokens
  }

  async entries(stream: string, query: EntriesQuery, signal?: AbortSignal, onNext?: (after: string) => void): Promise<EntriesPage> {
    const onHeaders = (headers: Headers): void => {
      const next = nextIn(headers)
      if (next !== undefined) onNext?.(next)
    }
    return (await this.#page(`${pathOf(stream)}/entries`, { ...query }, signal, onHeaders)) as unknown as EntriesPage
  }

  async state(
    stream: string,
    query: { readonly topic?: string; readonly after?: string; readonly limit?: number },
    signal?: AbortSignal,
  ): Promise<StatePage> {
    return (await this.#page(`${pathOf(stream)}/state`, { ...query }, signal)) as unknown as StatePage
  }

  async #page(path: string, query: Query, signal?: AbortSignal, onHeaders?: (headers: Headers) => void): Promise<Answer['body']> {
    const parameters = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))
    const target = `${path}?${new URLSearchParams(parameters).toString()}`
    await this.#turn()
    try {
      const used = await this.#tokens.credential()
      let answer = await this.#get(used, target, signal, onHeaders)
      if (answer.status === 401) answer = await this.#get(await this.#tokens.refresh(used), target, signal, onHeaders)
      if (answer.status !== 200) throw problemOf(answer)
      if (!Array.isArray(answer.body['entries'])) throw new ClientError('not-tidemark', `${path} answers, but not with a page`)
      return answer.body
    } finally {
      this.#underWay--
      this.#waiting.shift()?.()
    }
  }

  #get(credential: Credential, target: string, signal?: AbortSignal, onHeaders?: (headers: Headers) => void): Promise<Answer> {
    if (signal?.aborted) throw new ClientError('closed', 'the request was given up')
    const headers = { authorization: `Bearer ${credential.token}` }
    return ask(this.#surroundings, credential.httpUrl + target, { headers }, signal, { onHeaders })
  }

  /** Waits until one more request may be under way. */
  async #turn(): Promise<void> {
    while (this.#underWay >= this.#surroundings.bounds.requestsInFlightMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#underWay++
  }
}

/** The `after` of a page's `Link` [P-11.22]; a server that is older has none, and one elsewhere may not let the page see it. */
function nextIn(headers: Headers): string | undefined {
  const query = /<\?([^>]*)>; *rel="next"/.exec(headers.get('link') ?? '')?.[1]
  return new URLSearchParams(query).get('after') ?? undefined
}

/** The route of a stream [P-11.13]. */
export function pathOf(stream: string): string {
  return `/v1/streams/${stream.split('/').map(encodeURIComponent).join('/')}`
}
