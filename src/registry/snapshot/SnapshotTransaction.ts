import { Effect, Exit, Scope } from "effect"
import { allRowsOrNone, displaySettings } from "../../postgres/connection/ConnectionOptions.ts"
import { quoteLiteral } from "../../postgres/Identifiers.ts"
import { parseLsn, type ServerLsn } from "../../shared/Lsn.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import { type SnapshotFilter, snapshotFilter } from "../../storage/state/SnapshotFilter.ts"
import type { SnapshotSession } from "./SnapshotSession.ts"
import type { SnapshotSessions } from "./SnapshotSessions.ts"
import { beginTimeoutMillis } from "../RegistryTimings.ts"

/** Which transactions a snapshot contains, and how far the WAL had been written when it was taken. */
export interface DatabaseSnapshot {
  /** 64-bit transaction ids: all below `xmin` are contained, none from `xmax` on, nor those of `xipList`. */
  readonly xmin: bigint
  readonly xmax: bigint
  readonly xipList: ReadonlyArray<bigint>
  readonly walLsn: ServerLsn
  /** The commit records of all transactions that it contains stand before this position. */
  readonly containedBefore: ServerLsn
}

/** Which transactions it contains, by the ids that the stream has. */
export const filterOf = ({ xipList, xmax, xmin }: DatabaseSnapshot): SnapshotFilter =>
  snapshotFilter({ xmin: String(xmin), xmax: String(xmax), xipList: xipList.map(String) })

export interface SnapshotTransaction {
  readonly session: SnapshotSession
  readonly snapshot: DatabaseSnapshot
  /** `pg_class.relkind` of the table in this snapshot, `undefined` when there is no table with its OID. */
  readonly tableKind: string | undefined
  /** How many rows Postgres thinks that the table has; undefined where it has never counted them. */
  readonly rowsEstimate?: number
}

/** `xmin:xmax:xip,xip` as `pg_snapshot` prints it. */
const parsePgSnapshot = (text: string): Omit<DatabaseSnapshot, "walLsn" | "containedBefore"> | undefined => {
  const match = /^(\d+):(\d+):([\d,]*)$/.exec(text)
  if (match === null) return undefined
  const [, xmin = "", xmax = "", xip = ""] = match
  return {
    xmin: BigInt(xmin),
    xmax: BigInt(xmax),
    xipList: xip === "" ? [] : xip.split(",").map(BigInt)
  }
}

const settingsSql = Object.entries({ ...displaySettings, ...allRowsOrNone })
  .map(([name, value]) => `pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, true)`)
  .join(", ")

/** All in one message: the first statement that needs a snapshot is the one that reports it, and the rest it does besides. */
export const beginSql = (tableOid: number, statementMillis: number | undefined, first = ""): string => {
  return (
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${first}` +
    "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text, pg_catalog.pg_current_wal_lsn()::pg_catalog.text, " +
    "pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text, " +
    `(SELECT relkind FROM pg_catalog.pg_class WHERE oid = ${tableOid}), (SELECT reltuples::pg_catalog.int8 FROM pg_catalog.pg_class WHERE oid = ${tableOid}), ${settingsSql}${statementMillis === undefined ? "" : `, ${statementTimeout(statementMillis)}`}`
  )
}

/** A shorter time-out, which the role or the database has, stays. */
const statementTimeout = (millis: number): string =>
  "pg_catalog.set_config('statement_timeout', CASE WHEN pg_catalog.current_setting('statement_timeout')" +
  `::pg_catalog.interval BETWEEN '1 ms' AND '${millis} ms' THEN pg_catalog.current_setting('statement_timeout') ` +
  `ELSE '${millis}ms' END, true)`

const begin = (
  session: SnapshotSession,
  tableOid: number,
  statementMillis: number | undefined,
  locks: string | undefined
): Effect.Effect<SnapshotTransaction, PgError> =>
  Effect.flatMap(
    session.run(beginSql(tableOid, statementMillis, locks === undefined ? "" : `${locks}; `), {
      millis: beginTimeoutMillis,
      failure: noAnswer
    }),
    (results) => {
      const [snapshotText, lsnText, insertText, kind, rows] = results[locks === undefined ? 1 : 2]?.[0] ?? []
      const snapshot = parsePgSnapshot(snapshotText ?? "")
      const walLsn = parseLsn(lsnText ?? "")
      const containedBefore = parseLsn(insertText ?? "")
      if (snapshot === undefined || walLsn === undefined || containedBefore === undefined)
        return Effect.fail(unreadable)
      return Effect.succeed({
        session,
        snapshot: { ...snapshot, walLsn, containedBefore },
        tableKind: kind ?? undefined,
        ...(Number(rows ?? -1) < 0 ? {} : { rowsEstimate: Number(rows) })
      })
    }
  )

/**
 * Begins a REPEATABLE READ READ ONLY transaction with the display settings of the replication stream; it ends with
 * the scope. A session that turns out to be lost is replaced. With `statementMillis` Postgres ends statements of the
 * transaction after that time. `locks` is a statement that locks tables before the snapshot is taken: who has rewritten one
 * of them in between would otherwise have emptied it, as the snapshot shows it.
 * Source: PostgreSQL documentation, "Data Consistency Checks at the Application Level", and the caveats of MVCC.
 */
export const beginSnapshot = (
  sessions: Pick<SnapshotSessions["Service"], "acquire">,
  tableOid: number,
  statementMillis?: number,
  locks?: string
): Effect.Effect<SnapshotTransaction, PgError, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const { reused, session } = yield* Scope.provide(sessions.acquire, scope)
    const begun = begin(session, tableOid, statementMillis, locks)
    if (!reused) return yield* begun
    return yield* Effect.catch(begun, (error) =>
      session.usable
        ? Effect.fail(error)
        : Effect.andThen(
            Scope.close(scope, Exit.void),
            beginSnapshot(sessions, tableOid, statementMillis, locks)
          )
    )
  })

const noAnswer = ownPgError(
  "connection_timeout",
  `Postgres did not begin a transaction within ${beginTimeoutMillis / 1000} s. It is tried again when it is needed. If ` +
    "it keeps happening, look for load in Postgres, and at poolers and the network in between."
)

const unreadable = ownPgError(
  "unknown",
  "Postgres answered the question for its current snapshot with something else. This does not heal by itself: check " +
    "that the pooled database URL leads to Postgres 14 or later."
)
