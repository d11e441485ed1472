import type { Patience } from "./LockVerdict.ts"

/**
 * How long the lock is waited for, and how often its holder is looked at, in one place. docs/upgrade.md names those that an
 * operator can notice; [docs/lock.md](../../docs/lock.md) says why they are what they are.
 */

/**
 * A statement that waits keeps its snapshot, and with it every row version that VACUUM would like to remove from the
 * whole database. So a wait that may take days is begun anew this often.
 */
export const renewWaitMillis = 300_000

/** How often an instance that waits looks at the holder of the lock. */
export const breakerTickMillis = 10_000
/** For how long each kind of holder may be silent before it is taken for dead. */
export const patienceMillis: Patience = { baton: 60_000, stuck: 10_000, foreign: 300_000 }
/** Bound on one look. */
export const lookTimeoutMillis = 5_000
