import { Effect } from "effect"
import { isWanted } from "../../lock/LockKey.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { DatabaseFacts, LockFacts, SlotFacts } from "../reports/PostgresFacts.ts"

const queryMillis = 3000

const present =
  "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END"

const slotSql =
  "SELECT s.wal_status, s.active_pid, " +
  `pg_catalog.pg_wal_lsn_diff(${present}, s.restart_lsn)::pg_catalog.text AS retained, ` +
  `pg_catalog.pg_wal_lsn_diff(${present}, s.confirmed_flush_lsn)::pg_catalog.text AS unconfirmed, ` +
  "s.safe_wal_size::pg_catalog.text AS safe, pg_catalog.to_jsonb(s) ->> 'invalidation_reason' AS invalid, " +
  "(SELECT g.setting FROM pg_catalog.pg_settings g WHERE g.name = 'max_slot_wal_keep_size') AS keep_megabytes " +
  "FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1"

const lockSql = (slotName: string): string =>
  "SELECT l.pid, l.granted, pg_catalog.host(a.client_addr) AS address, a.backend_start, " +
  `pg_catalog.pg_wal_lsn_diff(${present}, r.flush_lsn)::pg_catalog.text AS unconfirmed ` +
  "FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid " +
  `LEFT JOIN pg_catalog.pg_stat_replication r ON r.pid = l.pid WHERE ${isWanted(slotName)} ORDER BY l.granted DESC, l.pid LIMIT 100`

interface SlotRow {
  readonly wal_status: SlotFacts["walStatus"]
  readonly active_pid: number | null
  readonly retained: string | null
  readonly unconfirmed: string | null
  readonly safe: string | null
  /** From Postgres 17 on a slot may be of no use for other reasons than WAL that is gone. */
  readonly invalid: string | null
  readonly keep_megabytes: string | null
}

interface LockRow {
  readonly pid: number
  readonly granted: boolean
  readonly address: string | null
  readonly backend_start: unknown
  readonly unconfirmed: string | null
}

const bytesOf = (text: string | null): number | null => (text === null ? null : Math.max(0, Number(text)))

const slotOf = (name: string, row: SlotRow): SlotFacts => {
  const megabytes = Number(row.keep_megabytes ?? -1)
  return {
    name,
    walStatus: row.invalid === null ? row.wal_status : "lost",
    activePid: row.active_pid === null ? null : Number(row.active_pid),
    retainedWalBytes: bytesOf(row.retained),
    unconfirmedWalBytes: bytesOf(row.unconfirmed),
    safeWalBytes: bytesOf(row.safe),
    maxSlotWalKeepBytes: megabytes < 0 ? null : megabytes * 1024 * 1024
  }
}

const lockOf = (row: LockRow): LockFacts => ({
  backendPid: Number(row.pid),
  holdsLock: row.granted === true,
  address: row.address,
  connectedAt:
    row.backend_start instanceof Date ? row.backend_start.toISOString() : textOf(row.backend_start),
  unconfirmedWalBytes: bytesOf(row.unconfirmed)
})

const textOf = (value: unknown): string | null => (typeof value === "string" ? value : null)

/** Undefined when Postgres cannot be asked, or takes too long. */
export const askDatabase = (admin: Queryable, slotName: string): Effect.Effect<DatabaseFacts | undefined> =>
  Effect.all([admin.query<SlotRow>(slotSql, [slotName]), admin.query<LockRow>(lockSql(slotName))]).pipe(
    Effect.timeout(queryMillis),
    Effect.map(([[slot], locks]) => ({
      slot: slot === undefined ? undefined : slotOf(slotName, slot),
      locks: locks.map(lockOf)
    })),
    Effect.catch(() => Effect.succeed(undefined))
  )
