import { Effect } from "effect"
import { explainedPgError } from "./errors/ClassifyPgError.ts"
import { type Lsn, parseLsn } from "../shared/Lsn.ts"
import type { PgError } from "./errors/PgError.ts"
import { losesChangesOfAddedTables } from "./publication/AlterPublication.ts"
import type { Queryable } from "./connection/SessionPool.ts"

/** What is fixed about a server as long as it is not restarted. */
export interface ServerInfo {
  /** `server_version_num`, e.g. 180004. */
  readonly versionNum: number
  /** As people say it, e.g. `18.4`. */
  readonly version: string
  readonly walLevel: string
  /** A standby, or a primary that is not promoted yet: nothing can be created there. */
  readonly isInRecovery: boolean
  readonly role: string
  readonly isSuperuser: boolean
  /** Has the REPLICATION attribute. Providers give the right in other ways, too; the replication connection finds out. */
  readonly hasReplicationAttribute: boolean
  readonly walSenderTimeoutMillis: number
  readonly maxReplicationSlots: number
  readonly maxWalSenders: number
}

interface ServerRow {
  readonly version_num: number
  readonly version: string
  readonly wal_level: string
  readonly in_recovery: boolean
  readonly role: string
  readonly superuser: boolean
  readonly replication: boolean
  readonly wal_sender_timeout: number
  readonly max_slots: number
  readonly max_senders: number
}

export const readServerInfo = (database: Queryable): Effect.Effect<ServerInfo, PgError> =>
  Effect.flatMap(
    // pg_settings has base units (milliseconds); SHOW would print '1min'.
    database.query<ServerRow>(
      `SELECT current_setting('server_version_num')::int4 AS version_num,
         current_setting('server_version') AS version,
         current_setting('wal_level') AS wal_level,
         pg_is_in_recovery() AS in_recovery,
         r.rolname::text AS role, r.rolsuper AS superuser, r.rolreplication AS replication,
         (SELECT setting::int4 FROM pg_settings WHERE name = 'wal_sender_timeout') AS wal_sender_timeout,
         current_setting('max_replication_slots')::int4 AS max_slots,
         current_setting('max_wal_senders')::int4 AS max_senders
       FROM pg_roles r WHERE r.rolname = current_user`
    ),
    ([row]) =>
      row === undefined
        ? Effect.fail(explainedPgError("unknown", "The server did not describe itself"))
        : Effect.succeed({
            versionNum: row.version_num,
            version: row.version,
            walLevel: row.wal_level,
            isInRecovery: row.in_recovery,
            role: row.role,
            isSuperuser: row.superuser,
            hasReplicationAttribute: row.replication,
            walSenderTimeoutMillis: row.wal_sender_timeout,
            maxReplicationSlots: row.max_slots,
            maxWalSenders: row.max_senders
          })
  )

const oldestVersionNum = 140000

/** The first thing about the server that rules out working with it, as the failure that it would lead to. */
export const serverProblem = (server: ServerInfo): PgError | undefined => {
  if (server.versionNum < oldestVersionNum) {
    return explainedPgError("config_error", `Postgres 14 or later is needed, and this is ${server.version}`)
  }
  if (server.isInRecovery) {
    return explainedPgError("read_only", "The server is in recovery: a standby, or not promoted yet")
  }
  return server.walLevel === "logical"
    ? undefined
    : explainedPgError("wal_level_is_not_logical", `wal_level is ${server.walLevel}`)
}

/** What an operator should know about the server although it works. Whole sentences. */
export const serverAdvice = (server: ServerInfo): ReadonlyArray<string> =>
  losesChangesOfAddedTables(server.versionNum)
    ? [
        `Postgres ${server.version} can lose changes of tables that are added to a publication while somebody writes to them. ` +
          "New tables are therefore locked against writers for a moment when their first shape is made. Install the latest minor release."
      ]
    : []

/** Where the write-ahead log is, and how far a slot is behind it. */
interface WalPosition {
  readonly currentLsn: Lsn
  /** `undefined` when there is no such slot. */
  readonly slot: SlotPosition | undefined
}

interface SlotPosition {
  readonly isActive: boolean
  /** WAL that the server keeps for the slot. */
  readonly retainedWalBytes: bigint
  /** How far behind the end of the WAL the slot's consumer has confirmed. Never negative. */
  readonly confirmedFlushLagBytes: bigint
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | undefined
  /** WAL that can still be written before the slot is in danger; `undefined` without a limit. */
  readonly safeWalBytes: bigint | undefined
}

interface PositionRow {
  readonly current: string | null
  readonly slot: string | null
  readonly active: boolean | null
  readonly restart: string | null
  readonly confirmed: string | null
  readonly status: string | null
  readonly safe: string | null
}

/** A gauge that is late is worth less than a free connection. */
const gaugeTimeoutMillis = 3000

/** For gauges: one cheap statement. Fails after 3 s. */
export const readWalPosition = (database: Queryable, slotName: string): Effect.Effect<WalPosition, PgError> =>
  database
    .query<PositionRow>(
      `SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END)::text AS current,
         s.slot_name::text AS slot, s.active, s.restart_lsn::text AS restart,
         s.confirmed_flush_lsn::text AS confirmed, s.wal_status AS status, s.safe_wal_size::text AS safe
       FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = $1`,
      [slotName]
    )
    .pipe(
      Effect.timeoutOrElse({
        duration: gaugeTimeoutMillis,
        orElse: () =>
          Effect.fail(explainedPgError("connection_timeout", "The position of the WAL was not told in time"))
      }),
      Effect.map(([row]) => positionOf(row))
    )

const lsn = (text: string | null | undefined): Lsn | undefined => (text == null ? undefined : parseLsn(text))

const positionOf = (row: PositionRow | undefined): WalPosition => {
  const currentLsn = lsn(row?.current) ?? 0n
  if (row === undefined || row.slot === null) return { currentLsn, slot: undefined }
  const behind = (at: Lsn | undefined): bigint => (at === undefined || at > currentLsn ? 0n : currentLsn - at)
  return {
    currentLsn,
    slot: {
      isActive: row.active === true,
      retainedWalBytes: behind(lsn(row.restart)),
      confirmedFlushLagBytes: behind(lsn(row.confirmed)),
      walStatus: row.status ?? undefined,
      safeWalBytes: row.safe === null ? undefined : BigInt(row.safe)
    }
  }
}
