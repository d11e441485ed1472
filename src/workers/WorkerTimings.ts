/** How long the main process and its HTTP workers wait for each other, in one place. */

// The main process

/** A new instance is to become active first: workers take the processor that it needs. */
export const startDelayMillis = 1000
/** How often it looks whether the workers have answered what they had. */
export const idleCheckMillis = 20
/** Bound on what one worker's report may take: metrics come without it then. */
export const reportMillis = 1000
/** From the order to end to SIGKILL. */
export const stopMillis = 1000
/** A disk that hangs must not hold up every worker: they are answered after so long. */
export const durableMillis = 5000

/** A worker that lived this long had started well: what ended it is looked at as new. */
export const stableMillis = 10_000
/** From the end of a worker to the start of the next one; then twice as long each time. */
export const firstDelayMillis = 100
export const longestDelayMillis = 10_000

/** How long a worker collects when it has handed changes on, before it tells: the main process remembers the latest commits only. */
export const deliveriesMillis = 25

/** How often the main process says what state it is in. */
export const heartbeatMillis = 1000

// A worker

/** A main process that was not heard of for so long does not answer. */
export const silenceMillis = 5000
/** How long a client waits for the main process to say what is true before it is answered with what is known here. */
export const settleMillis = 5000
/** How often the main process is told which shapes were used. */
export const touchedMillis = 1000
/** How often it is told how many requests are in progress, while this worker drains. */
export const runningMillis = 50
/** A storage directory that cannot be read is tried again after so long. */
export const unreadableMillis = 10_000

/** How often a watch over the journal is tried again that could not be had. */
export const watchRetryMillis = 1000
/** While the system says when the journal grows, looking for it is a second line. */
export const watchedPollMillis = 100
export const unwatchedPollMillis = 10
/** While nobody waits for changes they are read in groups. */
export const collectMillis = 20

/** How often a worker asks the main process for the next event of a stream for operators, while somebody reads it. */
export const operatorLookMillis = 1000
