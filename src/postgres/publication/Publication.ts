import { Context, Effect, Layer, type Scope } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import type { TableInfo } from "../catalogue/TableInfo.ts"
import { AdminPool } from "../connection/Pools.ts"
import type { SessionPool } from "../connection/SessionPool.ts"
import type { PgError } from "../errors/PgError.ts"
import { traced } from "../../telemetry/otel/Traced.ts"
import { type EnsuredPublication, makeEnsureExists } from "./EnsureExists.ts"
import { type EnsuredTable, type EnsureTableOptions, makeEnsureTable } from "./EnsureTable.ts"
import type { PublicationError } from "./PublicationError.ts"
import type { PublicationReport } from "./PublicationReport.ts"
import { PublicationTables } from "./PublicationTables.ts"
import { makePublicationWatch } from "./PublicationWatch.ts"
import { Reconciler } from "./Reconcile.ts"
import { makeSettle } from "./Settle.ts"

export type { EnsuredPublication, EnsuredTable }

const defaultRemovalGraceMillis = 3_600_000
const defaultLockTimeoutMillis = 5000

/**
 * The publication of the replication stream, and the tables in it. For the active instance only: one that does not hold
 * the lock must not call what alters.
 *
 * Tables are added when a shape needs them and their replica identity is set to FULL, on the leaves of a partitioned
 * table; nothing is altered that is right already. First the identity, so that the application can always update a table
 * without primary key, then, in a transaction of its own, the membership. Tables that are asked for at the same time share these
 * transactions, as far as nobody has locked them: while locks on several tables are held, none of them is waited for. A
 * table that somebody uses, or that fails, is altered by itself. Tables are locked before the publication, so that one that has to be
 * waited for holds up no other.
 */
export class Publication extends Context.Service<
  Publication,
  {
    /**
     * Looks whether the server is fit for it at all (`ServerInfo`), and logs what an operator should know of it. Creates the
     * publication unless it is there; in manual mode as well. Repairs one of ours that lacks operations. Fails with a fatal
     * `config_error` when it is missing or incomplete and may not be created or altered. To be called after
     * each acquisition of the lock: what was known of tables from before counts no more (see `trust`).
     */
    readonly ensureExists: Effect.Effect<EnsuredPublication, PgError>
    /** Makes the table's changes be published. Concurrent calls for one table share the work. */
    readonly ensureTable: (
      table: TableInfo,
      options?: EnsureTableOptions
    ) => Effect.Effect<EnsuredTable, PublicationError>
    /**
     * Completes when no transaction is open any more that wrote to the table before it was published; from then on a
     * snapshot and the stream together hold everything. At once when that is known. `openTransaction` after the deadline.
     */
    readonly settle: (table: TableInfo, deadlineMillis?: number) => Effect.Effect<void, PublicationError>
    /** `ensureTable`, then `settle`: what has to be done before the snapshot of a shape. */
    readonly publish: (
      table: TableInfo,
      options?: EnsureTableOptions
    ) => Effect.Effect<void, PublicationError>
    /** Declares tables settled that have shapes with complete snapshots from an earlier run. */
    readonly trust: (oids: Iterable<number>) => void
    /**
     * Compares publication and replica identities with what the tables in use need, repairs what it may, and says what it
     * found; thousands of tables piece by piece. Tables that no shape has used for the grace period leave the publication. Fails only if it cannot look.
     */
    readonly reconcile: (tablesInUse: Iterable<number>) => Effect.Effect<PublicationReport, PgError>
    /** The definition of a table in use has changed, or what is below it: `run` compares within two seconds. */
    readonly tablesChanged: () => void
    /**
     * Reconciles every `publicationRefreshMillis` unless the catalogue is as it was when nothing was found, and within two
     * seconds of a change of a publication or table, for ever, whatever else happens; reports that say something go to `onReport`.
     */
    readonly run: (options: {
      readonly tablesInUse: () => Iterable<number>
      readonly onReport: (report: PublicationReport) => Effect.Effect<void>
    }) => Effect.Effect<never>
  }
>()("baton/postgres/Publication") {
  static readonly layer = Layer.effect(
    Publication,
    Effect.gen(function* () {
      return yield* makePublication(yield* AdminPool, yield* Config)
    })
  )
}

export interface PublicationOptions {
  readonly publicationName: string
  readonly manualTablePublishing: boolean
  readonly publicationAlterDebounceMillis: number
  readonly publicationRefreshMillis: number
  /** How long a table stays in the publication that no shape uses. Default one hour. */
  readonly removalGraceMillis?: number
  /** How long ALTER waits for a table at most; while it waits, others wait behind it. Default 5 s. */
  readonly lockTimeoutMillis?: number
}

export const makePublication = (
  pool: SessionPool,
  options: PublicationOptions
): Effect.Effect<Publication["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const { publicationName } = options
    const tables = new PublicationTables({
      pool,
      mode: { publicationName, manual: options.manualTablePublishing },
      lockTimeoutMillis: options.lockTimeoutMillis ?? defaultLockTimeoutMillis,
      debounceMillis: options.publicationAlterDebounceMillis,
      lookSoon: () => watch.lookSoon()
    })
    const reconciler = new Reconciler(tables, {
      graceMillis: options.removalGraceMillis ?? defaultRemovalGraceMillis,
      lookSoon: () => watch.lookSoon()
    })
    const reconcile = (tablesInUse: Iterable<number>) => reconciler.run(tablesInUse)
    const watch = makePublicationWatch({
      database: pool,
      publicationName,
      refreshMillis: options.publicationRefreshMillis,
      serverVersionNum: () => tables.serverVersionNum,
      reconcile,
      isQuiet: () => reconciler.isQuiet
    })
    const ensureTable = yield* makeEnsureTable(tables)
    const settle = yield* makeSettle(tables)
    return Publication.of({
      ensureExists: Effect.withSpan(makeEnsureExists(tables), "Publication.ensureExists"),
      ensureTable: (table, tableOptions) =>
        traced("Publication.ensureTable", ensureTable(table, tableOptions)),
      settle: (table, deadlineMillis) => traced("Publication.settle", settle(table, deadlineMillis)),
      publish: (table, tableOptions) =>
        traced("Publication.publish", Effect.andThen(ensureTable(table, tableOptions), settle(table))),
      trust: (oids) => {
        for (const oid of oids) tables.ledger.trust(oid)
      },
      reconcile: Effect.fn("Publication.reconcile")(reconcile),
      tablesChanged: watch.lookSoon,
      run: watch.run
    })
  })
