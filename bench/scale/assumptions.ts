/** What the model needs and nobody has measured here: chosen by hand, to be replaced by your own. */
export const assumptions = {
  /** Of the time of anything; above it waiting grows and a lost machine cannot be borne. */
  loadMax: 0.7,
  /** A document inserted or replaced on one primary, with its journal and its majority: 20,000 a second. No mongod could be measured. */
  storeWriteMicros: 50,
  /** A find by `_id` on one primary: 60,000 a second. */
  storeReadMicros: 1_000_000 / 60_000,
  /** A key of a find that names a thousand `_id`s, of which nearly none is there. */
  storeSeekMicros: 3,
  /** A document in a long scan by `_id`. */
  storeScanMicros: 1,
  /** From the insert to the majority's answer, beside the time in which it is worked off. */
  storeCommitMs: 4,
  storeFindMs: 0.8,
  /** From a node to Redis to a node. */
  hintMs: 0.3,
  nodeMemoryBytes: 8 * 2 ** 30,
  /** 10 Gbit/s. */
  redisNetworkBytesPerSecond: 1.25e9,
  keepAliveSeconds: 60,
  /** Of WiredTiger's index beside the key itself, and what its pages leave empty. */
  indexFactor: 1.4,
  /** Entries are kept so long. */
  keptDays: 30,
  /** Members of a replica set, and what one needs. */
  members: 3,
  memberCores: 8,
  nodeCores: 1.25,
  redisCores: 1,
} as const

/** Prices of nobody in particular, in dollars. */
export interface Prices {
  readonly coreHour: number
  readonly gigabyteMonth: number
  /** Out to clients. */
  readonly gigabyteTraffic: number
}

export const prices: Prices = { coreHour: 0.04, gigabyteMonth: 0.1, gigabyteTraffic: 0.05 }
