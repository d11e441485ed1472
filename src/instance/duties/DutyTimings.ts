/**
 * How often the duties of an instance look after what is theirs, in one place. docs/upgrade.md names those that an operator can
 * notice.
 */

/** How often a waiting instance looks for shapes whose conditions it does not know. */
export const preparingMillis = 500
/** How often a waiting instance uses its connections: more often than idle ones are closed. */
export const warmMillis = 20_000
/** For so long an instance has waited for the lock before it practises a takeover. */
export const practiceAfterMillis = 250
/** What was practised once is forgotten when it is not used for long: V8 throws away the code of functions that have not run for some time. */
export const practiceMillis = 600_000

/** How often storage is tidied up, unless the clean-up interval is shorter. */
export const longestMaintenanceMillis = 1000
/** How often it is looked which logs of shapes are to be compacted, unless the clean-up interval is shorter. */
export const longestCompactionMillis = 10_000
/** Files that nobody needs stay for this many clean-up intervals, for readers that are in the middle of them. */
export const removalDelayIntervals = 3
/** How often the writer looks whether another instance has taken over storage. */
export const fenceCheckMillis = 2000

/** How often it is looked how much WAL Postgres still keeps for the slot, and how often it is said that this is little. */
export const slotWatchMillis = 10_000
export const slotAgainMillis = 60_000

/** How often the catalogue is looked at. */
export const tableWatchMillis = 1000
/** How often it is seen whether what the catalogue says is to be written down again. */
export const keepSchemaMillis = 500
/** What was asked ahead counts for so long: a table whose first change comes later is asked about again. */
export const aheadValidMillis = 1000

/** How often it is seen whether changes have come, where there is an idle time-out. */
export const idleLookMillis = 1000

/** How often it is seen whether the bucket has taken nothing for too long, where there is a limit to that. */
export const longestPatienceLookMillis = 1000

/** How often an instance says in storage that it is there. */
export const presenceMillis = 10_000
/** After a change of its state it says so, once what the change brings about has begun. */
export const presenceAfterMillis = 500
/** The same in a bucket, where each time is paid for. What is a day old there is of an instance that is gone. */
export const bucketPresenceMillis = 6 * 3_600_000
/** A bucket that did not take it is asked again after so long. */
export const bucketPresenceAgainMillis = 60_000
/** A stop waits so long for what it removes there. */
export const removePresenceMillis = 1000
/** How often the holder of the lock looks whether storage can be finalised, as long as it is not. */
export const levelLookMillis = 5000
/** How often it looks what instances that are gone have left behind, once storage is finalised. */
export const leftoverLookMillis = 60_000
/** When it last saw somebody older is written down this often, while nothing else changes. */
export const levelWriteMillis = 60_000
