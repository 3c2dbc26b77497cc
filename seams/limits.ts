/**
 * Every bound of the server, with what it protects from [P-13.1]. Each may be raised by configuration; the
 * portable ones are what AWS IoT Core allows, so that what works here works there.
 */
export const defaultLimits = {
  /** Portable: levels of a stream topic; the doors' own level comes on top. */
  streamTopicLevelsMax: 7,
  /** Portable: bytes of a stream topic. */
  streamTopicBytesMax: 220,
  /** Portable: levels of a topic or filter on the wire. */
  topicLevelsMax: 8,
  /** Portable: bytes of a topic or filter on the wire. */
  topicBytesMax: 256,
  /** Portable: bytes of a PUBLISH packet and of an envelope; a peer cannot make us buffer more. */
  packetBytesMax: 128 * 1024,
  /** Portable: bytes of a plain payload, so that its envelope in base64 still fits a packet. */
  payloadBytesMax: 92 * 1024,
  /** Bytes of a CONNECT, SUBSCRIBE or UNSUBSCRIBE: an unauthenticated peer cannot make us buffer more. */
  controlPacketBytesMax: 16 * 1024,
  /** Bytes of a token: bounds the work of verifying garbage. */
  tokenBytesMax: 8 * 1024,
  /** Portable: filters in one SUBSCRIBE: bounds the work of one packet. */
  filtersPerSubscribeMax: 8,
  /** Portable: filters of one connection: bounds the matching per entry. */
  subscriptionsPerConnectionMax: 50,
  /** Portable: bytes of a client id. */
  clientIdBytesMax: 128,
  /** A socket without a CONNECT is closed: idle sockets cost memory. */
  connectTimeoutMs: 10_000,
  /** A verification that does not end closes the connection. */
  authTimeoutMs: 10_000,
  /** A SUBSCRIBE or UNSUBSCRIBE that does not end closes the connection. */
  holdTimeoutMs: 20_000,
  /** How long a closing socket may take to read what was written to it. */
  lingerMs: 2_000,
  /** Unfinished appends of one connection; above it the socket is not read. */
  appendsPerConnectionMax: 4_000,
  /** Bytes of unfinished appends of one connection; above it the socket is not read. */
  appendBytesPerConnectionMax: 4 * 1024 * 1024,
  /** Bytes of unfinished appends of the node; above it no socket is read. */
  appendBytesPerNodeMax: 128 * 1024 * 1024,
  /** Unsent bytes of one connection; above it neither delivery nor reading goes on for it. */
  unsentBytesMax: 256 * 1024,
  /** A peer that has not read what was written to it for so long is closed: it goes on from its place later. */
  unreadTimeoutMs: 600_000,
  /** QoS 1 deliveries without their PUBACK, per session. */
  inflightMax: 1_000,
  /** QoS 2 publishes without their PUBREL, per session. */
  qos2OpenMax: 1_000,
  /** Bytes and entries of one bucket: bounds one read, one insert, one copy. */
  bucketBytesMax: 1024 * 1024,
  bucketEntriesMax: 4_096,
  /** Streams whose buckets go into one commit: bounds a commit's time. */
  commitStreamsMax: 1_024,
  /** Bytes of buckets in one commit. */
  commitBytesMax: 16 * 1024 * 1024,
  /** Commits on their way at once, where the store is shared; each stream is in one of them at most. */
  commitsInFlightMax: 4,
  /** How long a commit may take before another one starts beside it, so that it holds up its own streams only. */
  commitOverlapMs: 20,
  /** How long a commit waits for publishers to answer the one before it: they share one sync. */
  commitPauseMs: 1,
  /** Bytes of the newest buckets kept in memory, for the whole node. */
  tailCacheBytesMax: 64 * 1024 * 1024,
  /** Bytes of envelopes kept beside the newest buckets, for the whole node. */
  envelopeCacheBytesMax: 32 * 1024 * 1024,
  /** Bytes of folded states kept in memory, for the whole node. */
  stateCacheBytesMax: 64 * 1024 * 1024,
  /** Streams without a follower kept in memory for their next append. */
  idleStreamsMax: 10_000,
  /** Bytes of one read from the store while catching up. */
  readBytesMax: 512 * 1024,
  /** Entries and bytes after which a state snapshot is written: bounds the work of the next fold. */
  snapshotEntriesMax: 65_536,
  snapshotBytesMax: 8 * 1024 * 1024,
  /** Bytes of one chunk of a snapshot. */
  snapshotChunkBytesMax: 1024 * 1024,
  /** Given entry ids remembered per stream: these ages, counts and bytes [P-9.5]. */
  idWindowMs: 7 * 24 * 3_600_000,
  idWindowEntries: 10_000,
  idWindowBytesMax: 1024 * 1024,
  /** How long an append may wait for a store that does not answer before it is refused. */
  appendTimeoutMs: 10_000,
  /** Where other nodes append too, followed streams are looked at this often, in case a hint was lost. */
  headPollMs: 2_000,
  /** Streams in one question about that; there is one question at a time, and a slow store is asked more seldom. */
  headsPerQuestionMax: 1_000,
  /** Streams that have moved meanwhile, read from the store at once. */
  headReadsMax: 64,
  /** A node says this often that it is alive, and looks whether its connections have successors elsewhere. */
  nodeBeatMs: 1_000,
  /** A node of which the others have heard nothing for so long is taken for dead. */
  nodeDeadMs: 10_000,
  /** Bytes of hints that Redis has not taken yet; above it they are dropped: a slow Redis takes no memory. */
  hintsBytesMax: 4 * 1024 * 1024,
  /** The way over Redis is tried this often; when nothing has come back for three times as long it counts as lost. */
  hintsCheckMs: 2_000,
  /** A node whose clock differs more than this from its store's refuses to append. */
  clockSkewMs: 5_000,
  /** Moved cursors are stored this often. */
  cursorFlushMs: 2_000,
  /** A reader at the head of a sync filter hears `at` this often. */
  atIntervalMs: 30_000,
  /** A session of which nobody was connected for this long is forgotten. */
  sessionExpiryMs: 30 * 24 * 3_600_000,
  /** Connections that one listener serves: the memory of the node. HTTP and WebSocket share one. */
  connectionsPerListenerMax: 50_000,
  /** Per user; 0 is off. */
  connectionsPerUserMax: 100,
  sessionsPerUserMax: 100,
  newStreamsPerUserPerHourMax: 10_000,
  /** Of one sender to one inbox, 0 is off: messages a second, and at once: nobody fills the inbox of another. */
  relayPerSecondMax: 10,
  relayBurstMax: 100,
  /** Warned this long before a token's end. */
  authWarningMs: 60_000,
  /** Revocations are read this often, at least twice in `revocationDelayMs`; a node that could not for `revocationBlindMs` stops delivering. */
  revocationPollMs: 1_000,
  revocationBlindMs: 5_000,
  /** History: entries of a page if the request does not say, and at most; bytes at most. */
  pageEntriesDefault: 100,
  pageEntriesMax: 1_000,
  pageBytesMax: 1024 * 1024,
  /** How long retention pauses between two sweeps over the streams; so long, and as long as a sweep takes, entries stay beyond it. */
  retentionSweepMs: 60_000,
  /** Streams that retention looks at in a second: a sweep leaves the disk to others. */
  retentionStreamsPerSecondMax: 500,
  /** Bytes that retention reads in a second, to find what is too old and to count what is there. */
  retentionReadBytesPerSecondMax: 16 * 1024 * 1024,
  /** Streams that retention finds too long before it looks at the places of all sessions, and trims them. */
  retentionTrimsMax: 1_000,
  /** Streams of which retention remembers how many bytes they hold; others are counted again in each sweep. */
  retentionSizesMax: 10_000,
  /** A stop that takes longer ends the process with an error. */
  stopTimeoutMs: 20_000,
}

