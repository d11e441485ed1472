/**
 * How long the registry waits and how often it looks, in one place. docs/upgrade.md names those that an operator can notice;
 * limits that a variable sets are in `config/Limits.ts`.
 */

// Shapes

/** How long a request waits for a shape that another instance is making. */
export const readableMillis = 45_000
/** How long a request waits for storage to say what is new: then it is answered with what is known. */
export const settleMillis = 2000
/** How often it is seen whether there are too many shapes. */
export const evictionMillis = 1000
/** A shape that was made this recently is not evicted: somebody is just about to read it. */
export const evictionGraceMillis = 10_000

/** How often it is seen whether there are shapes that nobody has read for too long, and how many are looked at before other work. */
export const unreadLookMillis = 60_000
export const unreadSliceShapes = 1000

/** How often it is seen how much storage takes, where there is a limit: at least, and so many times what a look takes. */
export const quotaMillis = 1000
export const quotaAgainFactor = 20
export const quotaSliceShapes = 2000

// First rows and subsets

/** A request that waits for a connection is told to come back after so long; its own limit is 45 s. */
export const acquireTimeoutMillis = 30_000
/** How often somebody who waits looks for a query that has to end. */
export const placeLookMillis = 250
/** A connection that nobody has used for so long is closed. */
export const idleSessionMillis = 60_000
/** Bound on the begin of a transaction: nothing but a lost connection or a stuck pooler takes this long. */
export const beginTimeoutMillis = 30_000
/** From the start of a query to its first rows, or its end. */
export const firstRowMillis = 30_000
/** How long newer snapshots are asked for, and how far apart. */
export const snapshotRetryMillis = 30_000
export const firstRetryPauseMillis = 5
export const longestRetryPauseMillis = 100
/** Bound on ROLLBACK, after which the session is thrown away instead. */
export const rollbackTimeoutMillis = 2000
/** How long a request to cancel may take to get through. */
export const cancelTimeoutMillis = 5000
/** While rows trickle, they are handed over at least this often. */
export const flushMillis = 20
/** Who has waited this long gets a transaction of its own; one that is older than `oldestSharedMillis` is given to nobody. */
export const sharingPatienceMillis = 5
export const oldestSharedMillis = 100
/** Postgres ends the query of a subset by itself if we cannot, which we do first. */
export const statementGraceMillis = 5000
/** A client that has had this long to fetch an answer gives way when there is no room for another one. */
export const answerPatienceMillis = 30_000

// The stream

/** Where the stream has got to is recorded at most this often while nothing else is, and this soon after something. */
export const positionMillis = 1000
export const soonestPositionMillis = 10

// Conditions that Postgres decides: `BATON_MAX_DECISION_TIME` bounds what the stream waits for them

/** A stream that lags no more than this behind the best that was seen has caught up. */
export const caughtUpMillis = 200
/** For so long the shortest lag counts; then the one of the time after that. Clocks may be set. */
export const lagWindowMillis = 60_000
/** A transaction may wait for so long even when nothing is left. */
export const leastBudgetMillis = 25
/** A statement of known work (`DecisionPool.knownWorkMillis`) that takes no longer than this says that Postgres has time. */
export const quickMillis = 5
/** The least time that is given to a group of conditions, and below which nothing is asked any more. */
export const probeMillis = 20
export const leastAskedMillis = 5
/** Between these, a statement waits for a connection as long as one may take. */
export const shortestAcquireMillis = 2000
export const longestAcquireMillis = 8000
/** A statement that Postgres has not ended by itself so long after its time is left to itself. */
export const decisionGraceMillis = 250
/** Connections that were used this recently are there; a later question connects before its time begins. */
export const decisionWarmMillis = 30_000

// Sub-selects

/** Who waits for the stream asks the server how far it is, soon and then less often. */
export const firstNudgeMillis = 1
export const longestNudgeMillis = 50
/** A statement that reads rows for sub-selects is ended by Postgres after so long. */
export const moveStatementMillis = 60_000
/** The same for rows that are too many for memory and are written as they come. */
export const streamedStatementMillis = 900_000
/** What has failed in passing is tried again, soon and then less often. */
export const firstMovePauseMillis = 10
export const longestMovePauseMillis = 5000
/** The same for shapes that are compared with the database because their table was altered; what does not look as if it passed so often. */
export const longestMendPauseMillis = 1000
export const mendTries = 3
/** Work on shapes with sub-selects, after which everything else has its turn. */
export const moveSliceMillis = 4
/** How long the stream may take to bring what a snapshot for a new shape shows, before another one is taken. */
export const receptionMillis = 5000

/** Questions about changed rows that take Postgres longer than this part of what they may are told to the operator. */
export const slowDecisionShare = 1 / 2

// Comparing shapes with the database

/** How long a snapshot is waited for whose place in the WAL is known: for transactions that are open. */
export const pointMillis = 60_000
/** How long the stream may take to get to that place without getting any further, and how often that is seen. */
export const processedMillis = 60_000
export const processedLookMillis = 50
/** Failures of the database that may pass: how often a table is tried again, and after which pause. */
export const verifyRetries = 3
export const verifyRetryMillis = 1000
/** How often shapes are looked at whose logs are compacted just then. */
export const verifyLooks = 5
