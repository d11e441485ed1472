/** How long the watch over the stream waits and how often it looks, in one place. docs/upgrade.md names those that can be noticed. */

/** Changes of which nothing proves for so long that they come through are looked for. */
export const silentMillis = 10_000
/** A heartbeat is given at least this long, however rarely one is sent. */
export const leastPatienceMillis = 5_000
/** To write one. */
export const sendMillis = 5_000
/** One that could not be written is tried again after so long. */
export const sendAgainMillis = 1_000
/** Postgres has so long to answer on the connection that streams. */
export const hearMillis = 1_000
/** To look why one does not come. */
export const lookMillis = 5_000
/** How often it is looked again while one does not come. */
export const lookAgainMillis = 2_000
/** How often the same cause is said. */
export const sayAgainMillis = 60_000
