/** A bridge over the log in memory, on a free port, with tokens that are names. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { Writable } from 'node:stream'
import pino from 'pino'
import { Grants, openGrants, type Principal } from '../../auth/index.ts'
import { Bridge, Metrics, type BridgeAuthority, type BridgeParts, type ConsoleFiles, type ReadinessCheck } from '../../bridge/index.ts'
import { Live } from '../../delivery/live.ts'
import { encodeFrame } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Store } from '../../log/stores/store.ts'
import { SyncError } from '../../protocol/errors.ts'
import type { Clock } from '../../seams/clock.ts'
import { noHints, type Hints } from '../../seams/hints.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'

export interface WorldOptions {
  readonly limits?: Partial<Limits>
  readonly store?: Store
  readonly hints?: Hints
  readonly openEnabled?: boolean
  readonly developmentMode?: boolean
  readonly corsOrigins?: readonly string[]
  readonly allowedHosts?: readonly string[]
  readonly sessions?: BridgeParts['sessions']
  readonly console?: ConsoleFiles
  readonly authority?: (clock: Clock, log: Log) => Promise<BridgeAuthority>
}

/** Everything one test talks to. */
export interface World {
  readonly url: string
  readonly port: number
  readonly bridge: Bridge
  readonly log: Log
  readonly live: Live
  readonly clock: TestClock
  readonly authority: FakeAuthority
  readonly metrics: Metrics
  readonly readiness: ReadinessCheck[]
  /** Every line logged, as text. */
  readonly lines: string[]
  close(): Promise<void>
}

export class TestClock implements Clock {
  ms = 1_700_000_000_000
  now(): number {
    return this.ms
  }
}

/** Tokens are names: `alice`; `alice.phone` is bound to a client; whoever is not listed is refused. */
export class FakeAuthority implements BridgeAuthority {
  blind = false
  developmentMode = false
  readonly revoked = new Set<string>()
  readonly revocations: unknown[] = []
  readonly exchanges: unknown[] = []
  readonly #clock: Clock
  readonly #grants: ReadonlyMap<string, readonly string[]> = new Map([
    ['alice', []],
    ['bob', ['subscribe:spaces/board/#', 'publish:spaces/board/#']],
    ['carol', ['subscribe:spaces/board/#', 'publish:spaces/board/#', 'own:spaces/board/#']],
    ['narrow', ['subscribe:users/alice/notes/#', 'publish:users/alice/notes/1']],
    ['ops', ['ops:revoke', 'ops:metrics', 'ops:erase']],
    ['tapper', ['tap']],
    ['reader', ['subscribe:spaces/board/#']],
  ])

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async authenticate(token: string | undefined, client: string | undefined): Promise<Principal> {
    if (client !== undefined) throw new Error('over HTTP nobody is a client')
    if (token === 'late') throw new SyncError('token-expired', 'the token has expired')
    const [name = '', bound] = (token ?? '').split('.')
    const extra = this.#grants.get(name)
    if (!extra) throw new SyncError('unauthorized', 'no valid token')
    const own = ['publish:users', 'subscribe:users', 'publish:outbox', 'subscribe:outbox', 'subscribe:inbox'].map(
      (verb) => `${verb}/${name}/#`,
    )
    const now = this.#clock.now()
    return {
      uid: name,
      client: bound,
      grants: Grants.parse([...(name === 'narrow' ? [] : own), ...openGrants, ...extra, ...(this.#also.get(name) ?? [])]),
      expiresAtMs: now + 3_600_000,
      issuedAtMs: now,
      jti: `jti-${name}`,
      kind: 'app',
    }
  }

  async exchange(request: Parameters<BridgeAuthority['exchange']>[0]): ReturnType<BridgeAuthority['exchange']> {
    this.exchanges.push(request)
    if (request.subject_token === undefined) throw new SyncError('bad-request', 'subject_token is missing')
    if (request.subject_token === 'down') throw new SyncError('store-unavailable', 'secret detail')
    if (request.subject_token === 'broken') throw new Error('secret detail')
    await this.authenticate(request.subject_token, undefined)
    return {
      access_token: 'made',
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3600,
      scope: request.scope ?? '',
      mqtt_url: 'mqtt://localhost:1883',
      http_url: 'http://localhost:8080',
      limits: {} as Awaited<ReturnType<BridgeAuthority['exchange']>>['limits'],
    }
  }

  async revoke(by: Principal, request: Parameters<BridgeAuthority['revoke']>[1]): Promise<void> {
    if (!by.grants.has('ops:revoke')) throw new SyncError('forbidden', 'revoking needs the grant ops:revoke')
    if (request.uid === 'many') throw new SyncError('too-many-requests', 'too many revocations')
    this.revocations.push(request)
  }

  readonly #listeners = new Set<() => void>()
  readonly #also = new Map<string, string[]>()

  /** One more grant for a name. */
  also(name: string, grant: string): void {
    this.#also.set(name, [...(this.#also.get(name) ?? []), grant])
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** As when revocations were read: everybody looks again. */
  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  isRevoked(principal: Principal): boolean {
    return this.revoked.has(principal.uid)
  }

  async mintForConsole(secret: string, { name, spaces }: Parameters<BridgeAuthority['mintForConsole']>[1]): Promise<string> {
    if (secret !== 'printed') throw new SyncError('forbidden', 'another secret')
    return `${name} ${JSON.stringify(spaces ?? {})}`
  }

  jwks(): { keys: object[] } {
    return { keys: [{ kty: 'OKP', crv: 'Ed25519', kid: 'one', x: 'AAAA' }] }
  }
}

export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const clock = new TestClock()
  const limits = { ...defaultLimits, commitPauseMs: 0, ...options.limits }
  const readiness: ReadinessCheck[] = []
  const lines: string[] = []
  const logger = pino({ level: 'debug' }, new Writable({ write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()) }))
  const hints = options.hints ?? noHints
  const log = await Log.open({ store: options.store ?? new MemoryStore(), clock, limits, hints })
  const live = new Live({ clock, hints })
  const metrics = new Metrics(() => ({ connections: 3, backlogBytes: 12, streams: log.inMemory.streams }))
  const authority = new FakeAuthority(clock)
  authority.developmentMode = options.developmentMode ?? false
  const parts: BridgeParts = {
    log,
    live,
    authority: (await options.authority?.(clock, log)) ?? authority,
    clock,
    limits,
    logger,
    metrics,
    corsOrigins: options.corsOrigins ?? [],
    openEnabled: options.openEnabled ?? false,
    readiness: () => readiness,
    version: '9.9.9',
    sessions: options.sessions ?? (() => Promise.resolve({ sessions: [], next: undefined })),
    console: () => Promise.resolve(options.console),
    ...(options.allowedHosts ? { allowedHosts: options.allowedHosts } : {}),
  }
  const bridge = await Bridge.open(parts)
  const port = await bridge.listen({ host: '127.0.0.1', port: 0 })
  const close = async (): Promise<void> => {
    await bridge.close()
    live.close()
    await log.close()
  }
  return { url: `http://127.0.0.1:${port}`, port, bridge, log, live, clock, authority, metrics, readiness, lines, close }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
  readonly text: string
}

export interface Ask {
  readonly token?: string
  readonly method?: string
  readonly json?: unknown
  readonly body?: string | Uint8Array<ArrayBuffer>
  readonly headers?: Readonly<Record<string, string>>
}

/** One request with `fetch`; `body` is the answer's JSON, or empty. */
export async function ask(world: World, path: string, { token, method, json, body, headers }: Ask = {}): Promise<Answer> {
  const content = json === undefined ? body : JSON.stringify(json)
  const response = await fetch(world.url + path, {
    method: method ?? (content === undefined ? 'GET' : 'POST'),
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(content === undefined ? {} : { body: content }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') ?? false
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : {},
  }
}

/** One request with headers that `fetch` would not send. */
export function askRaw(
  world: World,
  path: string,
  headers: Record<string, string | string[]>,
  method = 'GET',
  encoding: BufferEncoding = 'utf8',
): Promise<{ status: number; headers: IncomingHttpHeaders; text: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port: world.port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString(encoding) }),
      )
    })
    request.on('error', reject).end()
  })
}

