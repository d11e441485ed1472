/**
 * How long storage waits and how often it looks, in one place. docs/upgrade.md names those that an operator can notice; what
 * belongs to one kind of file stands with it, in the rooms of this folder.
 */

/** How often a follower looks at the journal while somebody waits for what comes. */
export const eagerPollMillis = 10
/** How often a follower looks for new records while nobody waits for them. */
export const idlePollMillis = 100
/** A follower that could not read the journal tries again after so long. */
export const readAgainMillis = 1000

/** How often an instance that takes over looks for what must be there, in a journal that is seen late. */
export const lookMillis = 20
/** How often it makes sure meanwhile that it still holds the lock. */
export const lockMillis = 1000
/** When it says that it waits for the end of the journal. */
export const sayAfterMillis = 500

/** A disk on which the epoch could not be made durable is asked again after so long. */
export const secureMillis = 100

/** A start on a disk that refuses tries again so often, after so many milliseconds and twice as many each time. */
export const loadRetries = 5
export const loadRetryMillis = 100

/** The latest bytes of the journal stay in memory for one to two times as long. */
export const recentMillis = 10_000
/** Woken clients at the same offset share one body for this long. */
export const sharingMillis = 50
/** A snapshot chunk that does not come for so long is given up on. */
export const chunkWaitMillis = 60_000

/** What was read of a segment to index it is forgotten when nothing has been added to the segment for so long. */
export const indexIdleMillis = 10_000

/** The same trouble is said this often while it lasts. */
export const complaintMillis = 10_000
