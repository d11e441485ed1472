/** The times of HTTP that no variable sets. docs/upgrade.md names some of them. */

/** How long a request waits for something that should be there in a moment: storage that is read, a takeover. */
export const readinessMillis = 5000
/** How long a request for the end of a shape with sub-selects waits for what has been processed and is late. */
export const behindMillis = 1000
/** How often a request that waits for activation looks whether somebody else made its shape meanwhile. */
export const lookAgainMillis = 250
/** Between attempts to answer on fresh facts, while somebody alters the table. */
export const alteredPauseMillis = 50
/** An event stream ends after so long, as it does with Electric: the client's next request goes on where it ended. */
export const sseLifetimeMillis = 60_000
/** An event stream that has nothing to say sends a comment after so long, or proxies would cut it. */
export const sseKeepAliveMillis = 21_000
/** An active instance that a request was handed on to may be silent for so long, beside the time of a long poll. */
export const forwardSilenceMillis = 60_000
/** And be out of reach for so long: its machine may be gone, and a successor not be there yet. */
export const forwardConnectMillis = 5000
/** How long the rest of a body is read, and thrown away, that a refused request goes on to send. */
export const discardMillis = 5000
/** When connections are drained: a client in the middle of a conversation has sent its next request by then. */
export const nextRequestMillis = 300

/** `retry-after` of what passes by itself. What a state of the instance is the reason of has its own, in `health/Refusal.ts`. */
export const retryAfterSeconds = {
  /** Over in a moment: a table is being altered, the catalogue could not be read just now. */
  aMoment: 1,
  /** There is no room for another request body. */
  bodies: 5,
  /** Too many requests run: this, and 1 to 5 s more, so that the refused ones do not come back together. */
  crowd: 5,
  /** The database refuses connections, or is out of reach. */
  database: 10
} as const
