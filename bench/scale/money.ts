/** What a million messages cost, from prices that are inputs and no facts. */
import { assumptions, prices as pricesAssumed, type Prices } from './assumptions.ts'
import type { Outcome } from './cluster.ts'
import { measuredCosts, type Costs } from './costs.ts'
import type { Deployment } from './deployment.ts'
import type { Workload } from './workloads.ts'

/** In dollars, for a million published messages. */
export interface Money {
  readonly nodes: number
  readonly redis: number
  readonly store: number
  /** Entries on all members for as long as they are kept. */
  readonly disk: number
  readonly traffic: number
  readonly total: number
}

const million = 1e6
const gigabyte = 1e9
const hoursPerMonth = 730
/** Of a PUBLISH beside its payload: topic, header, and that of TCP and IP. */
const packetBytes = 90

export interface Priced {
  readonly workload: Workload
  readonly deployment: Deployment
  readonly outcome: Outcome
  readonly costs?: Costs
  readonly prices?: Prices
}

/** At the rate of the outcome in the busy hour, and the average that belongs to it. */
export function moneyOf({ workload, deployment, outcome, costs = measuredCosts, prices = pricesAssumed }: Priced): Money {
  const { nodeCores, redisCores, members, memberCores, keptDays } = assumptions
  const millionsPerHour = (outcome.messagesPerSecond * 3_600) / workload.peak / million
  const ofCores = (cores: number): number => (cores * prices.coreHour) / millionsPerHour
  const nodes = ofCores(deployment.nodes * nodeCores)
  const redis = deployment.nodes === 1 ? 0 : ofCores(deployment.channels * redisCores)
  const store = ofCores(deployment.shards * members * memberCores)
  const bytes = bytesPerMessage(workload, outcome, costs)
  const disk = ((bytes * million * members) / gigabyte) * prices.gigabyteMonth * ((keptDays * 24) / hoursPerMonth)
  const out = (workload.readers * (workload.payloadBytes + packetBytes) * million) / gigabyte
  const traffic = out * prices.gigabyteTraffic
  return { nodes, redis, store, disk, traffic, total: nodes + redis + store + disk + traffic }
}

/** In one copy of the store, with the index of its bucket. */
export function bytesPerMessage({ payloadBytes }: Workload, { documents, published }: Outcome, costs: Costs = measuredCosts): number {
  return payloadBytes + costs.entryBytes + (costs.bucketBytes + indexBytesPerBucket) * (documents / published)
}

/** The key, and the hashed stream by which it is sharded. */
export const indexBytesPerBucket = (40 + 16) * assumptions.indexFactor
