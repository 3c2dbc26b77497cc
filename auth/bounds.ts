/** Bounds of this folder that stand in no configuration, each with what it protects from. */

/** An app or development token lives at most this long, unless configured: revocations must outlive every token they match. */
export const tokenAgeMaxMs = 24 * 3_600_000
/** A broker token lives at most this long [P-10.20]. */
export const tokenLifetimeMs = 3_600_000
/** How far an `iat` may lie ahead of our clock [P-10.5]. */
export const tokenAheadMs = 30_000
/** A key set is asked for again, because of an unknown kid or a failure, at most this often [P-10.7]. */
export const jwksRefetchMs = 30_000
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
/** The longest delay that a timer can have. */
export const timerMsMax = 2 ** 31 - 1
