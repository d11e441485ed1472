import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { Lsn } from "../shared/Lsn.ts"
import { ownPgError, type PgError } from "../postgres/errors/PgError.ts"
import type { RegistrySession } from "../registry/RegistrySession.ts"
import type { PassedOver } from "../replication/stream/PassOver.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import type { StreamActor } from "../replication/StreamActor.ts"
import type { ShapeStore } from "../storage/state/ShapeStore.ts"
import { isAboutData, type StreamFault } from "./StreamFaults.ts"

/**
 * Gets past a transaction that Postgres cannot give out. Where shapes need a table that it changes, and `mayCompare`, it succeeds
 * with `undefined`: shapes are to be compared with the database, by which those are dropped whose rows it still cannot give out.
 * Otherwise shapes of these tables are dropped, if there are any, the transaction is acknowledged like any other, and it succeeds
 * with where it ends. Fails with the recovery `recreateSlot` when not even its tables can be learnt.
 */
export const passOverFault = (
  services: {
    readonly replication: StreamActor["Service"]
    readonly store: ShapeStore
    readonly ancestors: (oid: number) => Effect.Effect<ReadonlyArray<number>>
  },
  connection: ReplicationConnection,
  session: RegistrySession,
  fault: StreamFault,
  mayCompare: boolean
): Effect.Effect<Lsn | undefined, PgError> =>
  Effect.gen(function* () {
    const { ancestors, replication, store } = services
    const { relations, transactions } = yield* replication
      .passOver(connection, {
        // While shapes with sub-selects are behind, it may be one that the others have got over.
        isNew: (commitLsn) =>
          commitLsn >= store.resumeLsn && (store.behindLsn !== undefined || commitLsn > store.lastCommitLsn),
        until: fault.commitLsn,
        durableLsn: () => session.sink.durableLsn(),
        shift: store.shift
      })
      .pipe(Effect.mapError((error) => (isAboutData(error) ? startOver(fault) : error)))
    const oids = new Set(relations.keys())
    for (const oid of relations.keys()) for (const ancestor of yield* ancestors(oid)) oids.add(ancestor)
    const areNeeded = Array.from(oids).some((oid) => session.shapes.needing(oid).size > 0)
    const then = areNeeded ? (mayCompare ? compared : dropped) : unneeded
    yield* reportFault("BATON-STREAM-UNREADABLE", report(fault, { relations, transactions }, then))
    if (then === compared) return undefined
    for (const [i, { commitLsn, commitTimeMicros, endLsn, xid }] of transactions.entries()) {
      session.sink.begin(commitLsn, xid, commitTimeMicros)
      if (i === transactions.length - 1)
        session.dropTables(oids, `has had a change that could not be read: ${fault.message}`)
      yield* session.sink.commit(endLsn) ?? Effect.void
    }
    return transactions.at(-1)?.endLsn ?? 0n
  })

const compared =
  "shapes are compared with the database, and those are dropped whose rows it cannot give out. This heals by itself as far as the value " +
  "that it was about is in no shape. Where it is, correct the row: the table and its column are named when a shape is dropped"
const dropped =
  "shapes of these tables are fetched again, because shapes were compared with the database for such values all too often. This heals by " +
  "itself as far as the value that it was about is in no shape. Where it is, correct the row"
const unneeded = "no shape needs it. Nothing is to be done"

const report = ({ message }: StreamFault, { relations, transactions }: PassedOver, then: string): string =>
  `Postgres cannot give out a change of transaction ${transactions.map(({ xid }) => xid).join(", ")}: ${message}. ` +
  `It is passed over, with its changes of ${[...relations.values()].join(", ")}: ${then}.`

const startOver = ({ message }: StreamFault): PgError =>
  ownPgError(
    "change_not_given",
    `Postgres cannot give out a change, nor say of which table it is: ${message}. The replication slot is created anew ` +
      "and all shapes are compared with the database. Look for a value of about a gigabyte, or one that its type cannot print."
  )
