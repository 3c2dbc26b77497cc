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
  /** Bytes of one WebSocket message, which is read whole before its packets are; pages send what one turn has made as one. */
  webSocketMessageBytesMax: 4 * 1024 * 1024,
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
  /** How long an append may wait for a store, or for a deployment's `mayDeliver`, that does not answer before it is refused. */
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
  /** An event stream that has nothing to say says so this often: what stands between would take it for dead. */
  eventsKeepAliveMs: 15_000,
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
  /** Bytes of one sender's messages in one inbox, 0 is off; what retention trims makes room: the same, over time. */
  relayBytesMax: 64 * 1024 * 1024,
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
/** What the SDK gathers into one WebSocket message: a server takes that whatever is configured. */
export const webSocketGatheredBytesMax = 64 * 1024
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
/** Documents in one answer of a store: reading through many takes little memory. */
export const documentsPageMax = 1_000
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
/** Pairs of sender and inbox whose rates are counted: bounds the memory of a node. */
export const relayPairsMax = 100_000
/** Senders whose bytes in one inbox are counted, those that sent last: bounds the state of an inbox. */
export const relaySendersMax = 10_000
/** Users whose new streams are counted: the same. */
export const quotaUsersMax = 100_000
/** Topics that a publisher, and a cursor, looks up once and then remembers: the memory of one connection. */
export const routesRememberedMax = 256
export const topicsRememberedMax = 1_000
/** Readers by page who can go on in the middle of a bucket without reading it again; each keeps one. */
export const unfinishedBucketsMax = 16
/** What a turn has to say up to this size is copied into one write; larger pieces are handed on as they are. */
export const outputJoinBytesMax = 65_536
/** Waits, keep-alives and expiries of connections and event streams are looked at this often: each may be so much late. */
export const connectionsTickMs = 500
/** Sessions that one answer of HTTP lists: bounds its work. */
export const sessionsListedMax = 100
/** Sessions that have expired are removed this often. */
export const sessionsSweepMs = 3_600_000
/** Names of streams that retention reads at once, and how long it pauses at least when it has done enough. */
export const retentionPageMax = 100
export const retentionPaceMs = 100
/** Whether a commit is overdue is looked at this often. */
export const stalledLookMs = 1_000
/** The longest pause after a collision with another node: nobody waits longer than others need. */
export const collisionPauseMsMax = 64
/**
 * A store that does not say what became of a commit is asked again after pauses that double from `min` to `max`; who waits for
 * the answer is refused when they are longer than `patience`.
 */
