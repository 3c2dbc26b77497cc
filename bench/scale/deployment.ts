/** What runs, and what of it is changed. */
export interface Deployment {
  readonly nodes: number
  /** Of the store, each with a primary; buckets are spread by stream, everything else is on the first. */
  readonly shards: number
  /** Of hints, each with a Redis of its own, by stream. */
  readonly channels: number
  /** Clients come to nodes of their stream's channel, and a node listens to that channel only. Today a load balancer sends them anywhere. */
  readonly routed: boolean
  /** How often a followed stream is looked at. */
  readonly pollMs: number
  /** One node sweeps for all; today each does. */
  readonly sweepsOnce: boolean
  /** Share of hints that do not come, for each node that should hear them. */
  readonly hintsLost: number
}

export const today: Omit<Deployment, 'nodes'> = { shards: 1, channels: 1, routed: false, pollMs: 2_000, sweepsOnce: false, hintsLost: 0 }

export interface Change {
  readonly name: string
  readonly title: string
  /** Whether this release can be run like that. */
  readonly built: boolean
  readonly deployment: Omit<Deployment, 'nodes'>
}

const shards = { ...today, shards: 8 }
const channels = { ...shards, channels: 8 }
const routed = { ...channels, routed: true }
const quiet = { ...shards, pollMs: 60_000, sweepsOnce: true }

/** Each adds to the one it is told after. */
export const changes: readonly Change[] = [
  { name: 'today', title: 'one primary, one channel', built: true, deployment: today },
  { name: 'shards', title: 'the store in 8 shards by stream', built: true, deployment: shards },
  { name: 'channels', title: 'and 8 channels of hints, each with its Redis; clients anywhere', built: false, deployment: channels },
  { name: 'routed', title: 'and clients on nodes of their stream’s channel', built: false, deployment: routed },
  {
    name: 'quiet',
    title: '8 shards, one channel; heads asked about every minute while hints come, and one node sweeps',
    built: false,
    deployment: quiet,
  },
  { name: 'all', title: 'all of it', built: false, deployment: { ...routed, pollMs: quiet.pollMs, sweepsOnce: true } },
]
