/** What one of anything costs, as measured here, and where the figure comes from. */

interface Cost {
  readonly value: number
  readonly unit: 'µs' | 'B' | '1/s' | 'each'
  readonly what: string
  /** A row of docs/BENCHMARKS.md, or the command that measured it. */
  readonly source: string
}

/**
 * On two cores with a load average of 11 to 30: the smallest figure of several runs, as what else ran only added to it. A
 * quiet machine may need half.
 */
const measured = '`npm run scale -- --measure`'

export const costs = {
  appendMicros: {
    value: 30.8,
    unit: 'µs',
    what: 'node: a PUBLISH from its socket to its PUBACK, one per packet, without its part of a commit',
    source: 'row `clients-1000`',
  },
  deliveryMicros: { value: 30.8, unit: 'µs', what: 'node: a delivery to one connection, and its PUBACK', source: 'row `clients-1000`' },
  nextDeliveryMicros: { value: 1.17, unit: 'µs', what: 'node: a further delivery in the same write', source: 'row `fan-out-5`' },
  commitMicros: { value: 350, unit: 'µs', what: 'node: a commit on MongoDB, whatever is in it', source: measured },
  documentMicros: { value: 27, unit: 'µs', what: 'node: a bucket in a commit', source: measured },
  lookMicros: { value: 685, unit: 'µs', what: 'node: a look at the head of a stream (two finds)', source: measured },
  headAskedMicros: { value: 3.2, unit: 'µs', what: 'node: a head in a question about a thousand', source: measured },
  readMicros: { value: 297, unit: 'µs', what: 'node: a read of a bucket', source: measured },
  sweptMicros: { value: 7.5, unit: 'µs', what: 'node: a record looked at in a sweep', source: measured },
  hintMessageSentMicros: { value: 29, unit: 'µs', what: 'node: a message of hints sent, and its own echo dropped', source: measured },
  hintHeadSentMicros: { value: 1.3, unit: 'µs', what: 'node: a head in it', source: measured },
  hintMessageHeardMicros: { value: 11, unit: 'µs', what: 'node: a message of hints heard', source: measured },
  hintHeadHeardMicros: { value: 1.07, unit: 'µs', what: 'node: a head in it that nobody there follows', source: measured },
  redisMessageMicros: { value: 3, unit: 'µs', what: 'Redis: a message taken', source: measured },
  redisListenerMicros: { value: 0.83, unit: 'µs', what: 'Redis: a message written to one listener', source: measured },
  redisHeadMicros: { value: 0.13, unit: 'µs', what: 'Redis: a head in it, for each listener', source: measured },
  hintMessageBytes: { value: 64, unit: 'B', what: 'a message of hints beside its heads', source: measured },
  hintHeadBytes: { value: 29, unit: 'B', what: 'a head in it', source: measured },
  connectMicros: { value: 7_200, unit: 'µs', what: 'node: a connection with its token and one SUBSCRIBE', source: measured },
  connectReads: { value: 8.7, unit: 'each', what: 'store: reads for a connection, from CONNECT to its end', source: measured },
  connectWrites: { value: 4, unit: 'each', what: 'store: writes for it', source: measured },
  pingMicros: { value: 22.5, unit: 'µs', what: 'node: a PINGREQ and its answer', source: measured },
  idleNodeMicros: { value: 18_000, unit: 'µs', what: 'node: a second in which nothing happens', source: measured },
  idleNodeReads: { value: 4.4, unit: '1/s', what: 'store: reads by a node where nothing happens', source: measured },
  connectionBytes: {
    value: 24.7 * 1024,
    unit: 'B',
    what: 'node: memory of an idle connection with one subscription',
    source: 'row `idle-10000`, before collecting',
  },
  nodeBytes: { value: 106 * 2 ** 20, unit: 'B', what: 'node: memory at rest', source: 'row `many-streams`, the empty store' },
  entryBytes: { value: 38, unit: 'B', what: 'store: an entry beside its payload (topic of 23 B)', source: measured },
  bucketBytes: { value: 161, unit: 'B', what: 'store: a bucket beside its entries', source: measured },
} as const satisfies Readonly<Record<string, Cost>>

export type CostName = keyof typeof costs
export type Costs = Readonly<Record<CostName, number>>

export const measuredCosts: Costs = Object.fromEntries(Object.entries(costs).map(([name, { value }]) => [name, value])) as Costs
