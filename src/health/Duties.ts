import type { DutyPolicy } from "../shared/Duty.ts"

const begunAgain = (what: string, meanwhile: string): DutyPolicy<"beginAgain"> => ({
  what,
  ends: "never",
  after: "beginAgain",
  meanwhile
})

/**
 * The duties of a process: all work that goes on beside requests, and what its death means. `docs/design.md` has the same
 * table. Nobody may stay the holder of the lock, and do less than it says.
 */
export const duties = {
  /** Process: the loop over turns. Its expected failures are told to the operator by themselves. */
  instance: {
    what: "The instance",
    ends: "byItself",
    after: "endProcess",
    meanwhile: "nothing looks after the lock any more"
  },
  /** A program that Baton is a part of must go on. */
  instanceInBackground: {
    what: "The instance",
    ends: "byItself",
    after: "beginAgain",
    meanwhile: "shapes that exist are served, and new ones cannot be made"
  },

  // Actors, which live as long as their layers: their death is a mistake in what they were asked to do
  healthRef: begunAgain("The keeper of the state", "what has happened last may not count"),
  lock: {
    what: "The keeper of the lock",
    ends: "never",
    after: "endTurn",
    meanwhile: "it is not certain who has it"
  },
  stream: {
    what: "The keeper of the stream",
    ends: "never",
    after: "endTurn",
    meanwhile: "it is not certain what was streamed"
  },
  registry: {
    what: "The keeper of the session with shapes",
    ends: "never",
    after: "endTurn",
    meanwhile: "it is not certain which shapes are made"
  },

  // While it waits for the lock
  readiness: begunAgain("The preparation of a takeover", "a takeover takes longer"),
  replicationHeartbeat: {
    what: "The sign of life on the connection with the lock",
    ends: "byItself",
    after: "beginAgain",
    meanwhile: "waiting instances may take this one for dead"
  },

  // A turn as holder of the lock
  lookAhead: {
    what: "The look at the tables of all shapes",
    ends: "byItself",
    after: "letGo",
    meanwhile: "the stream asks about each table when its first change comes"
  },
  maintenance: begunAgain("Tidying up storage", "the journal grows"),
  compaction: begunAgain("Compacting logs", "the logs of shapes grow"),
  fence: {
    what: "The look for later epochs",
    ends: "byItself",
    after: "endTurn",
    meanwhile: "it would not notice that another instance has taken over storage"
  },
  moves: {
    what: "Following what sub-selects give",
    ends: "never",
    after: "endTurn",
    meanwhile: "shapes with sub-selects in their conditions would not be kept up to date"
  },
  verify: begunAgain("Comparing shapes for an operator", "what was asked for has to be asked for again"),
  bucketPatience: {
    what: "The look for a bucket that takes nothing",
    ends: "byItself",
    after: "beginAgain",
    meanwhile: "the lock is not handed over because of it"
  },
  idleTimeout: {
    what: "The look for changes before the idle time-out",
    ends: "byItself",
    after: "beginAgain",
    meanwhile: "the database connections stay open"
  },
  tablesAndPublication: begunAgain(
    "Looking after tables and publication",
    "changes of tables are only noticed with their next row"
  ),
  tableWatch: begunAgain("The watch over tables", "changes of tables are only noticed with their next row"),
  schemaMemory: begunAgain(
    "Keeping the schema in mind",
    "an instance that starts without the database may know older tables"
  ),
  heartbeat: begunAgain("The heartbeat of the stream", "nobody tells if changes stop coming"),
  slotWatch: begunAgain("The look at the replication slot", "the log does not say when its WAL runs short"),
  publicationCheck: begunAgain("The comparison of the publication", "it is not seen when somebody alters it"),
  tableComparison: begunAgain("The comparison of tables", "the watch over tables notices what has changed"),
  conditionsMemory: {
    what: "Counting what the conditions of all shapes need",
    ends: "byItself",
    after: "beginAgain",
    meanwhile: "more conditions may be accepted than there is memory for"
  },
  eviction: begunAgain("Dropping the shapes that are too many", "there may be more than the limit"),
  unread: begunAgain("Dropping shapes that nobody reads", "they are kept"),
  quota: begunAgain("Keeping storage to its limit", "it may take more than BATON_MAX_STORAGE"),

  level: begunAgain("Looking whether storage can be finalised", "older releases can go on taking over"),

  // In any state
  presence: begunAgain("Saying that this instance is there", "storage is not finalised"),
  bucket: begunAgain("The watch over the bucket", "the log does not say whether it fails"),
  mirror: begunAgain("The mirror of the bucket", "what other instances write is not seen"),
  dormancy: begunAgain("Making shapes dormant that nobody reads", "they keep their memory"),
  storageMemory: begunAgain("Letting go of the latest bytes of the journal", "memory is not given back"),
  tail: begunAgain("Following the active instance", "changes are seen once they are in the bucket"),
  fileCache: begunAgain(
    "Making room among copies of files",
    "copies of files may take more room than they should"
  ),
  idleMemory: begunAgain("Giving back the memory of an idle process", "this process keeps its memory"),
  healthListener: begunAgain("Telling the program of the state", "the program does not learn of changes"),

  statsd: begunAgain("Sending figures to StatsD", "events are sent all the same"),
  exportedMetrics: begunAgain("Taking the figures that are exported", "those of before are exported"),

  // Workers
  workerStates: begunAgain("Telling workers of the state", "they learn of it with the next heartbeat"),
  workerHeartbeat: begunAgain("The heartbeat for workers", "they say that no shapes can be made"),
  workerSupervisor: {
    what: "Looking after an HTTP worker",
    ends: "byItself",
    after: "beginAgain",
    meanwhile: "the other processes answer"
  },
  journalWatch: begunAgain("The watch over the journal", "changes are found by looking every 10 ms")
} satisfies Record<string, DutyPolicy>
