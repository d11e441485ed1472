/**
 * Why an instance makes and drops no shapes.
 *
 * `waiting`      it has not got the lock, or does not stream yet; the state says more
 * `stopping`     it was asked to stop, and its successor does
 * `notDurable`   what it wrote does not count: another instance has taken over storage, and it has just learnt that
 * `bucket`       the bucket takes nothing at the moment
 * `failed`       somebody has to mend what its log names
 * `notReadable`  another instance makes the shape, and its first rows did not come
 * `silent`       the process of this instance that makes shapes does not answer
 */
export const refusalReasons = [
  "waiting",
  "stopping",
  "notDurable",
  "bucket",
  "failed",
  "notReadable",
  "silent"
] as const
export type RefusalReason = (typeof refusalReasons)[number]

/** The 503 of a request that needs what an instance cannot do now. `message` is for clients. */
export interface Refusal {
  readonly why: RefusalReason
  readonly message: string
  readonly retryAfterSeconds: number
}

/**
 * What is told, by state where the state is the reason, and by reason. What stands before a colon is what Electric says.
 */
export const refusals = {
  starting: {
    why: "waiting",
    message: "Timeout waiting for shape metadata to be loaded",
    retryAfterSeconds: 5
  },
  waiting: {
    why: "waiting",
    message: "Timeout waiting for Postgres lock acquisition",
    retryAfterSeconds: 5
  },
  disconnected: {
    why: "waiting",
    message: "Timeout waiting for Postgres lock acquisition: the database is out of reach",
    retryAfterSeconds: 5
  },
  unwritable: {
    why: "failed",
    message:
      "Storage cannot be written, so this instance can make no shapes. An operator has to mend that: the log says what is wrong",
    retryAfterSeconds: 10
  },
  takingOver: {
    why: "waiting",
    message:
      "Timeout waiting for replication client to be ready: this instance has the lock and does not stream yet. " +
      "Where that lasts, look for transactions that stay open: a new replication slot waits for their end",
    retryAfterSeconds: 5
  },
  replica: {
    why: "waiting",
    message: "This instance is a replica, and the active instance, which can answer this, could not be asked",
    retryAfterSeconds: 5
  },
  active: { why: "waiting", message: "Failed to create shape, please retry", retryAfterSeconds: 1 },
  stopping: {
    why: "stopping",
    message: "This instance is shutting down; its successor takes new shapes",
    retryAfterSeconds: 1
  },
  notDurable: {
    why: "notDurable",
    message: "Another instance has taken over; it makes and drops shapes now",
    retryAfterSeconds: 1
  },
  bucket: {
    why: "bucket",
    message: "The bucket cannot be written, and what is not there cannot be told to anybody",
    retryAfterSeconds: 5
  },
  failed: {
    why: "failed",
    message:
      "This instance cannot become active, so it can make no shapes. An operator has to mend that: the log says what is wrong",
    retryAfterSeconds: 10
  },
  notReadable: {
    why: "notReadable",
    message: "Timeout waiting for the first rows of the shape, which another instance reads",
    retryAfterSeconds: 5
  },
  silent: {
    why: "silent",
    message: "The process of this instance that makes shapes does not answer",
    retryAfterSeconds: 5
  },
  /** Another instance has told the client of more than this one has read of the journal. */
  behind: { why: "waiting", message: "This instance has not read this far yet", retryAfterSeconds: 1 },
  /** Nothing is answered any more, in a program that still calls its handler. */
  ended: { why: "stopping", message: "This instance is shutting down", retryAfterSeconds: 1 }
} as const satisfies Record<string, Refusal>

/** What is told where only the reason is known. */
export const refusalFor = (why: RefusalReason): Refusal => refusals[why]