export const unknownPauseMs = { min: 10, patience: 100, max: 1_000 } as const
/** A store that had to be closed is opened again after pauses that double from the one to the other. */
export const reopenPauseMsMin = 50
export const reopenPauseMsMax = 2_000
/** MongoDB: connections of a node, unless its URL says otherwise: a slow database does not get ever more at once. */
export const mongoConnectionsMax = 16
/** MongoDB: finding a primary takes no longer, unless its URL says otherwise. */
export const mongoConnectMsMax = 5_000
/** MongoDB: the database gives up waiting for a majority before the driver gives up waiting for the database. */
export const mongoMajorityMsMax = 10_000
/** MongoDB: what takes longer than this has an unknown outcome. */
export const mongoOperationMsMax = 20_000
/** MongoDB: a change that others come in the way of is tried so often, with pauses of at most so long; about ten seconds. */
export const mongoTriesMax = 50
export const mongoTryPauseMsMax = 500
/** MongoDB: whether it can be written to is looked at this often while it can, and while it cannot. */
export const mongoWatchMs = 5_000
export const mongoRetryMs = 500
/** MongoDB: after failing for so long all connections are made anew. */
export const mongoReconnectMs = 20_000
/** MongoDB: streams whose ends are remembered; of others they are read before the next commit. */
export const mongoEndsMax = 100_000
/** MongoDB: a node that writes looks this often whether others wait for its streams. */
export const mongoQueueLookMs = 50
/** MongoDB: who is first in a queue for so long without writing is passed by. */
export const mongoTurnMsMax = 1_000
/** MongoDB: who waits for streams, as many as are read at once. */
export const mongoTicketsMax = 1_000
/** MongoDB: how long trimmed buckets stay for nodes that are still reading them or writing beside them. */
export const mongoTrimGraceMs = 600_000
/** MongoDB: what was trimmed long enough ago is deleted this often. */
export const mongoSweepMs = 60_000
/** AWS IoT Core: a topic has 8 levels, of which the root and a door take two: so many are left for a stream topic. */
export const awsStreamTopicLevelsMax = 6
/** AWS: characters of one policy, white space not counted, and documents that a custom authorizer may answer with. */
export const awsPolicyCharsMax = 2_048
export const awsPolicyDocumentsMax = 10
/** AWS: characters of the name of an assumed role's session. */
export const awsSessionNameCharsMax = 64
/** AWS: the shortest life of assumed credentials, which is ours: they only open connections, and each is for one. */
export const awsSessionMs = 900_000
/** STS is asked so often in all before a client is told to come again; the SDK pauses in between, at random and ever longer. */
export const stsAttemptsMax = 4
/** An STS that does not answer holds up no exchange for longer, each time it is asked. */
export const stsConnectMsMax = 2_000
export const stsTimeoutMs = 5_000
/** AWS refuses what was signed by a clock that is off by more. */
export const awsClockSkewMs = 300_000
/** A custom authorizer's connections last at least and at most so long; it is asked again after the same bounds. */
export const awsConnectionSecondsMin = 300
export const awsConnectionSecondsMax = 86_400
/** AWS IoT Core: bytes of a message, levels and bytes of its topic. */
export const awsMessageBytesMax = 128 * 1024
export const awsTopicLevelsMax = 8
export const awsTopicBytesMax = 256
/** AWS ends a signed connection after 24 h: ours are changed before, at a moment between the half and all of this. */
export const awsConnectionMs = 20 * 3_600_000
/** A connection to AWS that does not come, or does not end, is given up. */
export const awsConnectMsMax = 15_000
export const awsLeaveMsMax = 2_000
/** A stop waits so long for what a connection to AWS has under way: a PUBACK, or an append. What is left comes again, or is read over HTTP. */
export const awsFinishMsMax = 4_000
/** AWS is tried again after pauses that double from the one to the other, at random between the half and all of each. */
export const awsRetryMsMin = 250
export const awsRetryMsMax = 30_000
/** Publishes a second of one connection: AWS discards what is beyond 100, what it sends us included. */
export const awsPublishesPerSecondMax = 80
/** Publishes of one connection without their PUBACK; AWS takes 100. */
export const awsInFlightMax = 50
/** Where the oldest of them waits longer than this, AWS has discarded it: the connection is given up for another, which sends it again. */
export const awsAckMsMax = 20_000
/** Bytes that wait to be sent to AWS: above it envelopes are dropped, and their readers told where the stream stands. */
export const awsOutgoingBytesMax = 16 * 1024 * 1024
/** Streams whose readers are still to be told that; of more they find out by themselves. */
export const awsOwedMax = 10_000
/** Tokens in puts that were verified and may come again: the memory of a node. */
export const awsPrincipalsMax = 10_000
/** Clients whose sync filters are remembered; of others the readers look by themselves. */
export const awsReadersMax = 100_000
/** Readers are looked through this often: an `at` may be so much late. */
export const awsAtTickMs = 1_000
/** A message from AWS over which we fail so often is given up: it is not the store's fault. */
export const awsInternalTriesMax = 5
/** SQS: messages that one request brings, all of which are in hand at once; more requests are `ingestConnections`. */
export const awsQueueMessagesMax = 10
/** SQS: a request waits so long for a message, the longest that there is; without an answer for longer it is given up. */
export const awsQueueWaitSeconds = 20
export const awsQueueTimeoutMs = 25_000
/** SQS: a message in hand is shown to nobody else for so long, which is extended this often while it is not in the log. */
export const awsQueueHoldSeconds = 60
export const awsQueueExtendMs = 20_000
/** SQS is asked so often in all before a request has failed. */
export const awsQueueAttemptsMax = 3
/** Characters of the reason that goes with a dead letter. */
export const awsReasonCharsMax = 300
/** AWS: clients whose tokens are remembered, so that their connections can be closed; of more, those met longest ago are forgotten. */
export const awsClientsMax = 100_000
/** AWS: connections that wait to be closed; what is beyond ends with its token. */
export const awsClosingsMax = 10_000
/** AWS: connections that are closed in a second, and how often each is tried. */
export const awsClosingsPerSecondMax = 10
export const awsClosingTriesMax = 5
/** AWS: a request to close a connection that has no answer for so long has failed. */
export const awsClosingTimeoutMs = 5_000
/** AWS: whose user was withdrawn keeps the connection for so long, to hear of it. */
export const awsWithdrawnMs = 1_000
