import { Effect } from "effect"
import type { Queryable } from "../postgres/connection/SessionPool.ts"
import { currentTimers } from "../shared/Timers.ts"
import type { SlotState, SourceReport } from "./MetricsSnapshot.ts"

const queryMillis = 3000

/** All of it as text; the last four are null without a slot. */
interface Row {
  readonly now: string
  readonly keep: string | null
  readonly slot: string | null
  readonly retained: string | null
  readonly unconfirmed: string | null
}

/** As JSON because the columns differ between versions of Postgres. */
const sql = `
  SELECT extract(epoch FROM pg_catalog.clock_timestamp())::pg_catalog.text AS now,
    (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size') AS keep,
    pg_catalog.to_jsonb(s)::pg_catalog.text AS slot,
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::pg_catalog.text AS retained,
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.confirmed_flush_lsn)::pg_catalog.text AS unconfirmed
  FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = $1`

interface Slot {
  readonly wal_status?: string | null
  readonly invalidation_reason?: string | null
  readonly safe_wal_size?: number | null
  readonly active?: boolean
}

/** From Postgres 17 on a slot may be of no use for other reasons than WAL that is gone. */
const stateOf = ({ invalidation_reason, wal_status }: Slot): SlotState => {
  if (wal_status === "lost" || (invalidation_reason ?? null) !== null) return "lost"
  return wal_status === "unreserved" ? "unreserved" : "ok"
}

const bytes = (text: string | null): number | undefined =>
  text === null ? undefined : Math.max(0, Number(text))

/** What the answer means, that was asked for from `beganMillis` to `endedMillis` (since 1970). */
export const sourceReport = (row: Row, beganMillis: number, endedMillis: number): SourceReport => {
  const slot: Slot | undefined = row.slot === null ? undefined : (JSON.parse(row.slot) as Slot)
  const keepMegabytes = row.keep === null ? -1 : Number(row.keep)
  return {
    state: slot === undefined ? "missing" : stateOf(slot),
    retainedWalBytes: bytes(row.retained),
    unconfirmedWalBytes: bytes(row.unconfirmed),
    safeWalBytes: slot?.safe_wal_size ?? undefined,
    maxKeepBytes: keepMegabytes < 0 ? undefined : keepMegabytes * 2 ** 20,
    isActive: slot?.active === true,
    clockAheadSeconds: Number(row.now) - (beganMillis + endedMillis) / 2000
  }
}

/** What Postgres says of the slot and its clock; undefined when it cannot be asked. */
export const askSource = (admin: Queryable, slotName: string): Effect.Effect<SourceReport | undefined> =>
  Effect.gen(function* () {
    const { epochMillis } = yield* currentTimers
    const beganMillis = epochMillis()
    const [row] = yield* Effect.timeout(admin.query<Row>(sql, [slotName]), queryMillis)
    return row === undefined ? undefined : sourceReport(row, beganMillis, epochMillis())
  }).pipe(
    // On a standby there is no present position, and without a database nothing at all.
    Effect.catch(() => Effect.succeed(undefined))
  )