/** Writes bytes to the port and resolves with all that comes back until the server ends. */
export function speak(world: World, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(world.port, '127.0.0.1', () => socket.write(bytes))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve(Buffer.concat(chunks).toString()) : reject(error),
    )
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()))
  })
}

export interface Message {
  readonly topic: string
  readonly payload?: string
  readonly retain?: boolean
  readonly id?: string
}

/** Appends as one commit, as far as the log puts them together; resolves with the last seq. */
export async function append(world: World, stream: string, messages: readonly Message[], from = 'alice'): Promise<number> {
  const drafts = await Promise.all(
    messages.map(({ topic, payload = 'x', retain = false, id }) =>
      world.log.publish(stream, {
        topic,
        ...encodeFrame(topic, Buffer.from(payload)),
        qos: 1,
        retain,
        from,
        client: 'phone',
        receivedMs: world.clock.now(),
        ...(id === undefined ? {} : { id }),
      }),
    ),
  )
  return drafts.at(-1)?.seq ?? 0
}

/** What every envelope of a page holds. */
export interface Shown {
  readonly pos: string
  readonly id: string
  readonly ts: number
  readonly topic: string
  readonly text?: string
}

export interface HistoryPage {
  readonly entries: Shown[]
  readonly next: string
  readonly head: string
  readonly first: string
  readonly upToDate: boolean
}

export async function history(world: World, query = '', path = '/v1/streams/users/alice/entries', token = 'alice'): Promise<HistoryPage> {
  const answer = await ask(world, `${path}?${query}`, { token })
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`)
  return answer.body as unknown as HistoryPage
}

export function seqOf(position: string): number {
  return Number(position.split('.')[1])
}

/** The count of refusals over HTTP with this code. */
export async function refusals(world: World, code: string): Promise<number> {
  const line = (await world.metrics.text())
    .split('\n')
    .find((text) => text.startsWith('tidemark_refusals_total') && text.includes(`code="${code}"`) && text.includes('door="http"'))
  return Number(line?.split(' ').at(-1) ?? 0)
}
