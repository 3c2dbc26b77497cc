/** One server: its parts, started one after the other, stopped in reverse. */
import type { Logger } from 'pino'
import { Authority, type AuthorityParts, type ClaimsToGrants } from '../auth/index.ts'
import { AwsBridge, Bridge, Metrics } from '../bridge/index.ts'
import { Broker } from '../broker/index.ts'
import { lowestPlaces } from '../broker/session-places.ts'
import { Live } from '../delivery/live.ts'
import type { RedisHints } from '../hints/redis.ts'
import { Log } from '../log/log.ts'
import { isMember } from '../log/members.ts'
import type { MayDeliver } from '../log/relay.ts'
import { Retention } from '../log/retention.ts'
import type { Store } from '../log/stores/store.ts'
import { systemClock, type Clock } from '../seams/clock.ts'
import { noHints, type Hints } from '../seams/hints.ts'
import { awsStreamTopicLevelsMax } from '../seams/limits.ts'
import { addressesOf, type Addresses, type Ports } from './addresses.ts'
import { authConfigOf, configFrom, type Config, type Settings } from './config.ts'
import { consoleOf } from './console.ts'
import { makeDataFolder } from './data-folder.ts'
import { createLogger } from './logger.ts'
import { listening, reservePort, type ReservedPort } from './ports.ts'
import { readinessOf } from './readiness.ts'
import { runSteps, stopSteps, type Step } from './steps.ts'
import { openHints, sayHowNodesMeet } from './hints.ts'
import { openStore } from './store.ts'
import { packageVersion } from './version.ts'

/** What a program may replace. */
export interface ServerOverrides {
  readonly store?: Store
  readonly clock?: Clock
  readonly logger?: Logger
  readonly hints?: Hints
  /** From the claims of an app token to grants; pure. */
  readonly claimsToGrants?: ClaimsToGrants
  /** Whether a user may send messages to another; default everybody to everybody [P-15.6]. */
  readonly mayDeliver?: MayDeliver
  /** Of this server in AWS, with `awsIot`; default what the AWS SDK finds. */
  readonly awsCredentials?: AuthorityParts['awsCredentials']
}

export interface RunningServer {
  readonly addresses: Addresses
  readonly config: Config
  readonly developmentMode: boolean
  /** The console; in development mode with the secret of this start, behind which whoever opens it is signed in. */
  readonly consoleUrl: string
  readonly log: Log
  readonly authority: Authority
  readonly broker: Broker
  readonly bridge: Bridge
  /**
   * Finishes and acknowledges what is under way, closes the clients, lets go of the store [P-8.15]. Each part gets
   * `stopTimeoutMs`; rejects with the first failure after all parts were stopped. Further calls get the same promise.
   */
  stop(): Promise<void>
}

/** Starts a server. Rejects with a SyncError of one sentence, with everything stopped that had been started. */
export async function startServer(given: Settings = {}, overrides: ServerOverrides = {}): Promise<RunningServer> {
  const config = forEngine(configFrom(given))
  const { clock = systemClock, logger = createLogger('silent') } = overrides
  const parts = { config, overrides, clock, logger, stopping: false, reserved: [] } as unknown as Parts
  const started = await runSteps(steps, parts)
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => {
    parts.stopping = true
    return (stopped ??= stopSteps(started, parts, { timeoutMs: config.limits.stopTimeoutMs, logger }))
  }
  const { log, authority, broker, bridge, ports } = parts
  const addresses = addressesOf(config, ports)
  const { consoleSecret, developmentMode } = authority
  // What stands behind # is sent to nobody.
  const consoleUrl = consoleSecret === undefined ? `${addresses.publicHttpUrl}/` : `${addresses.httpUrl}/#dev=${consoleSecret}`
  return { addresses, config, developmentMode, consoleUrl, log, authority, broker, bridge, stop }
}

/** What AWS carries has fewer levels, on every door of the server. */
function forEngine(config: Config): Config {
  if (config.engine !== 'aws-iot') return config
  const streamTopicLevelsMax = Math.min(config.limits.streamTopicLevelsMax, awsStreamTopicLevelsMax)
  return { ...config, limits: { ...config.limits, streamTopicLevelsMax } }
}

/** Filled by the steps, each of which uses only what those before it have filled. */
interface Parts {
  readonly config: Config
  readonly overrides: ServerOverrides
  readonly clock: Clock
  readonly logger: Logger
  hints: Hints
  redisHints: RedisHints | undefined
  stopping: boolean
  reserved: ReservedPort[]
  ports: Ports
  metrics: Metrics
  store: Store
  log: Log
  live: Live
  authority: Authority
  bridge: Bridge
  broker: Broker
  awsBridge: AwsBridge | undefined
  retention: Retention
}

