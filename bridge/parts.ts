/** What the bridge is made of, and what its routes share. */
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { Logger } from 'pino'
import type { Authority } from '../auth/index.ts'
import type { Live } from '../delivery/live.ts'
import type { Log } from '../log/log.ts'
import type { TopicRules } from '../protocol/topics.ts'
import type { Clock } from '../seams/clock.ts'
import type { Limits } from '../seams/limits.ts'
import type { EventStreams } from './event-streams.ts'
import type { Metrics } from './metrics.ts'

/** What the bridge asks of identity. */
export type BridgeAuthority = Pick<
  Authority,
  'authenticate' | 'exchange' | 'revoke' | 'isRevoked' | 'onChange' | 'blind' | 'developmentMode' | 'jwks' | 'mintForConsole'
>

export interface BridgeParts {
  readonly log: Log
  readonly live: Live
  readonly authority: BridgeAuthority
  readonly clock: Clock
  readonly limits: Limits
  readonly logger: Logger
  readonly metrics: Metrics
  /** Origins of web pages that may read answers, exactly as browsers send them: `https://app.example.com`. */
  readonly corsOrigins: readonly string[]
  /** Whether the stream `open/-` exists [P-1.24]. */
  readonly openEnabled: boolean
  /** What must be so for this server to append. The name of a check that fails may be the code to answer [P-11.9]. */
  readonly readiness: () => readonly ReadinessCheck[]
  readonly version: string
  /** The MQTT sessions of a user, by client id. */
  readonly sessions: (uid: string, page: SessionsQuery) => Promise<SessionsPage>
  /** The files of the console page; undefined where there is none. */
  readonly console: () => Promise<ConsoleFiles | undefined>
  /**
   * With an issuer: the host names (without port) that requests may name; default any. In development mode
   * they are always `localhost`, `127.0.0.1` and `[::1]` [P-10.27].
   */
  readonly allowedHosts?: readonly string[]
}

export interface SessionsQuery {
  /** Only those whose client id comes after it; empty for all. */
  readonly after: string
  readonly limit: number
}

export interface SessionsPage {
  /** By rising client id. */
  readonly sessions: readonly HeldSession[]
  /** The page is complete up to this client id; undefined: there are no more. */
  readonly next: string | undefined
}

export interface HeldSession {
  /** Encoded. */
  readonly client: string
  /** It outlives its connection: clean=0. */
  readonly kept: boolean
  readonly connected: boolean
  /** When it was last known to be connected, ms. */
  readonly seenMs: number
  /** Up to where it has got each stream that it follows; undefined where only another node knows. */
  readonly places: ReadonlyMap<string, number> | undefined
}

/** By name, `index.html` among them. */
export type ConsoleFiles = ReadonlyMap<string, Uint8Array>

export interface ReadinessCheck {
  readonly name: string
  readonly ready: boolean
  /** Something is missing without which the server can append all the same. */
  readonly degraded?: boolean
  /** A sentence for the operator. */
  readonly detail: string
}

/** The parts, and what follows from them. */
export interface RouteParts extends BridgeParts {
  readonly rules: TopicRules
  /** Becomes true when the bridge begins to close. */
  readonly life: { stopping: boolean }
  readonly events: EventStreams
}

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>
