/** Reads a stream over HTTP, page after page. */
import { Agent, request } from 'node:http'
import { nowMicros } from './clock.ts'
import { Count, eachNumber } from './counted.ts'
import type { CatchUpResult } from './catch-up.ts'

export interface HistoryTarget {
  /** `http://host:port`. */
  readonly url: string
  readonly token: string
  /** Like `users/alice`. */
  readonly stream: string
  readonly messages: number
  readonly pageEntries: number
}

/** Reads from the beginning until the server says that nothing is left. */
export async function readHistory({
  url,
  token,
  stream,
  messages,
  pageEntries,
}: HistoryTarget): Promise<CatchUpResult & { pages: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const count = new Count(messages)
  const began = nowMicros()
  let firstMicros = 0
  let after = 'earliest'
  let pages = 0
  for (;;) {
    const page = await get(`${url}/v1/streams/${stream}/entries?limit=${pageEntries}&after=${after}`, token, agent)
    pages++
    if (firstMicros === 0) firstMicros = nowMicros()
    eachNumber(page, (number) => count.see(number))
    const next = memberOf(page, 'next')
    if (memberOf(page, 'upToDate') === 'true' || next === after) break
    after = next
  }
  agent.destroy()
  const seconds = (nowMicros() - began) / 1e6
  const { received, duplicates, reordered, missing } = count
  return {
    messages,
    received,
    duplicates,
    reordered,
    gaps: 0,
    undelivered: missing,
    firstMs: (firstMicros - began) / 1000,
    seconds,
    perSecond: Math.round(received / seconds),
    pages,
  }
}

/** A member beside `entries`, without parsing what is in there: the payloads of a benchmark hold no such names. */
function memberOf(page: Buffer, name: string): string {
  const marker = `"${name}":`
  const at = page.lastIndexOf(marker)
  if (at < 0) throw new Error(`a page without ${name}`)
  const [value] = /^"?[^",}]+/.exec(page.toString('latin1', at + marker.length, at + marker.length + 200)) ?? ['']
  return value.replace('"', '')
}

function get(url: string, token: string, agent: Agent): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const body = Buffer.concat(chunks)
        if (response.statusCode === 200) resolve(body)
        else reject(new Error(`${url}: ${response.statusCode} ${body.toString().slice(0, 200)}`))
      })
    })
    asked.on('error', reject)
    asked.end()
  })
}
