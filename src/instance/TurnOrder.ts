import type { duties } from "../health/Duties.ts"

/** A part of an instance that a turn starts, and stops in the end. */
interface TurnStep {
  /** Whom the turn asks. */
  readonly actor: string
  readonly starts: string
  readonly stops: string
  /** What its failure, or the death of what it has started, means. */
  readonly death: string
  /** The rows of the table of duties that look after it meanwhile. */
  readonly duties: ReadonlyArray<keyof typeof duties>
}

/**
 * The supervisor's table: a turn as holder of the lock starts these from the first to the last, each standing on those before
 * it, and stops them from the last to the first, whatever has ended it. What follows from the end of a turn is in
 * `AfterTurn.ts`. `docs/design.md` has the same table.
 */
export const turnOrder = {
  connection: {
    actor: "StreamActor",
    starts: "connects in replication mode",
    stops: "closes the connection",
    death: "ends the turn; `databaseDown` where the database is out of reach",
    duties: ["stream", "replicationHeartbeat"]
  },
  lock: {
    actor: "LockActor",
    starts: "waits for the lock, for days if need be, while a takeover is prepared",
    stops: "tells `HealthRef` that the lock is lost or given back",
    death: "ends the turn",
    duties: ["lock", "readiness"]
  },
  publication: {
    actor: "Publication",
    starts: "looks, beside the next steps, whether there is a publication as it should be",
    stops: "gives up the look",
    death: "ends the turn",
    duties: []
  },
  storage: {
    actor: "StorageEngine",
    starts: "claims an epoch and reads the journal to its end: this instance is the writer",
    stops: "makes durable what was composed, and follows the journal",
    death: "ends the turn with `storageFailed`",
    duties: []
  },
  session: {
    actor: "CurrentSession",
    starts: "opens a session",
    stops: "interrupts the shapes that are being made, and tells who waits for them",
    death: "ends the turn",
    duties: ["registry", "conditionsMemory", "eviction", "quota"]
  },
  source: {
    actor: "StreamActor",
    starts:
      "makes sure of the slot; all shapes are compared with the database if it cannot go on from what storage has",
    stops: "nothing",
    death: "ends the turn; the next one makes a new slot if this one is lost",
    duties: []
  },
  stream: {
    actor: "StreamActor",
    starts: "streams, and with the first message requests may make shapes and the state is `active`",
    stops: "no more shapes; flushes, acknowledges, and closes the connection: the lock is free",
    death:
      "ends the turn; ends the process where an operator has to mend something and it has never streamed",
    duties: [
      "lookAhead",
      "maintenance",
      "compaction",
      "level",
      "fence",
      "moves",
      "heartbeat",
      "tablesAndPublication",
      "bucketPatience",
      "idleTimeout",
      "verify"
    ]
  }
} as const satisfies Record<string, TurnStep>

export type TurnStepName = keyof typeof turnOrder
