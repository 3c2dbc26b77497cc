/** What all connections of a broker share. */
import type { Authority } from '../auth/index.ts'
import type { Deliveries } from '../delivery/deliveries.ts'
import type { Live } from '../delivery/live.ts'
import type { Turn } from '../delivery/turn.ts'
import type { Log } from '../log/log.ts'
import type { TopicRules } from '../protocol/topics.ts'
import type { Clock } from '../seams/clock.ts'
import type { Hints } from '../seams/hints.ts'
import type { Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import type { Telemetry } from '../seams/telemetry.ts'
import type { Engine } from './engine.ts'
import type { Ephemerals } from './ephemerals.ts'
import type { Link } from './link.ts'
import type { Nodes } from './nodes.ts'
import type { Sessions } from './sessions.ts'
import type { Wills } from './wills.ts'

export interface Hub {
  readonly log: Log
  readonly authority: Authority
  readonly clock: Clock
  readonly limits: Limits
  readonly logger: Logger
  readonly telemetry: Telemetry
  readonly hints: Hints
  readonly rules: TopicRules
  readonly engine: Engine
  readonly sessions: Sessions
  readonly wills: Wills
  /** Where other nodes may serve the same store. */
  readonly nodes: Nodes | undefined
  readonly live: Live
  readonly ephemerals: Ephemerals
  readonly turn: Turn
  readonly deliveries: Deliveries
  readonly links: Set<Link>
  /** Closed connections whose session is not saved yet. */
  readonly leaving: Set<Link>
  /** No new connections are served. */
  readonly stopping: boolean
}
