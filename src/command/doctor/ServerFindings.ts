import { pgErrorCodes } from "../../postgres/errors/PgErrorCodes.ts"
import { serverAdvice, serverProblem } from "../../postgres/ServerInfo.ts"
import type { DoctorFacts, LockSession, ServerFacts, Wanted } from "./Facts.ts"
import { advice, checkOf, type Finding, fine, problem } from "./Finding.ts"
import { findingsOf, unseenFinding, valueOf } from "./Seen.ts"

/** Whether both URLs and the stream get through. */
export const connectionFindings = ({ connections, database }: DoctorFacts): ReadonlyArray<Finding> => {
  const { main, pooled, replication } = connections
  const failures = [main, replication, pooled].flatMap((one) =>
    one?._tag === "Unseen" ? [unseenFinding("connection", one)] : []
  )
  // One thing that is wrong with both ways is said once.
  const different = failures.filter(
    (finding, i) => failures.findIndex(({ code }) => code === finding.code) === i
  )
  const reached = [
    ...(main._tag === "Seen" ? [`DATABASE_URL in ${Math.round(main.value.millis)} ms`] : []),
    ...(replication?._tag === "Seen" ? ["for replication too"] : []),
    ...(pooled?._tag === "Seen" ? ["ELECTRIC_POOLED_DATABASE_URL"] : [])
  ]
  const readOnly = valueOf(database?.server)
  return [
    ...(reached.length === 0 ? [] : [fine("connection", `Connected: ${reached.join(", ")}.`)]),
    ...different,
    ...(readOnly?.isReadOnly === true
      ? [
          problem(
            "connection",
            "BATON-DB-READONLY",
            "default_transaction_read_only is on for this role in this database: nothing can be published. Nothing heals that by itself.",
            `ALTER DATABASE ${readOnly.database} SET default_transaction_read_only = off;`
          )
        ]
      : [])
  ]
}

/** Version, wal_level, what is left of the server's limits, and its clock. */
export const serverFindings = ({ database, wanted }: DoctorFacts): ReadonlyArray<Finding> => {
  if (database === undefined) return []
  const slot = valueOf(database.slot)
  const lock = valueOf(database.lock) ?? []
  return findingsOf("server", database.server, (server) => [
    ...versionFindings(server, wanted.manual && valueOf(database.publication) !== undefined),
    walLevelFinding(server),
    ...limitFindings(server, wanted, slot?.info !== undefined, lock),
    clockFinding(server.clockAheadMillis)
  ])
}

const versionFindings = (server: ServerFacts, createsNothing: boolean): ReadonlyArray<Finding> => {
  const unfit = serverProblem(server, { createsNothing })
  const found =
    unfit === undefined || unfit.kind === "wal_level_is_not_logical"
      ? []
      : [
          problem(
            unfit.kind === "config_error" ? "server" : checkOf(pgErrorCodes[unfit.kind], "server"),
            pgErrorCodes[unfit.kind],
            unfit.message
          )
        ]
  const said = (unfit?.kind === "config_error" ? [] : serverAdvice(server)).map((text) =>
    advice("server", "BATON-DB-ADVICE", text)
  )
  const encoding =
    server.encoding === "SQL_ASCII"
      ? [
          advice(
            "server",
            "BATON-DB-ADVICE",
            "The database has the encoding SQL_ASCII: rows that are not UTF-8 cannot be passed on."
          )
        ]
      : []
  return [
    fine("server", `Postgres ${server.version}, encoding ${server.encoding}.`),
    ...found,
    ...said,
    ...encoding
  ]
}

const walLevelFinding = ({ walLevel }: ServerFacts): Finding =>
  walLevel === "logical"
    ? fine("wal_level", "wal_level is logical.")
    : problem(
        "wal_level",
        "BATON-DB-WALLEVEL",
        `wal_level is ${walLevel}, and must be logical. Set it and restart Postgres; providers have a parameter of their own for it.`,
        "ALTER SYSTEM SET wal_level = logical;"
      )

const limitFindings = (
  server: ServerFacts,
  wanted: Wanted,
  hasSlot: boolean,
  lock: ReadonlyArray<LockSession>
): ReadonlyArray<Finding> => {
  const slots = server.maxSlots - server.usedSlots
  const senders = server.maxSenders - server.usedSenders
  const connections = server.maxConnections - server.usedConnections
  const isThere = lock.length > 0
  const found: Array<Finding> = []
  const code = "BATON-DB-RESOURCES"
  if (slots <= 0 && !hasSlot && !wanted.isReplica)
    found.push(
      problem(
        "limits",
        code,
        `All ${server.maxSlots} replication slots are in use, and a start needs one. Drop one that nobody needs, or raise the limit and restart Postgres.`,
        `ALTER SYSTEM SET max_replication_slots = ${server.maxSlots + 5};`
      )
    )
  const raise = `ALTER SYSTEM SET max_wal_senders = ${server.maxSenders + 5};`
  if (senders <= 0 && !wanted.isReplica)
    found.push(
      (isThere ? advice : problem)(
        "limits",
        code,
        `All ${server.maxSenders} walsenders are in use: ${isThere ? "no instance can come up beside those that are there, as a deploy needs it" : "an instance could not connect"}. Raise the limit and restart Postgres.`,
        raise
      )
    )
  else if (senders === 1 && !isThere && !wanted.isReplica)
    found.push(
      advice(
        "limits",
        code,
        "One walsender is left: a deploy needs two for a moment, one for each instance.",
        raise
      )
    )
  if (connections < wanted.poolSize)
    found.push(
      advice(
        "limits",
        code,
        `${Math.max(0, connections)} of ${server.maxConnections} connections are left, and ELECTRIC_DB_POOL_SIZE allows ${wanted.poolSize}. Lower it, or raise max_connections and restart Postgres.`
      )
    )
  if (found.length > 0) return found
  return [
    fine(
      "limits",
      `Left: ${slots} of ${server.maxSlots} replication slots, ${senders} of ${server.maxSenders} walsenders, ${connections} of ${server.maxConnections} connections.`
    )
  ]
}

/** What instances, buckets and certificates put up with is more; people who compare logs put up with less. */
const clockMillis = 2000

const clockFinding = (aheadMillis: number): Finding => {
  const text = `The clock of the database is ${(Math.abs(aheadMillis) / 1000).toFixed(1)} s ${aheadMillis < 0 ? "behind" : "ahead of"} that of this machine`
  return Math.abs(aheadMillis) < clockMillis
    ? fine("clock", "The clocks of the database and of this machine agree.")
    : advice(
        "clock",
        undefined,
        `${text}. The service does not depend on it; times in logs do, and so do signatures of requests to a bucket. Set both by a time server.`
      )
}
