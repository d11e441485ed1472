/**
 * How long replication waits and how often it looks, in one place. docs/upgrade.md names those that an operator can notice.
 */

// A connection

/** A server that has not been reached by then is out of reach; an operator is to know within half a minute. */
export const connectTimeoutMillis = 20_000
/**
 * A connection that is idle before it streams runs a statement at least every two seconds: once this time has passed without
 * one, the next follows at once. Peers judge by it whether a holder of the lock is alive (`lock/LockVerdict.ts`): changing it
 * concerns versions that run side by side during a deploy.
 */
export const heartbeatMillis = 1_500
/**
 * While a snapshot that it exports waits to be taken up a connection runs nothing, for so long at most: much less than what makes
 * peers take it for dead.
 */
export const snapshotMillis = 20_000
/** A statement that runs when a sign of life is due is one; the connection is looked at again after so long. */
export const othersTurnMillis = 100
/** How long a silent server is given to hang up, and how often it is seen whether it is silent. */
export const closeGraceMillis = 250
export const closeWindowMillis = 5

// After a failure: at once, because the commonest is one backend that was ended on a healthy server; then ever later

export const firstDelayMillis = 50
/** Doubled with each failure after that. */
export const secondDelayMillis = 1_000
export const longestDelayMillis = 10_000
/**
 * A stream that ran for less than this has not succeeded: START_REPLICATION is accepted, for example, before a missing
 * publication is noticed, and must not be tried in a tight loop.
 */
export const provenStreamMillis = 5_000

// The slot

/** How long a slot that is in use is waited for, and how often it is looked at. */
export const busySlotMillis = 5_000
export const busyPollMillis = 2
/** How often it is said that the creation of a slot waits for open transactions, and helped where that is possible. */
export const slotTickMillis = 10_000
/** Bound on that help. */
export const slotHelpMillis = 5_000
/** How often a slot that is still in use is tried to be dropped, and how many times. */
export const dropRetryMillis = 100
export const dropRetries = 50

// The stream

/** Status updates go out at least this often; `wal_sender_timeout` may ask for more. */
export const longestStatusMillis = 10_000
export const shortestStatusMillis = 100
/** News about durability goes out at most this often; a commit is acknowledged this late at most. */
export const statusGapMillis = 3
/** Bound on one look at our walsender through another connection. */
export const lookTimeoutMillis = 5_000
/** A burst of small pieces is read in large ones, this far apart; see `StreamPump`. */
export const burstMillis = 1
/** Changes that cost much: after so long everything else gets its turn. */
export const turnMillis = 10