export type Limits = typeof defaultLimits

// Bounds that no configuration moves.
/** An app or development token lives at most this long, unless configured: revocations must outlive every token they match. */
export const tokenAgeMaxMs = 24 * 3_600_000
/** A broker token lives at most this long [P-10.20]. */
export const tokenLifetimeMs = 3_600_000
/** How far an `iat` may lie ahead of our clock [P-10.5]. */
export const tokenAheadMs = 30_000
/** A key set is asked for again, because of an unknown kid or a failure, at most this often [P-10.7]. */
export const jwksRefetchMs = 30_000
/** Live connections on a revoked token are closed within this time [P-10.25]. */
export const revocationDelayMs = 2_000
/** A key set that was never had, or that is a file, is asked for at most this often. */
export const jwksRetryMs = 1_000
/** A key set older than this is asked for before it is used, so that a key its issuer withdrew does not stay for ever. */
export const jwksAgeMaxMs = 600_000
/** A key server that does not answer holds up no connection for longer. */
export const jwksTimeoutMs = 5_000
/** Bytes of a key set or key file: a key server cannot make us buffer more. */
export const jwksBytesMax = 256 * 1024
/** Signing keys are read again, because of an unknown kid or before signing, at most this often. */
export const keysRereadMs = 1_000
/** How long a public key outlives the last token signed with it: the reread of the slowest node, and its clock. */
export const keyGraceMs = 60_000
/** Signing keys in store: rotating faster than tokens end would grow the public key set. */
export const keysMax = 50
/** Revocations in force: bounds the memory of every node. */
export const revocationsMax = 100_000
/** Revocations per read from the store. */
export const revocationsPageMax = 1_000
/** All revocations are read at least this often, even when nothing says they changed. */
export const revocationsFullReadMs = 60_000
/** Nodes that serve one store, those remembered as dead among them. */
export const nodesMax = 1_000
/** How long a dead node is remembered, so that it finds itself fenced when it was only frozen; and tenures that have ended. */
export const nodeForgottenMs = 24 * 3_600_000
/** Redis is tried again after pauses that double from the one to the other, so that nodes do not come all at once. */
export const hintsRetryMsMin = 100
export const hintsRetryMsMax = 5_000
/** The longest delay that a timer can have. */
export const timerMsMax = 2 ** 31 - 1