const steps: readonly Step<Parts>[] = [
  {
    name: 'data folder',
    start: ({ config }) => makeDataFolder(config),
  },
  {
    name: 'ports',
    // The addresses are told in tokens, so that they must be known before anything listens.
    async start(parts) {
      const { host, engine, mqttPort, httpPort, mqttsPort, certFile } = parts.config
      const known = async (port: number): Promise<number> => {
        if (port !== 0) return port
        const reserved = await reservePort(host)
        parts.reserved.push(reserved)
        return reserved.port
      }
      parts.ports = {
        mqtt: engine === 'aws-iot' ? undefined : await known(mqttPort),
        http: await known(httpPort),
        mqtts: certFile === undefined ? undefined : await known(mqttsPort),
      }
    },
    stop: async ({ reserved }) => void (await Promise.all(reserved.map((port) => port.release()))),
  },
  {
    name: 'metrics',
    start(parts) {
      parts.metrics = new Metrics(() => gaugesOf(parts))
    },
  },
  {
    name: 'hints',
    async start(parts) {
      parts.redisHints = parts.overrides.hints ? undefined : await openHints(parts)
      parts.hints = parts.overrides.hints ?? parts.redisHints ?? noHints
    },
    stop: async ({ redisHints }) => await redisHints?.close(),
  },
  {
    name: 'log',
    async start(parts) {
      const { config, overrides, clock, logger, hints, metrics } = parts
      const store = (parts.store = overrides.store ?? openStore(config, logger))
      const { mayDeliver } = overrides
      parts.log = await Log.open({ store, clock, limits: config.limits, logger, telemetry: metrics, hints, mayDeliver })
      parts.redisHints?.start(parts.log.epoch)
      sayHowNodesMeet(parts)
    },
    stop: ({ log }) => log.close(),
  },
  {
    name: 'live messages',
    start(parts) {
      parts.live = new Live(parts)
    },
    stop: async ({ live }) => live.close(),
  },
  {
    name: 'authority',
    async start(parts) {
      const { config, overrides, clock, logger, hints, metrics, log, ports } = parts
      const { publicMqttUrl, publicHttpUrl } = addressesOf(config, ports)
      const { claimsToGrants, awsCredentials } = overrides
      if (config.awsIot && config.engine !== 'aws-iot')
        logger.warn(
          {},
          'awsIot: clients are admitted to AWS IoT Core, but without the engine aws-iot nothing carries messages between it and the log',
        )
      const auth = {
        ...authConfigOf(config, { mqttUrl: publicMqttUrl, httpUrl: publicHttpUrl }),
        ...(claimsToGrants ? { claimsToGrants } : {}),
      }
      parts.authority = await Authority.open(auth, {
        documents: log.documents,
        clock,
        logger,
        limits: config.limits,
        hints,
        telemetry: metrics,
        isMember: (space, member) => isMember(log, space, member),
        ...(awsCredentials ? { awsCredentials } : {}),
      })
    },
    stop: ({ authority }) => authority.close(),
  },
  {
    name: 'bridge',
    async start(parts) {
      const { config, clock, logger, metrics, log, live, authority } = parts
      parts.bridge = await Bridge.open({
        log,
        live,
        authority,
        clock,
        limits: config.limits,
        logger,
        metrics,
        corsOrigins: config.corsOrigins,
        ...(config.allowedHosts.length > 0 ? { allowedHosts: config.allowedHosts } : {}),
        openEnabled: config.open,
        readiness: () => readinessOf(parts),
        version: packageVersion(),
        // The broker is there before anybody can ask.
        sessions: (uid, page) => parts.broker.sessionsOf(uid, page),
        console: consoleOf(logger),
      })
    },
    stop: ({ bridge }) => bridge.close(),
  },
  {
    // Stopped before the bridge: its WebSocket clients hold connections of the bridge's server.
    name: 'broker',
    async start(parts) {
      const { config, clock, logger, hints, metrics, log, live, authority, bridge } = parts
      parts.broker = await Broker.open({
        log,
        authority,
        clock,
        limits: config.limits,
        logger,
        telemetry: metrics,
        hints,
        live,
        openEnabled: config.open,
        allowedOrigins: config.corsOrigins,
      })
      if (config.engine !== 'aws-iot') parts.broker.takeUpgrades(bridge.server)
    },
    stop: ({ broker }) => broker.close(),
  },
  {
    name: 'listeners',
    async start(parts) {
      const { config, broker, bridge, ports, reserved } = parts
      const { host, certFile, keyFile } = config
      await Promise.all(reserved.map((port) => port.release()))
      if (ports.mqtt !== undefined) await listening('mqttPort', host, ports.mqtt, (at) => broker.listenTcp(at))
      if (ports.mqtts !== undefined && certFile !== undefined && keyFile !== undefined) {
        await listening('mqttsPort', host, ports.mqtts, (at) => broker.listenTls({ ...at, certFile, keyFile }))
      }
      await listening('httpPort', host, ports.http, (at) => bridge.listen(at))
    },
  },
  {
    name: 'bridge to AWS IoT Core',
    async start(parts) {
      const { config, overrides, clock, logger, metrics: telemetry, log, authority } = parts
      const { engine, awsIot, limits } = config
      if (engine !== 'aws-iot' || !awsIot) return
      const credentials = overrides.awsCredentials
      parts.awsBridge = await AwsBridge.open({ config: awsIot, log, authority, clock, limits, logger, telemetry, credentials })
    },
    stop: async ({ awsBridge }) => await awsBridge?.close(),
  },
  {
    name: 'retention',
    start(parts) {
      const { config, store, log, clock, logger, metrics } = parts
      const { limits, retention, retentionWaits } = config
      const places = async (streams: ReadonlySet<string>): Promise<ReadonlyMap<string, number>> =>
        retentionWaits ? await lowestPlaces(log.documents, streams, clock.now() - limits.sessionExpiryMs) : new Map()
      parts.retention = new Retention({ store, log, policies: retention, clock, limits, logger, telemetry: metrics, places })
      parts.retention.start()
    },
    stop: ({ retention }) => retention.close(),
  },
]

/** Asked for while parts are still missing, too: a scrape may come as soon as HTTP listens. */
function gaugesOf({ log, broker, bridge, awsBridge, redisHints }: Partial<Parts>): Record<string, number> {
  const memory = log?.inMemory
  const ofLog = memory && {
    streamsInMemory: memory.streams,
    tailCacheBytes: memory.tailBytes,
    stateCacheBytes: memory.stateBytes,
    backlogBytes: memory.pendingBytes,
  }
  return {
    ...broker?.stats(),
    ...ofLog,
    ...bridge?.stats(),
    ...awsBridge?.stats(),
    ...(redisHints && { hintsConnected: Number(redisHints.connected) }),
  }
}
