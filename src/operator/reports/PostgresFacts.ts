/** What Postgres says of the replication slot. */
export interface SlotFacts {
  readonly name: string
  /** `pg_replication_slots.wal_status`; null where there is none. */
  readonly walStatus: "reserved" | "extended" | "unreserved" | "lost" | null
  readonly activePid: number | null
  /** WAL that is kept for it, and what it has not confirmed, from the present position. */
  readonly retainedWalBytes: number | null
  readonly unconfirmedWalBytes: number | null
  /** What may still be written before it is lost; null where nothing limits it. */
  readonly safeWalBytes: number | null
  /** `max_slot_wal_keep_size`; null: no limit. */
  readonly maxSlotWalKeepBytes: number | null
}

/** A connection that holds the lock, or waits for it: one of each instance that can become active. */
export interface LockFacts {
  readonly backendPid: number
  readonly holdsLock: boolean
  readonly address: string | null
  readonly connectedAt: string | null
  /** Of the one that streams: WAL between the present position and what it has confirmed. */
  readonly unconfirmedWalBytes: number | null
}

export interface DatabaseFacts {
  /** Undefined: there is no such slot. */
  readonly slot: SlotFacts | undefined
  readonly locks: ReadonlyArray<LockFacts>
}
