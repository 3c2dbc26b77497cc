/** Kinds of use, in their busy hour. The figures are chosen, not measured: they are what is asked of the model. */
export interface Workload {
  readonly name: string
  readonly title: string
  /** Of all streams, those with somebody connected. The others are nothing but bytes in the store. */
  readonly liveShare: number
  /** A second, in a live stream. */
  readonly messagesPerSecond: number
  readonly payloadBytes: number
  /** Connections that write to a live stream, in turn. */
  readonly writers: number
  /** Connections that read it; the first of them are its writers. */
  readonly readers: number
  /** Connections for a live stream. */
  readonly connections: number
  /** Streams that one connection follows, this one included. */
  readonly follows: number
  /** Of the readers, those with a kept session (clean=0), whose place the server stores. */
  readonly keptShare: number
  /** Kept sessions for each stream, also of those who are away. */
  readonly keptSessions: number
  /** A connection is opened so often in an hour. */
  readonly connectsPerHour: number
  /** Clients that were connected within a day, for each stream: their tenures are remembered for so long. */
  readonly clientsPerDay: number
  /** Busiest hour to the average. */
  readonly peak: number
}

export const workloads: readonly Workload[] = [
  {
    name: 'sync',
    title: 'personal sync: a stream for each user, 2.5 devices, 40 writes a day, a tenth of the users online',
    liveShare: 0.1,
    messagesPerSecond: 0.0139,
    payloadBytes: 300,
    writers: 1.5,
    readers: 1.5,
    connections: 1.5,
    follows: 1,
    keptShare: 0.5,
    keptSessions: 1.25,
    connectsPerHour: 2,
    clientsPerDay: 1.5,
    peak: 3,
  },
  {
    name: 'boards',
    title: 'boards: a stream for each board, 4 people on a live one, each also on their own stream, a change every 5 s',
    liveShare: 0.02,
    messagesPerSecond: 0.2,
    payloadBytes: 200,
    writers: 4,
    readers: 4,
    connections: 4,
    follows: 2,
    keptShare: 0.2,
    keptSessions: 1,
    connectsPerHour: 1,
    clientsPerDay: 1,
    peak: 3,
  },
  {
    name: 'auctions',
    title: 'auctions: 1,000 watchers of a live one, 50 of them bid, 5 bids a second',
    liveShare: 0.001,
    messagesPerSecond: 5,
    payloadBytes: 120,
    writers: 50,
    readers: 1_000,
    connections: 1_000,
    follows: 1,
    keptShare: 0,
    keptSessions: 0,
    connectsPerHour: 4,
    clientsPerDay: 10,
    peak: 4,
  },
  {
    name: 'devices',
    title: 'devices: a stream for each, a value every 10 s, somebody looks at every twentieth',
    liveShare: 0.9,
    messagesPerSecond: 0.1,
    payloadBytes: 150,
    writers: 1,
    readers: 0.05,
    connections: 1.05,
    follows: 0.05,
    keptShare: 0,
    keptSessions: 0,
    connectsPerHour: 0.2,
    clientsPerDay: 1.05,
    peak: 1.2,
  },
]

export function workloadNamed(name: string): Workload {
  const found = workloads.find((workload) => workload.name === name)
  if (!found) throw new RangeError(`there is no workload ${name}`)
  return found
}
