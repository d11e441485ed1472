/**
 * How long storage waits and how often it looks, in one place. docs/upgrade.md names those that an operator can notice.
 * For how long a file system may show what it remembers stands with the disk (`disk/Disk.ts`).
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

/** A disk that refuses a write to the journal is asked again after so long, for ever; nothing is acknowledged meanwhile. */
export const journalRetryMillis = 1000
/** Between two syncs of the journal, unless somebody waits for what is written. Postgres is told of a commit this late at most. */
export const syncGapMillis = 5
/** What has been composed is written at least this often, however long the disk takes to sync what was written before. */
export const showMillis = 5
/** How often it is looked at whether the file that is open is still the one of its name. */
export const placeMillis = 1000

/** A disk on which the epoch could not be made durable is asked again after so long. */
export const secureMillis = 100

/** How often the writer says how far the journal is durable: a successor writes once more what came later. */
export const markMillis = 1000

/** A start on a disk that refuses tries again so often, after so many milliseconds and twice as many each time. */
export const loadRetries = 5
export const loadRetryMillis = 100

/** A bucket that cannot be reached at the start is asked again after so long, and twice as long each time up to the second. */
export const bucketAgainMillis = 500
export const bucketLongestMillis = 30_000
/** How often somebody who waits for the bucket looks whether that is away. */
export const awayLookMillis = 250
/** The same for somebody who is about to write what holds up others until it is in the bucket. */
export const doubtLookMillis = 50
/** How often it is looked whether the bucket fails; after how long that is said, and how often it is said again. */
export const bucketLookMillis = 1000
export const bucketSayAfterMillis = 2000
export const bucketSayAgainMillis = 60_000
/** With a bucket a position is recorded this often while nothing comes that concerns a shape: each is an object that is paid for. */
export const bucketPositionMillis = 10_000

/** A checkpoint that changes, or is locked, is looked at again after so long. */
export const checkpointPauseMillis = 50
/** One that the disk refuses is tried again so often, after as many milliseconds and twice as many each time. */
export const checkpointRetries = 5
/** One that changes for so long while it is copied is read as it stands; one that is locked for so long was left so. */
export const checkpointPatienceMillis = 10_000

/** A log that cannot be read for so long, several times, is given up. */
export const failingLogMillis = 2000
/** A failure so long ago has nothing to do with the present one. */
export const forgetFailureMillis = 600_000

/** How often it is looked whether copies of shapes' files take too much room. */
export const cacheMillis = 5000

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

/** Between two looks for shapes that nobody reads: a quarter of the time after which they are dormant, within these bounds. */
export const dormancyPauseMillis = 250
export const longestDormancyPauseMillis = 60_000
/** Shapes looked at before other work gets its turn. */
export const dormancySlice = 1000
