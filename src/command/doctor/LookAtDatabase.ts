import { Effect, type Scope } from "effect"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import { isWanted } from "../../lock/LockKey.ts"
import { askDatabase } from "../../operator/gather/AskDatabase.ts"
import {
  clientOptions,
  displaySettings,
  errorSubject,
  poolOptions
} from "../../postgres/connection/ConnectionOptions.ts"
import { makeSessionPool, type Queryable } from "../../postgres/connection/SessionPool.ts"
import { readPublication } from "../../postgres/publication/PublicationState.ts"
import { readServerInfo } from "../../postgres/ServerInfo.ts"
import { openSession } from "../../replication/connection/ReplicationSession.ts"
import { readSlot } from "../../replication/connection/Slot.ts"
import { nowMillis, systemTimers } from "../../shared/Timers.ts"
import type {
  DatabaseLook,
  DoctorFacts,
  LockSession,
  OpenTransaction,
  RoleFacts,
  ServerFacts
} from "./Facts.ts"
import { lookAtStandbys } from "./LookAtStandbys.ts"
import { lookAtTables } from "./LookAtTables.ts"
import { look, lookMillis, valueOf } from "./Seen.ts"

/** Not that of instances, which others would take it for. */
const applicationName = "baton doctor"

/** Two sessions at a time: a database that is short of connections is what is to be found out. */
const openPool = (target: BatonConfig["database"], config: BatonConfig) =>
  makeSessionPool(poolOptions(target, config, { size: 2, applicationName, settings: {} }), {
    subject: errorSubject(target),
    // A look ends before: that there is no answer says more than that no session became free.
    acquireTimeoutMillis: 2 * lookMillis,
    queryTimeoutMillis: 2 * lookMillis
  })

/** In walsender mode, as the stream is; nothing is streamed, and no lock taken. */
const connectToReplicate = (config: BatonConfig) =>
  Effect.scoped(
    Effect.flatMap(
      openSession({
        client: clientOptions(config.database, config, { applicationName, settings: displaySettings }),
        subject: errorSubject(config.database),
        connectTimeoutMillis: lookMillis
      }),
      (session) => Effect.ensuring(session.query("IDENTIFY_SYSTEM"), Effect.sync(session.destroy))
    )
  )

const isSame = ({ database, pooledDatabase }: BatonConfig): boolean =>
  (["host", "port", "database", "username"] as const).every((part) => database[part] === pooledDatabase[part])

/** Both URLs and the way that replication goes, and what can be seen where it leads. It alters nothing. */
export const lookAtDatabase = (
  config: BatonConfig
): Effect.Effect<Pick<DoctorFacts, "connections" | "database">, never, Scope.Scope> =>
  Effect.gen(function* () {
    const admin = yield* openPool(config.database, config)
    const pooled = isSame(config) ? undefined : yield* openPool(config.pooledDatabase, config)
    const begun = yield* nowMillis
    const [main, replication, other] = yield* Effect.all(
      [
        look(
          "DATABASE_URL",
          Effect.andThen(
            admin.query("SELECT 1"),
            Effect.map(nowMillis, (now) => ({ millis: now - begun }))
          )
        ),
        config.role === "replica"
          ? Effect.succeed(undefined)
          : look("Connecting for replication", connectToReplicate(config)),
        pooled === undefined
          ? Effect.succeed(undefined)
          : look("ELECTRIC_POOLED_DATABASE_URL", pooled.query("SELECT 1"))
      ],
      { concurrency: "unbounded" }
    )
    const database = main._tag === "Seen" ? yield* lookInside(admin, config) : undefined
    return { connections: { main, replication, pooled: other }, database }
  })

const lookInside = (admin: Queryable, config: BatonConfig): Effect.Effect<DatabaseLook> =>
  Effect.gen(function* () {
    const { publicationName, slotName } = config
    const publication = yield* look("The publication", readPublication(admin, publicationName))
    const [server, role, tables, slot, lock, standbys] = yield* Effect.all(
      [
        look("The server", readServer(admin)),
        look("The role", readRole(admin)),
        look(
          "The tables",
          lookAtTables(admin, publicationName, valueOf(publication), config.pooledDatabase.username)
        ),
        look("The slot", readSlotLook(admin, slotName)),
        look("The lock", readLock(admin, slotName)),
        look("The standbys", lookAtStandbys(admin, slotName))
      ],
      { concurrency: 2 }
    )
    return { server, role, publication, tables, slot, lock, standbys }
  })

interface ServerRow {
  readonly read_only: string
  readonly encoding: string
  readonly now_millis: string
  readonly max_slots: number
  readonly used_slots: number
  readonly max_senders: number
  readonly used_senders: number
  readonly max_connections: number
  readonly used_connections: number
}

