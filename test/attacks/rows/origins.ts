/** Pages of other sites, and names that were made to point here. */
import { request } from 'node:http'
import { expect } from 'chai'
import { WebSocket } from 'ws'
import type { Attack, Attacker, Run } from '../cells.ts'
import { within } from '../../support/waiting.ts'
import { allowedOrigin } from '../world.ts'

const noHeaders = 'plain TCP has neither Host nor Origin; development mode listens on loopback only'

type Server = 'main' | 'dev'
type Headers = Readonly<Record<string, string>>

function pageRow(name: string, clauses: readonly string[], server: Server, cases: readonly Headers[]): Attack {
  return {
    name,
    clauses,
    code: 'forbidden',
    tcp: noHeaders,
    websocket: each(cases, async (attack, headers) =>
      expect(await upgrade(attack, server, headers), JSON.stringify(headers)).to.equal(403),
    ),
    http: each(cases, async (attack, headers) => {
      for (const path of ['/healthz', '/metrics', '/v1/streams/users/alice/entries', '/v1/events?from=users/alice/x']) {
        const { status, text } = await get(attack, server, path, headers)
        expect(status, `${path} ${JSON.stringify(headers)}`).to.equal(403)
        expect((JSON.parse(text) as Record<string, unknown>)['code']).to.equal('forbidden')
      }
    }),
  }
}

export const originRows: readonly Attack[] = [
  pageRow('rebinds its name to a server in development mode', ['P-10.27', 'P-7.22'], 'dev', [
    { host: 'evil.test' },
    { host: 'evil.test:8080' },
    { host: 'localhost.evil.test' },
    { host: '127.0.0.1.evil.test' },
    { host: '127.0.0.2' },
    { host: 'localhost@evil.test' },
    { host: '[::2]' },
  ]),
  pageRow('is a page of another site, and the server is in development mode', ['P-10.27', 'P-7.22'], 'dev', [
    { origin: 'https://evil.test' },
    { origin: 'null' },
    { origin: 'http://localhost:1' },
    { origin: 'http://127.0.0.1.evil.test' },
    { origin: allowedOrigin },
  ]),
  pageRow('is a page of a site that is not configured', ['P-10.28', 'P-7.22'], 'main', [
    { origin: 'https://evil.test' },
    { origin: 'null' },
    { origin: `${allowedOrigin}.evil.test` },
    { origin: allowedOrigin.replace('https', 'http') },
    { origin: `${allowedOrigin}:444` },
    { origin: '' },
  ]),
  {
    name: 'is a page that may, to show that the rows above prove something',
    clauses: ['P-10.28', 'P-11.1'],
    code: undefined,
    tcp: noHeaders,
    async websocket(attack) {
      expect(await upgrade(attack, 'main', { origin: allowedOrigin })).to.equal(101)
      expect(await upgrade(attack, 'main', {})).to.equal(101)
    },
    async http(attack) {
      expect(await get(attack, 'main', '/healthz', { origin: allowedOrigin })).to.include({ status: 200 })
      expect(await get(attack, 'dev', '/healthz', { host: 'localhost' })).to.include({ status: 200 })
    },
  },
]

function each(cases: readonly Headers[], run: (attack: Attacker, headers: Headers) => Promise<unknown>): Run {
  return async (attack) => {
    for (const headers of cases) await run(attack, headers)
  }
}

/** The status that an upgrade is answered with. */
function upgrade(attack: Attacker, server: Server, headers: Headers): Promise<number> {
  const webSocket = new WebSocket(attack.world[server].urls.ws, 'mqtt', { headers })
  const answered = new Promise<number>((resolve, reject) => {
    webSocket.once('open', () => resolve(101))
    webSocket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
    webSocket.once('error', reject)
  })
  return within(answered, 'the answer to an upgrade').finally(() => {
    webSocket.on('error', () => {})
    webSocket.terminate()
  })
}

/** With headers that `fetch` would not send. */
function get(attack: Attacker, server: Server, path: string, headers: Headers): Promise<{ status: number; text: string }> {
  const { http: port } = attack.world[server].ports
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, headers, agent: false, setHost: headers['host'] === undefined }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => {
        attack.saw(text)
        resolve({ status: response.statusCode ?? 0, text })
      })
    })
    asked.on('error', reject).end()
  })
}
