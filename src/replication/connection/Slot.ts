import { faultEnded, reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Duration, Effect, Schedule } from "effect"
import { parseLsn, type ServerLsn, zeroServerLsn } from "../../shared/Lsn.ts"
import { quoteIdentifier, quoteLiteral } from "../../postgres/Identifiers.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import * as timings from "../ReplicationTimings.ts"
import type { TextRow } from "./ReplicationSession.ts"
import { nowMillis } from "../../shared/Timers.ts"

/** A row of `pg_replication_slots`, as far as the server's version has the columns. */
export interface SlotInfo {
  readonly plugin: string | null
  readonly temporary: boolean
  readonly ofThisDatabase: boolean
  /** Null for a physical slot. */
  readonly database: string | null
  readonly activePid: number | null
  /** Null while a backend is still creating the slot. */
  readonly confirmedFlushLsn: ServerLsn | null
  readonly restartLsn: ServerLsn | null
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | null
  /** From Postgres 17 on: why the slot is of no use any more. */
  readonly invalidationReason: string | null
  /** It is copied to standbys. From Postgres 17 on; null before. */
  readonly isFailover: boolean | null
  /** Where the WAL ended when this was read. */
  readonly walLsn: ServerLsn | null
}

/** What of a connection in walsender mode it takes to make a slot; `query` is the simple query protocol. */
interface SlotConnection {
  readonly query: (sql: string) => Effect.Effect<ReadonlyArray<TextRow>, PgError>
  readonly queryExporting: (sql: string) => Effect.Effect<ReadonlyArray<TextRow>, PgError>
  readonly serverVersion: number
}

/** The slot that streaming will use. */
export interface EnsuredSlot {
  /** It was made just now: changes before `confirmedFlushLsn` are not in it, so no shape made earlier can go on. */
  readonly created: boolean
  readonly confirmedFlushLsn: ServerLsn
  /** Where the WAL ended when nobody streamed from the slot any more: nobody was sent anything beyond. */
  readonly walLsn: ServerLsn
  /**
   * Of a slot that was made with `exportSnapshot`: the name of a snapshot that shows exactly what is before `confirmedFlushLsn`. It
   * is there until the connection is used again.
   */
  readonly snapshotName?: string
}

interface EnsureSlotOptions {
  readonly slotName: string
  /** The slot goes with the connection. */
  readonly temporary: boolean
  /** Postgres copies the slot to standbys, where it can (`sync_replication_slots`); from 17 on. */
  readonly failover?: boolean
  /** If the slot has to be made, with a snapshot of what is before it. */
  readonly exportSnapshot?: boolean
  /** For help with a creation that waits; another connection, since that one is busy. */
  readonly admin: Queryable
  /** How often a wait is reported. Default 10 s. */
  readonly tickMillis?: number
  /** How long a slot that is in use is waited for. Default 5 s. */
  readonly busyMillis?: number
}

/** Statements of either kind of connection; SQL without parameters. */
type RunSql = (sql: string) => Effect.Effect<ReadonlyArray<object>, PgError>

const functionForSnapshot = "pg_log_standby_snapshot"

/**
 * Makes sure that the slot exists and is free, on the connection that will stream from it (and that holds the lock).
 * Fails with a kind whose recovery is `recreateSlot` when Postgres has given the slot up: `dropSlot`, then call this
 * again.
 *
 * A backend that ends frees its locks a moment before its slot, so the next holder may still find the slot in use:
 * it waits for that instead of giving the lock back.
 */
export const ensureSlot = (
  connection: SlotConnection,
  options: EnsureSlotOptions
): Effect.Effect<EnsuredSlot, PgError> =>
  Effect.gen(function* () {
    const { slotName } = options
    const startedAt = yield* nowMillis
    while (true) {
      const known = yield* readSlot(connection.query, slotName)
      if (known === undefined) {
        const created = yield* create(connection, options)
        if (created !== undefined) return { created: true, ...created, walLsn: created.confirmedFlushLsn }
      } else if (known.activePid === null || isForeign(known)) {
        const slot = yield* usable(known, slotName)
        if (options.failover === true && known.isFailover === false && !known.temporary)
          yield* makeFailover(connection.query, slotName)
        return slot
      }
      // In use, or somebody else created it just now.
      if ((yield* nowMillis) - startedAt > (options.busyMillis ?? timings.busySlotMillis)) {
        return yield* slotInUse(slotName)
      }
      yield* Effect.sleep(timings.busyPollMillis)
    }
  })

