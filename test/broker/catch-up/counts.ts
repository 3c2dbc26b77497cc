/** What all runs together have examined, so that a test that looks at nothing is noticed. */
export const counts = {
  runs: 0,
  shared: 0,
  entries: 0,
  envelopes: 0,
  deliveries: 0,
  retained: 0,
  dups: 0,
  caughtUp: 0,
  resets: { ahead: 0, epoch: 0, trimmed: 0 },
  snapshots: 0,
  snapshotEntries: 0,
  reconnects: 0,
  discarded: 0,
  closed: 0,
  collisions: 0,
  unknown: 0,
  trims: 0,
  restarts: 0,
  crashes: 0,
  held: 0,
}

/** At least so much of each in a run, on average: far below what is usual. */
export const least = {
  entries: 10,
  envelopes: 5,
  deliveries: 5,
  retained: 0.25,
  dups: 0.03,
  caughtUp: 2.5,
  snapshots: 0.04,
  snapshotEntries: 0.01,
  reconnects: 0.4,
  discarded: 0.01,
  collisions: 0.1,
  unknown: 0.2,
  trims: 0.25,
  restarts: 0.1,
  crashes: 0.1,
  held: 0.5,
} as const
export const leastResets = 0.03
