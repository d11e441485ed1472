import { Effect } from "effect"
import { explainedPgError } from "./errors/ClassifyPgError.ts"
import type { PgError } from "./errors/PgError.ts"
import { losesChangesOfAddedTables } from "./publication/AlterPublication.ts"
import type { Queryable } from "./connection/SessionPool.ts"

/** What is fixed about a server as long as it is not restarted, and who we are there. */
export interface ServerInfo {
  /** `server_version_num`, e.g. 180004. */
  readonly versionNum: number
  /** As people say it, e.g. `18.4`. */
  readonly version: string
  readonly walLevel: string
  /** A standby, or a primary that is not promoted yet: nothing can be created there. */
  readonly isInRecovery: boolean
  readonly role: string
  readonly database: string
}

interface ServerRow {
  readonly version_num: number
  readonly version: string
  readonly wal_level: string
  readonly in_recovery: boolean
  readonly role: string
  readonly database: string
}

export const readServerInfo = (database: Queryable): Effect.Effect<ServerInfo, PgError> =>
  Effect.flatMap(
    database.query<ServerRow>(
      `SELECT current_setting('server_version_num')::int4 AS version_num,
         current_setting('server_version') AS version,
         current_setting('wal_level') AS wal_level,
         pg_is_in_recovery() AS in_recovery,
         current_user::text AS role, current_database()::text AS database`
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
            database: row.database
          })
  )

const oldestVersionNum = 140000

/**
 * The first thing about the server that rules out working with it, as the failure that it would lead to. On a standby tables
 * cannot be published: `createsNothing` says that somebody else does that.
 */
export const serverProblem = (
  server: ServerInfo,
  { createsNothing }: { readonly createsNothing: boolean }
): PgError | undefined => {
  if (server.versionNum < oldestVersionNum) {
    return explainedPgError("config_error", `Postgres 14 or later is needed, and this is ${server.version}`)
  }
  if (server.isInRecovery && !createsNothing) {
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
