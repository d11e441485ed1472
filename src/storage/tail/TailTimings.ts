/** The times of the tail, in one place. */

/** How often a writer that has nothing to say says that it is there. */
export const heartbeatMillis = 500
/** A mirror that has heard nothing for so long does not rely on the tail any more. */
export const silenceMillis = 2000
/** A mirror that takes nothing for so long is cut off: it finds everything in the bucket. */
export const slowMirrorMillis = 10_000

/** From the loss of a connection to the next try; twice as long each time. */
export const firstPauseMillis = 100
export const longestPauseMillis = 5000
/** A connection that lived so long was a good one: what ended it is looked at as new. */
export const goodConnectionMillis = 10_000
/** How often a mirror looks whether it follows the right writer, and whether that is still there. */
export const lookMillis = 50