/** Walsenders are counted apart: they have places of their own. */
const serverSql = `SELECT current_setting('default_transaction_read_only') AS read_only,
  (SELECT pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = current_database()) AS encoding,
  (extract(epoch FROM clock_timestamp()) * 1000)::text AS now_millis,
  current_setting('max_replication_slots')::int4 AS max_slots,
  (SELECT count(*)::int4 FROM pg_replication_slots) AS used_slots,
  current_setting('max_wal_senders')::int4 AS max_senders,
  (SELECT count(*)::int4 FROM pg_stat_replication) AS used_senders,
  current_setting('max_connections')::int4 - current_setting('superuser_reserved_connections')::int4 AS max_connections,
  (SELECT count(*)::int4 FROM pg_stat_activity WHERE usesysid IS NOT NULL AND pid NOT IN (SELECT pid FROM pg_stat_replication))
    AS used_connections`

const readServer = (admin: Queryable) =>
  Effect.gen(function* () {
    const info = yield* readServerInfo(admin)
    const before = systemTimers.epochMillis()
    const rows = yield* admin.query<ServerRow>(serverSql)
    const between = (before + systemTimers.epochMillis()) / 2
    const row = rows[0]
    if (row === undefined) return yield* Effect.die(new Error("Postgres gave no row"))
    return {
      ...info,
      isReadOnly: row.read_only === "on",
      encoding: row.encoding,
      clockAheadMillis: Number(row.now_millis) - between,
      maxSlots: row.max_slots,
      usedSlots: row.used_slots,
      maxSenders: row.max_senders,
      usedSenders: row.used_senders,
      maxConnections: row.max_connections,
      usedConnections: row.used_connections
    } satisfies ServerFacts
  })

const functions = [
  "pg_current_wal_lsn",
  "pg_drop_replication_slot",
  "pg_advisory_lock",
  "pg_try_advisory_lock",
  "pg_terminate_backend",
  "pg_log_standby_snapshot"
]
const catalogues = [
  "pg_class",
  "pg_attribute",
  "pg_publication",
  "pg_publication_rel",
  "pg_replication_slots",
  "pg_stat_activity",
  "pg_locks",
  "pg_settings"
]

interface RoleRow {
  readonly superuser: boolean
  readonly replication: boolean
  readonly create: boolean
  readonly connections: number
  readonly functions: string
  readonly catalogues: string
}

const roleSql = `SELECT r.rolsuper AS superuser, r.rolreplication AS replication, r.rolconnlimit AS connections,
  has_database_privilege(current_database(), 'CREATE') AS create,
  (SELECT coalesce(json_agg(p.oid::regprocedure::text), '[]')::text FROM pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY ($1::text[]) AND NOT has_function_privilege(p.oid, 'EXECUTE'))
    AS functions,
  (SELECT coalesce(json_agg(c.relname), '[]')::text FROM pg_class c
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relname = ANY ($2::text[])
      AND NOT has_table_privilege(c.oid, 'SELECT') AND NOT has_any_column_privilege(c.oid, 'SELECT')) AS catalogues
  FROM pg_roles r WHERE r.rolname = current_user`

const readRole = (admin: Queryable) =>
  Effect.gen(function* () {
    const rows = yield* admin.query<RoleRow>(roleSql, [
      `{${functions.join(",")}}`,
      `{${catalogues.join(",")}}`
    ])
    const row = rows[0]
    if (row === undefined) return yield* Effect.die(new Error("Postgres knows no role of this name"))
    return {
      isSuperuser: row.superuser,
      mayReplicate: row.replication || row.superuser,
      mayCreate: row.create,
      connectionLimit: row.connections,
      deniedFunctions: JSON.parse(row.functions) as ReadonlyArray<string>,
      deniedCatalogues: JSON.parse(row.catalogues) as ReadonlyArray<string>
    } satisfies RoleFacts
  })

const transactionsSql = `SELECT coalesce(json_agg(json_build_object('pid', pid, 'role', usename,
    'ageSeconds', extract(epoch FROM clock_timestamp() - xact_start)) ORDER BY xact_start), '[]')::text AS json
  FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()`

const readSlotLook = (admin: Queryable, slotName: string) =>
  Effect.gen(function* () {
    const info = yield* readSlot(admin.query, slotName)
    const figures = info === undefined ? undefined : (yield* askDatabase(admin, slotName))?.slot
    const [row] = yield* admin.query<{ readonly json: string }>(transactionsSql)
    const openTransactions = JSON.parse(row?.json ?? "[]") as ReadonlyArray<OpenTransaction>
    return { info, figures, openTransactions }
  })

const lockSql = (slotName: string): string => `SELECT coalesce(json_agg(json_build_object(
    'pid', l.pid, 'isHeld', l.granted, 'role', a.usename, 'applicationName', a.application_name,
    'address', host(a.client_addr), 'since', a.backend_start, 'isWalsender', a.backend_type = 'walsender', 'state', a.state,
    'silentSeconds', extract(epoch FROM clock_timestamp() - a.state_change)
  ) ORDER BY l.granted DESC, l.pid), '[]')::text AS json
  FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE ${isWanted(slotName)}`

const readLock = (admin: Queryable, slotName: string) =>
  Effect.map(
    admin.query<{ readonly json: string }>(lockSql(slotName)),
    ([row]) => JSON.parse(row?.json ?? "[]") as ReadonlyArray<LockSession>
  )
