/** A broker over a log, in this process, on free ports: what the broker tests talk to. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Authority, loadDevelopmentKey, mintDevelopmentToken, type DevelopmentTokenRequest } from '../../auth/index.ts'
import { Broker } from '../../broker/index.ts'
import { Live } from '../../delivery/live.ts'
import { Log } from '../../log/log.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Store } from '../../log/stores/store.ts'
import { systemClock, type Clock } from '../../seams/clock.ts'
import { noHints, type Hints } from '../../seams/hints.ts'
import { defaultLimits, type Limits } from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import { noTelemetry, type Telemetry } from '../../seams/telemetry.ts'
import { destroyRawClients, RawClient, type ConnectOptions } from './raw-mqtt.ts'
import { tempFolder } from './temp.ts'
import { Inbox, within } from './waiting.ts'

export interface TestBrokerOptions {
  /** Default a new MemoryStore. */
  readonly store?: Store
  readonly limits?: Partial<Limits>
  readonly openEnabled?: boolean
  readonly anonymous?: boolean
  readonly clock?: Clock
  readonly hints?: Hints
  /** Where the development key lies; brokers that share it accept each other's tokens. */
  readonly folder?: string
  readonly allowedOrigins?: readonly string[]
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export interface TestBroker {
  readonly port: number
  readonly mqttUrl: string
  readonly httpPort: number
  readonly wsUrl: string
  readonly log: Log
  readonly authority: Authority
  readonly broker: Broker
  readonly store: Store
  readonly http: Server
  readonly clock: Clock
  readonly folder: string
  readonly lines: Inbox<LogLine>
  /** What was refused, as `door code`. */
  readonly refusals: string[]
  readonly discarded: () => number
  token(name: string, options?: Omit<Partial<DevelopmentTokenRequest>, 'key' | 'name'>): Promise<string>
  /** A raw connection, nothing sent. */
  raw(): Promise<RawClient>
  /** A connected raw client of the user; rejects unless accepted. `grants`, `spaces` and `tap` go into its token. */
  client(name: string, options?: ClientOptions): Promise<RawClient>
  close(): Promise<void>
}

export interface ClientOptions extends ConnectOptions {
  readonly token?: Omit<Partial<DevelopmentTokenRequest>, 'key' | 'name'>
  /** Whether the CONNACK must say that the session is present. */
  readonly present?: boolean
}

/** A clock that stands still until it is moved. */
export class TestClock implements Clock {
  ms: number

  constructor(ms = Date.now()) {
    this.ms = ms
  }

  now(): number {
    return this.ms
  }
}

const opened = new Set<TestBroker>()

/** Closes everything that the test has opened. */
export async function closeAll(): Promise<void> {
  destroyRawClients()
  await Promise.all([...opened].map((broker) => broker.close()))
}

export async function testBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const { store = new MemoryStore(), openEnabled = false, anonymous = false, clock = systemClock, hints = noHints } = options
  const { allowedOrigins = [], folder = await tempFolder() } = options
  const limits: Limits = { ...defaultLimits, revocationPollMs: 50, ...options.limits }
  const lines = new Inbox<LogLine>()
  const refusals: string[] = []
  let discarded = 0
  const logger = loggerTo(lines)
  const telemetry: Telemetry = {
    ...noTelemetry,
    refused: (door, code) => void refusals.push(`${door} ${code}`),
    sessionDiscarded: () => void discarded++,
  }
  const log = await Log.open({ store, clock, limits, logger, telemetry, hints })
  const settings = { dataFolder: folder, issuers: [], audience: 'tidemark', mqttUrl: 'mqtt://localhost', httpUrl: 'http://localhost' }
  const authority = await Authority.open(
    { ...settings, anonymous, openEnabled },
    { documents: log.documents, clock, logger, limits, hints, telemetry },
  )
  const live = new Live({ clock, hints })
  const broker = await Broker.open({ log, authority, clock, limits, logger, telemetry, hints, live, openEnabled, allowedOrigins })
  const port = await broker.listenTcp({ host: '127.0.0.1', port: 0 })
  const http = createServer((_request, response) => response.writeHead(404).end())
  broker.takeUpgrades(http)
  const httpPort = await listen(http)
  const key = await loadDevelopmentKey(folder)
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    opened.delete(it)
    http.close()
    http.closeAllConnections()
    await within(broker.close(), 'the broker to close')
    live.close()
    await authority.close()
    await within(log.close(), 'the log to close')
  }
  const it: TestBroker = {
    port,
    httpPort,
    mqttUrl: `mqtt://127.0.0.1:${port}`,
    wsUrl: `ws://127.0.0.1:${httpPort}/mqtt`,
    log,
    authority,
    broker,
    store,
    http,
    clock,
    folder,
    lines,
    refusals,
    discarded: () => discarded,
    token: (name, request) => mintDevelopmentToken({ audience: 'tidemark', now: clock.now(), ...request, key, name }),
    raw: () => RawClient.open(port),
    async client(name, { token, present, ...connect } = {}) {
      const client = await RawClient.open(port)
      const connack = await client.connect({ clientId: name, password: await it.token(name, token), ...connect })
      if (connack.returnCode !== 0) throw new Error(`CONNECT of ${name} was refused: ${connack.returnCode}`)
      if (present !== undefined && connack.sessionPresent !== present) throw new Error(`session present is ${connack.sessionPresent}`)
      return client
    },
    close: () => (closing ??= close()),
  }
  opened.add(it)
  return it
}

/** Lets go of a broker whose store has crashed: its sockets end, nothing is waited for. */
export function abandon(broker: TestBroker): void {
  opened.delete(broker)
  destroyRawClients()
  void broker.broker.close()
  void broker.authority.close()
  void broker.log.close()
  broker.http.close()
  broker.http.closeAllConnections()
}

export function loggerTo(lines: Inbox<LogLine>): Logger {
  const at =
    (level: LogLine['level']) =>
    (fields: object, message: string): void =>
      lines.add({ level, message, fields: fields as Record<string, unknown> })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}