type CreatedSlot = Pick<EnsuredSlot, "confirmedFlushLsn" | "snapshotName">

/** Undefined when somebody else created it meanwhile. */
const create = (
  connection: SlotConnection,
  options: EnsureSlotOptions
): Effect.Effect<CreatedSlot | undefined, PgError> => {
  const { query, queryExporting, serverVersion } = connection
  const make = (failover: boolean) =>
    options.exportSnapshot === true
      ? createWithSnapshot(queryExporting, options, failover)
      : createSlot(query, options, failover)
  const wanted = options.failover === true && !options.temporary && serverVersion >= failoverVersion
  const made = wanted
    ? Effect.catchIf(make(true), isRefused, (error) =>
        Effect.andThen(tellNoFailover(options.slotName, error), make(false))
      )
    : make(false)
  return Effect.raceFirst(made, helpWaitingCreation(options, serverVersion)).pipe(
    Effect.catchIf(
      (error) => error.code === "42710",
      () => Effect.succeed(undefined)
    ),
    Effect.ensuring(faultEnded("BATON-SLOT-WAITS"))
  )
}

/** Slots can be copied to standbys from here on. */
const failoverVersion = 170_000

/** This server does not do it for this role, however often it is asked. */
const isRefused = (error: PgError): boolean =>
  !error.unreachable &&
  error.serverMessage !== undefined &&
  error.code !== "42710" &&
  !error.code?.startsWith("57")

const tellNoFailover = (slotName: string, { message }: PgError) =>
  reportFault("BATON-SLOT-FAILOVER", {
    message:
      `Postgres does not let the replication slot ${slotName} be copied to standbys: ${message} Everything works. After a failover shapes ` +
      "are compared with the database. Nothing is to be done if there is no standby (BATON_FAILOVER_SLOT=false says so).",
    everyMillis: noFailoverAgainMillis
  })

const noFailoverAgainMillis = 3_600_000

/** A slot of an earlier release, or of an earlier Postgres. Source: PostgreSQL documentation, "Streaming Replication Protocol". */
const makeFailover = (run: RunSql, slotName: string): Effect.Effect<void, PgError> =>
  run(`ALTER_REPLICATION_SLOT ${quoteIdentifier(slotName)} (FAILOVER true)`).pipe(
    Effect.asVoid,
    Effect.catchIf(isRefused, (error) => tellNoFailover(slotName, error))
  )

/** What `pg_replication_slots` says of the slot, `undefined` when there is none of that name. */
export const readSlot = (run: RunSql, slotName: string): Effect.Effect<SlotInfo | undefined, PgError> =>
  // As JSON because the columns differ between versions.
  Effect.map(
    run(
      "SELECT (to_jsonb(s) || jsonb_build_object('ours', s.database = current_database(), " +
        "'wal', CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END))::text AS slot " +
        `FROM pg_catalog.pg_replication_slots s WHERE slot_name = ${quoteLiteral(slotName)}`
    ),
    ([row]) => {
      const json = row === undefined ? undefined : (row as { readonly slot: string }).slot
      return json === undefined ? undefined : slotInfo(JSON.parse(json) as Readonly<Record<string, unknown>>)
    }
  )

const slotInfo = (row: Readonly<Record<string, unknown>>): SlotInfo => {
  const text = (column: string): string | null => {
    const value = row[column]
    return typeof value === "string" ? value : null
  }
  const lsn = (column: string): ServerLsn | null => parseLsn(text(column) ?? "") ?? null
  return {
    plugin: text("plugin"),
    temporary: row["temporary"] === true,
    ofThisDatabase: row["ours"] === true,
    database: text("database"),
    activePid: typeof row["active_pid"] === "number" ? row["active_pid"] : null,
    confirmedFlushLsn: lsn("confirmed_flush_lsn"),
    restartLsn: lsn("restart_lsn"),
    walStatus: text("wal_status"),
    invalidationReason: text("invalidation_reason"),
    isFailover: typeof row["failover"] === "boolean" ? row["failover"] : null,
    walLsn: lsn("wal")
  }
}

