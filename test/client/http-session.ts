/** The smallest way to a real server: puts and history by HTTP. */
import { asClientError, ClientError, errorOf } from '../../client/errors.ts'
import type { History } from '../../client/seams.ts'
import type { Session } from '../../client/transport/transport.ts'
import type { EntriesPage, Put, PutAnswer } from '../../client/wire.ts'

export class HttpSession implements Session {
  readonly #url: string
  readonly #token: string
  /** How many answers are lost on their way from here on. */
  loseAnswers = 0

  constructor(url: string, token: string) {
    this.#url = url
    this.#token = token
  }

  async put(topic: string, put: Put): Promise<PutAnswer> {
    const [kind, id, ...below] = topic.split('/')
    const { status, body } = await request(`${this.#url}/v1/streams/${kind}/${id}/entries`, this.#token, { ...put, topic: below.join('/') })
    if (this.loseAnswers-- > 0) throw new ClientError('network')
    if (status < 300) return body as unknown as PutAnswer
    const { code, detail, current } = body as { code: string; detail: string; current?: never }
    return { id: put.id, error: code, reason: detail, ...(current !== undefined && { current }) }
  }

  follow(): void {}
  unfollow(): void {}
  async renew(): Promise<void> {}
  async probe(): Promise<void> {}
  clockOffset(): undefined {}
  close(): void {}
}

export function httpHistory(url: string, token: string): History {
  return {
    async entries(stream, query) {
      const parameters = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]))
      const { status, body } = await request(`${url}/v1/streams/${stream}/entries?${parameters}`, token)
      if (status === 200) return body as unknown as EntriesPage
      throw errorOf(body['code'], status, String(body['detail']), body)
    },
    state: () => Promise.reject(new Error('an outbox asks for no state')),
  }
}

async function request(url: string, token: string, json?: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const headers = { authorization: `Bearer ${token}`, ...(json && { 'content-type': 'application/json' }) }
  try {
    const response = await fetch(url, json ? { method: 'POST', headers, body: JSON.stringify(json) } : { headers })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  } catch (error) {
    throw asClientError(error, 'network')
  }
}
