/** Every wait, queue and cache of the SDK, with what it protects from. All can be changed by `connect({ bounds })`. */
export const bounds = {
  /** Entries that wait for an app that does not take them; more are read again from the server later. */
  queuedEntriesMax: 1_000,
  /** Newest entries kept per followed stream, so that who is close behind needs no request. */
  recentEntriesMax: 512,
  /** Entries asked for at once. */
  pageEntries: 1_000,
  /** Requests for history under way at once, over all streams. */
  requestsInFlightMax: 4,
  /** A request of which nothing comes for so long. */
  requestTimeoutMs: 15_000,
  /** Opening a session. */
  openTimeoutMs: 15_000,
  /** getToken() and the exchange. */
  tokenTimeoutMs: 30_000,
  /** A put without an answer: the session is taken for dead. */
  putTimeoutMs: 20_000,
  /** The round trip that is tried after waking. */
  probeTimeoutMs: 5_000,
  /** The first pause before connecting again; it doubles, with jitter, up to the longest. */
  retryFirstMs: 250,
  retryLongestMs: 30_000,
  /** A session that ends sooner than this does not shorten the next pause: one that is cut again and again must not hurry. */
  steadyAfterMs: 5_000,
  /** Nothing heard of the server for so long: one round trip is tried. Above the 30 s at which quiet readers are told `at`. */
  quietMs: 45_000,
  /** On the second-best transport: how often the best one is tried beside it. */
  betterTransportMs: 180_000,
  /** The pause after a refused token: nothing gets better by hurry. */
  refusedRetryMs: 60_000,
  /** How long before a token's end a fresh one is fetched, at most; never more than half of its life. */
  renewAheadMs: 120_000,
  /** Another tab is asked for its connection: without an answer, or while it has none, this tab opens its own after that. */
  tabAnswerMs: 5_000,
  /** Tabs served by one; others have connections of their own. */
  tabsMax: 100,
  /** Puts of one stream under way at once. */
  putsInFlightMax: 64,
  /** AWS IoT Core: what came out of order waits so long for what is missing; then the history is asked. */
  disorderMs: 150,
  /** AWS IoT Core: a fresh subscription may begin late, so the history is asked once more after so long. */
  settleMs: 3_000,
  /** Levels and bytes of a topic with its stream: what is longer would end the connection. As the server has them. */
  streamTopicLevelsMax: 7,
  streamTopicBytesMax: 220,
  /** What waits in the outbox, in bytes of JSON, and as entries. */
  outboxBytesMax: 50 * 1024 * 1024,
  outboxEntriesMax: 100_000,
  /** What is settled goes from the device's store after that at the latest, so that many go at once. */
  settledKeptMs: 100,
  /** Opening what the device keeps; after that, what waits is kept in memory. */
  storageOpenTimeoutMs: 5_000,
  /** Refused publishes that the app has not dismissed; of more the oldest are dropped, with a warning. */
  refusalsMax: 1_000,
  /** Topics of one state map. */
  stateEntriesMax: 100_000,
} as const

export type Bounds = { readonly [name in keyof typeof bounds]: number }
