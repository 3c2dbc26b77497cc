/** What goes on all the time, whatever is published: connections, questions about heads, places of sessions, sweeps. As shares of a worker's time. */
import { defaultLimits } from '../../seams/limits.ts'
import { assumptions } from './assumptions.ts'
import type { Costs } from './costs.ts'
import type { Deployment } from './deployment.ts'
import type { Workload } from './workloads.ts'

const sweepSeconds = 3_600

export interface Background {
  readonly node: Readonly<Record<string, number>>
  /** The shard that also holds everything but buckets. */
  readonly primary: Readonly<Record<string, number>>
  readonly shard: Readonly<Record<string, number>>
  readonly connectionsPerNode: number
  readonly nodeBytes: number
  readonly followedPerNode: number
  /** How long a node needs to ask about every stream that it follows: so late is what no hint told of. */
  readonly pollRoundMs: number
}

export interface BackgroundOptions {
  readonly workload: Workload
  readonly deployment: Deployment
  readonly streams: number
  readonly costs: Costs
  readonly storeSpeed: number
}

export function backgroundOf({ workload, deployment, streams, costs, storeSpeed }: BackgroundOptions): Background {
  const { nodes, pollMs, sweepsOnce } = deployment
  const { storeReadMicros, storeWriteMicros, storeScanMicros, storeSeekMicros, storeFindMs, keepAliveSeconds } = assumptions
  const live = streams * workload.liveShare
  const connectionsPerNode = (live * workload.connections) / nodes
  const followedPerNode = followed(workload, deployment, live)
  // One alone asks too, as it cannot know that it is alone. One question follows the answer to the last.
  const { headsPerQuestionMax } = defaultLimits
  const questionMs = storeFindMs + (headsPerQuestionMax * (storeSeekMicros / storeSpeed + costs.headAskedMicros)) / 1_000
  const pollRoundMs = Math.max(pollMs, (followedPerNode / headsPerQuestionMax) * questionMs)
  const asked = followedPerNode / (pollRoundMs / 1_000)
  const connects = (connectionsPerNode * workload.connectsPerHour) / 3_600
  // A place is stored at most once in a flush, and only when it has moved.
  const kept = (live * workload.readers * workload.keptShare) / nodes
  const places = kept * Math.min(workload.messagesPerSecond, 1_000 / defaultLimits.cursorFlushMs)
  const records = streams * (workload.keptSessions + workload.clientsPerDay)
  const swept = records / sweepSeconds
  const sweepers = sweepsOnce ? 1 : nodes
  const seconds = (micros: number): number => micros / 1e6
  const ofStore = (micros: number): number => seconds(micros) / storeSpeed
  return {
    node: {
      idle: seconds(costs.idleNodeMicros),
      connections: seconds((connectionsPerNode / keepAliveSeconds) * costs.pingMicros + connects * costs.connectMicros),
      'heads asked about': seconds(asked * costs.headAskedMicros),
      // Two finds and a write.
      places: seconds(places * (costs.lookMicros + costs.commitMicros)),
      sweeps: seconds((swept * sweepers * costs.sweptMicros) / nodes),
    },
    primary: {
      idle: ofStore(nodes * (costs.idleNodeReads * storeReadMicros + nodes * storeScanMicros)),
      connections: ofStore(nodes * connects * (costs.connectReads * storeReadMicros + costs.connectWrites * storeWriteMicros)),
      // A question names keys of so many streams that every shard is asked about all of them.
      'heads asked about': ofStore(nodes * asked * storeSeekMicros),
      places: ofStore(nodes * places * (2 * storeReadMicros + storeWriteMicros)),
      sweeps: ofStore(swept * sweepers * storeScanMicros),
    },
    shard: { 'heads asked about': ofStore(nodes * asked * storeSeekMicros) },
    connectionsPerNode,
    nodeBytes: costs.nodeBytes + cacheBytes + connectionsPerNode * costs.connectionBytes,
    followedPerNode,
    pollRoundMs,
  }
}

const cacheBytes = defaultLimits.tailCacheBytesMax + defaultLimits.envelopeCacheBytesMax + defaultLimits.stateCacheBytesMax

/** Each stream once, however many of its readers are on the node. */
function followed({ readers, connections, follows }: Workload, { nodes, channels, routed }: Deployment, live: number): number {
  const homes = routed && follows <= 1 ? Math.max(1, nodes / channels) : nodes
  const ofOneNode = readers < 1 ? readers / homes : 1 - (1 - 1 / homes) ** readers
  const own = (connections * Math.max(0, follows - 1)) / nodes
  return live * ((ofOneNode * homes) / nodes + own)
}
