/** What the clients of one process count together. */
export class Tally {
  /** Rates and latencies count while this is true; faults always. */
  counting = false
  sent = 0
  acked = 0
  delivered = 0
  /** Sequences passed over, sequences seen twice in a row, sequences below one seen before. */
  gaps = 0
  duplicates = 0
  reordered = 0
  /** Messages of somebody else on our topics. */
  foreign = 0
  /** PUBACKs for what is not under way. */
  strayAcks = 0
}
