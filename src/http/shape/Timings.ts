/** How long a request waits for something that should be there in a moment. */
export const readinessMillis = 5000
/** An event stream ends after so long, as it does with Electric: the client's next request goes on where it ended. */
export const sseLifetimeMillis = 60_000
/** An event stream that has nothing to say sends a comment after so long, or proxies would cut it. */
export const sseKeepAliveMillis = 21_000
