/** What nodes that serve one store need of each other; where a store serves one process there is none of it. */
import type { Clock } from '../seams/clock.ts'
import type { Documents } from '../seams/documents.ts'
import type { Hints } from '../seams/hints.ts'
import type { Limits } from '../seams/limits.ts'
import type { Logger } from '../seams/logger.ts'
import { Nodes } from './nodes.ts'
import { Tenures } from './tenures.ts'

export interface Cluster {
  readonly nodes: Nodes
  readonly tenures: Tenures
}

export interface ClusterParts {
  readonly documents: Documents
  readonly hints: Hints
  readonly limits: Limits
  readonly clock: Clock
  readonly logger: Logger
  /** Whether a connection here holds the session. */
  readonly holds: (session: string) => boolean
  /** Closes the connection that holds the session here, if its tenure is not newer; false where one is just being opened. */
  readonly evict: (session: string, upTo: number) => boolean
  /** Closes all connections. */
  readonly evictAll: () => void
  /** Publishes the wills of a dead node; rejects if any is still due. */
  readonly publishWills: (dead: string) => Promise<void>
}

export function clusterOf(parts: ClusterParts): Cluster {
  const { documents, hints, limits, clock, logger, holds, evict, evictAll, publishWills } = parts
  const nodes: Nodes = new Nodes({
    documents,
    limits,
    clock,
    logger,
    inherit: async (dead) => {
      await publishWills(dead)
      await tenures.endOf(dead, clock.now())
    },
    fenced: evictAll,
    beaten: () => tenures.makeWay(),
  })
  const tenures = new Tenures({ documents, hints, node: () => nodes.name, nodes: () => nodes.others(), holds, evict })
  return { nodes, tenures }
}
