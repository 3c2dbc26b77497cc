/** What AWS IoT Core costs, from counted messages and prices: no figure of it was ever on a bill. */

export interface AwsPrices {
  /** Dollars for a million messages of up to 5 KB, taken in or delivered; a PUBACK of a client is one. */
  readonly messages: number
  /** For a million minutes of a connection. */
  readonly connectionMinutes: number
  /** For a million rules that are set off, and a million actions of theirs. */
  readonly rules: number
  readonly actions: number
  /** For a million requests of SQS. */
  readonly queueRequests: number
}

/** Where and when `awsPrices` held. */
export const awsPricesOf = 'us-east-1, 2023'

/**
 * Dollars, of US East (N. Virginia), the first tier of each, as AWS published them in 2023 (AWS IoT Core, the page about its pricing) and as they are
 * commonly known (SQS). Inputs, to be looked up before they are relied on.
 */
export const awsPrices: AwsPrices = { messages: 1, connectionMinutes: 0.08, rules: 0.15, actions: 0.15, queueRequests: 0.4 }

/** Messages of up to 5 KB, for each put. */
export interface CountedPut {
  /** Between AWS and clients: the put, its answer, envelopes, copies. */
  readonly clients: number
  /** What the bridge publishes: answer, envelope, copy. */
  readonly bridgeOut: number
  /** What is delivered to the bridge because it takes in over MQTT, its PUBACKs among it. */
  readonly bridgeIn: number
  /** Publishes on doors that are taken in, of clients and, as copies, of the bridge: with a queue each sets off a rule. */
  readonly onDoors: number
  /** Those of clients: each is put into the queue. */
  readonly taken: number
}

/** Messages that a device costs which follows one filter in which nothing happens. */
export interface CountedIdle {
  /** Of each `at`: what the bridge publishes, and what the device gets. */
  readonly perAt: number
  /** Of each connection: lifecycle events for the bridge, with its PUBACKs. */
  readonly perConnection: number
}

const queueBatch = 10
const minutesPerMonth = 730 * 60

export type Ingest = 'mqtt' | 'sqs'

/** Dollars for a million puts. */
export function costOfPuts(counted: CountedPut, ingest: Ingest, prices: AwsPrices = awsPrices): number {
  const { clients, bridgeOut, bridgeIn, onDoors, taken } = counted
  const carried = (clients + bridgeOut) * prices.messages
  if (ingest === 'mqtt') return carried + bridgeIn * prices.messages
  // Sent one by one by the rule, received and deleted ten at a time.
  const queue = taken * (1 + 2 / queueBatch) * prices.queueRequests
  return carried + onDoors * prices.rules + taken * prices.actions + queue
}

/** Dollars for a device that is connected for a month and follows one filter, without what it publishes and gets. */
export function costOfDevice(
  { perAt, perConnection }: CountedIdle,
  { atEveryMs, tokenMs }: { readonly atEveryMs: number; readonly tokenMs: number },
  prices: AwsPrices = awsPrices,
): number {
  const monthMs = minutesPerMonth * 60_000
  const messages = (monthMs / atEveryMs) * perAt + (monthMs / tokenMs) * perConnection
  return (messages * prices.messages + minutesPerMonth * prices.connectionMinutes) / 1e6
}