const isForeign = (slot: SlotInfo): boolean => slot.plugin !== "pgoutput" || !slot.ofThisDatabase

const whoseItIs = ({ database, plugin }: SlotInfo): string => {
  if (plugin === null) return "it is a physical one, for a standby or a backup"
  return plugin === "pgoutput"
    ? `it belongs to the database "${database}": slots are named for the whole cluster`
    : `it is of the output plugin ${plugin} (database "${database}")`
}

/** Why this slot cannot be streamed from, if so. */
export const slotProblem = (slot: SlotInfo, slotName: string): PgError | undefined => {
  if (isForeign(slot)) {
    return ownPgError(
      "config_error",
      `There is a replication slot ${slotName} that is not ours, and it is left alone: ${whoseItIs(slot)}. This does not ` +
        "heal by itself. Choose another ELECTRIC_REPLICATION_STREAM_ID for this service. Only if nobody needs that slot " +
        `any more: SELECT pg_drop_replication_slot(${quoteLiteral(slotName)});`
    )
  }
  const removed = slot.invalidationReason === "wal_removed" || slot.invalidationReason === null
  if (slot.walStatus === "lost" && removed) {
    return ownPgError(
      "database_slot_exceeded_max_size",
      `The replication slot ${slotName} needed more WAL than max_slot_wal_keep_size allows and was invalidated. A new ` +
        "slot is created and all shapes are compared with the database. Raise max_slot_wal_keep_size, or watch the retained WAL size."
    )
  }
  if (slot.invalidationReason !== null || slot.walStatus === "lost") {
    return ownPgError(
      "database_slot_invalidated",
      `Postgres has invalidated the replication slot ${slotName} (${slot.invalidationReason}). A new slot is created ` +
        "and all shapes are compared with the database."
    )
  }
  return slot.confirmedFlushLsn === null ? slotInUse(slotName) : undefined
}

const slotInUse = (slotName: string): PgError =>
  ownPgError(
    "replication_slot_in_use",
    `Another database connection is creating or using the replication slot ${slotName}. It is tried again until it ` +
      "succeeds. Find out who it is with SELECT * FROM pg_replication_slots."
  )

const usable = (slot: SlotInfo, slotName: string): Effect.Effect<EnsuredSlot, PgError> =>
  Effect.gen(function* () {
    const problem = slotProblem(slot, slotName)
    if (problem !== undefined) return yield* problem
    const confirmedFlushLsn = slot.confirmedFlushLsn ?? zeroServerLsn
    return { created: false, confirmedFlushLsn, walLsn: slot.walLsn ?? confirmedFlushLsn }
  })

/**
 * The function rather than the command CREATE_REPLICATION_SLOT, because Postgres notices the death of a client while a
 * function runs (`client_connection_check_interval`) and not while a replication command does; this one can take hours.
 */
const createSlot = (
  run: SlotConnection["query"],
  { slotName, temporary }: EnsureSlotOptions,
  failover: boolean
): Effect.Effect<CreatedSlot, PgError> =>
  run(
    `SELECT lsn AS point FROM pg_catalog.pg_create_logical_replication_slot(${quoteLiteral(slotName)}, 'pgoutput', ${temporary}${failover ? ", false, true" : ""})`
  ).pipe(
    Effect.catchIf(
      // Some providers allow only the command.
      (error) => error.kind === "permission_denied",
      () =>
        Effect.map(
          run(
            `CREATE_REPLICATION_SLOT ${quoteIdentifier(slotName)} ${temporary ? "TEMPORARY " : ""}LOGICAL pgoutput ${failover ? "(SNAPSHOT 'nothing', FAILOVER true)" : "NOEXPORT_SNAPSHOT"}`
          ),
          (rows) => rows.map((row) => ({ point: row["consistent_point"] ?? null }))
        )
    ),
    Effect.map(([row]) => ({ confirmedFlushLsn: parseLsn(row?.["point"] ?? "") ?? zeroServerLsn }))
  )

