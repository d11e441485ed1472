import { Effect, Scope } from "effect"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { ReplicationConnection } from "../../replication/stream/ReplicationConnection.ts"
import { journalLsn, type Lsn, parseLsn } from "../../shared/Lsn.ts"
import { openSharedSnapshot } from "../repair/SharedSnapshot.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import type { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"
import { pointMillis } from "../RegistryTimings.ts"
import { VerifyFailed } from "./VerifyFailed.ts"

/** A point of the WAL, as the journal counts, and a transaction that sees exactly what is before it. */
interface DatabasePoint {
  readonly lsn: Lsn
  readonly session: SnapshotSession
}

export interface PointServices {
  readonly snapshots: Pick<SnapshotSessions["Service"], "acquire">
  /** Gives a connection in replication mode of its own. */
  readonly connections: { readonly connect: Effect.Effect<ReplicationConnection, PgError, Scope.Scope> }
  readonly admin: Queryable
  /** Between the positions of the server and those of the journal. */
  readonly shift: () => bigint
}

/**
 * Only who makes a slot is given a snapshot that is a beginning of the stream, and told where that ends. The slot is a temporary one
 * and gone again at once: a snapshot stays as long as somebody uses it.
 */
export const takePoint = ({
  admin,
  connections,
  shift,
  snapshots
}: PointServices): Effect.Effect<DatabasePoint, PgError | VerifyFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const own = yield* Effect.scope
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const { backendPid, queryExporting } = yield* connections.connect
        // A replication command does not notice that its client is gone, and waits for transactions that are open.
        const end = Effect.ignore(admin.query(`SELECT pg_catalog.pg_terminate_backend(${backendPid})`))
        const [row] = yield* queryExporting(
          `CREATE_REPLICATION_SLOT "baton_verify_${backendPid}" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT`
        ).pipe(
          Effect.onInterrupt(() => end),
          Effect.timeoutOrElse({ duration: pointMillis, orElse: () => Effect.fail(waitsTooLong) })
        )
        const lsn = parseLsn(row?.["consistent_point"] ?? "")
        const name = row?.["snapshot_name"]
        if (lsn === undefined || name == null) return yield* noSnapshot
        return {
          lsn: journalLsn(lsn, shift()),
          session: yield* Scope.provide(openSharedSnapshot(snapshots, name), own)
        }
      })
    )
  })

const waitsTooLong = new VerifyFailed({
  message:
    "Postgres gives no snapshot whose place in the WAL is known before all transactions are over that were open: some have been for more " +
    `than ${pointMillis / 1000} s. Find them with SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL, and try again.`
})

const noSnapshot = new VerifyFailed({
  message: "Postgres gave no snapshot with a temporary replication slot."
})
