/**
 * How long an instance waits and how often it looks, in one place. docs/upgrade.md names those that an operator can notice.
 */

// A turn

/** Flushing and acknowledging before the lock is given back may take this long. */
export const handBackMillis = 2000
/** A question on the connection with the lock that has no answer for so long: the lock counts as lost. */
export const lockCheckMillis = 5000
/** Who has handed the lock over to another instance asks for it again after so long, behind all others. */
export const handedOverMillis = 10_000
/** Postgres is asked again after so long what the stream waits for. */
export const catalogueRetryMillis = 500

// The stop of a process

/** For the answers to requests that were held until the end. */
export const lastAnswersMillis = 500

// An instance in the background of another program

/** From a failure to the next attempt; then twice as long each time. */
export const firstRetryMillis = 1_000
export const longestRetryMillis = 10_000
/** An attempt that waits for the lock, and has not failed by then, has found nothing to be mended. */
export const provenMillis = 5_000
/** The same failure is said again after this. */
export const sayAgainMillis = 600_000