/** Only the command exports a snapshot. Source: PostgreSQL documentation, "Streaming Replication Protocol". */
const createWithSnapshot = (
  run: SlotConnection["query"],
  { slotName, temporary }: EnsureSlotOptions,
  failover: boolean
): Effect.Effect<CreatedSlot, PgError> =>
  Effect.map(
    run(
      `CREATE_REPLICATION_SLOT ${quoteIdentifier(slotName)} ${temporary ? "TEMPORARY " : ""}LOGICAL pgoutput ${failover ? "(SNAPSHOT 'export', FAILOVER true)" : "EXPORT_SNAPSHOT"}`
    ),
    ([row]) => {
      const snapshotName = row?.["snapshot_name"]
      const confirmedFlushLsn = parseLsn(row?.["consistent_point"] ?? "") ?? zeroServerLsn
      return snapshotName == null ? { confirmedFlushLsn } : { confirmedFlushLsn, snapshotName }
    }
  )

/**
 * Never ends. A creation waits for every transaction that was open when it began, and after that for a record in the
 * WAL which an idle database writes only now and then: ask for it.
 */
const helpWaitingCreation = (options: EnsureSlotOptions, serverVersion: number): Effect.Effect<never> =>
  Effect.gen(function* () {
    let canHelp = serverVersion >= 160_000
    while (true) {
      yield* Effect.sleep(Duration.millis(options.tickMillis ?? timings.slotTickMillis))
      yield* reportFault(
        "BATON-SLOT-WAITS",
        `Creating the replication slot ${options.slotName} waits for transactions that are open in the database. It goes ` +
          "on when they commit or roll back; find them with SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL."
      )
      if (!canHelp) continue
      canHelp = yield* options.admin.query(`SELECT pg_catalog.${functionForSnapshot}()::text`).pipe(
        Effect.timeout(timings.slotHelpMillis),
        Effect.as(true),
        Effect.catch((error) =>
          error._tag === "PgError" &&
          (error.kind === "permission_denied" || error.kind === "undefined_object")
            ? Effect.as(
                reportFault(
                  "BATON-SLOT-HELP",
                  `This role may not run ${functionForSnapshot}(), which would let the slot be created promptly after ` +
                    `those transactions end. On an idle database that can take longer. GRANT EXECUTE ON FUNCTION ` +
                    `${functionForSnapshot} TO the role helps.`
                ),
                false
              )
            : Effect.as(
                reportFault("BATON-SLOT-HELP", `Could not run ${functionForSnapshot}(): ${error.message}`),
                true
              )
        )
      )
    }
  })

/**
 * Drops the slot if it is one of this database and of our plugin; fine when there is none. One of somebody else is left
 * alone, which is a fatal failure. Waits up to 5 s for a walsender that is just ending.
 */
export const dropSlot = (run: RunSql, slotName: string): Effect.Effect<void, PgError> =>
  Effect.flatMap(readSlot(run, slotName), (slot) => {
    if (slot === undefined) return Effect.void
    if (isForeign(slot)) return slotProblem(slot, slotName) ?? Effect.void
    return dropOwn(run, slotName)
  })

/** The condition stands in the same statement: what was looked at may be another one by now. */
const dropOwn = (run: RunSql, slotName: string): Effect.Effect<void, PgError> =>
  run(
    "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots " +
      `WHERE slot_name = ${quoteLiteral(slotName)} AND plugin = 'pgoutput' AND database = current_database()`
  ).pipe(
    Effect.asVoid,
    Effect.retry({
      times: timings.dropRetries,
      schedule: Schedule.spaced(timings.dropRetryMillis),
      while: (error) => error.kind === "replication_slot_in_use"
    }),
    Effect.catchIf(
      (error) => error.kind === "undefined_object",
      () => Effect.void
    )
  )
