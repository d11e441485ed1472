import { Context, Effect, Layer, type Scope } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { Inspector } from "../postgres/Inspector.ts"
import type { Relation } from "../postgres/Relation.ts"
import { runSchemaReconciler } from "../postgres/SchemaReconciler.ts"
import type { TableChange } from "../postgres/TableChange.ts"
import type { TableInfo } from "../postgres/TableInfo.ts"
import type { PublicationReport } from "../postgres/PublicationReport.ts"
import type { ShapeState } from "../storage/ShapeState.ts"
import { decideInPostgres } from "../registry/decideInPostgres.ts"
import type { DeferredRow } from "../registry/DeferredRows.ts"
import { clauseMatcher } from "../registry/Matcher.ts"
import type { RegistrySession, SessionOptions } from "../registry/RegistrySession.ts"
import { SnapshotFailed } from "../registry/ShapeRegistry.ts"
import { Snapshotter } from "../registry/Snapshotter.ts"
import { isMadeFrom } from "../shapes/makeDefinition.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import { affectedAmong, gainedAttached, isAffectedBy } from "../shapes/SchemaChange.ts"
import { Publication } from "../postgres/Publication.ts"
import { AdminPool } from "../postgres/Pools.ts"
import { Storage } from "../storage/Storage.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Catalogue } from "../where/index.ts"
import { CatalogueAhead } from "./CatalogueAhead.ts"
import { keepSchema } from "./keepSchema.ts"
import { measuredSnapshotter } from "./measuredSnapshotter.ts"
import { watchTables } from "./TableWatch.ts"

const catalogueRetryMillis = 500
const tableWatchMillis = 2000
const attachedWithRows = "a partition with rows of its own was attached"
/** The stream counts time from the year 2000. */
const postgresEpochMillis = Date.UTC(2000, 0, 1)

/** What a session of the writing instance asks of the catalogue and the publication. */
export class SessionServices extends Context.Service<
  SessionServices,
  {
    /**
     * Asks the catalogue what the session will want to know first. Begin it with the lock held, just before the stream, in a
     * fiber of its own; its scope is that of the session.
     */
    readonly lookAhead: Effect.Effect<void, never, Scope.Scope>
    readonly forSession: () => Omit<SessionOptions, "engine" | "maxShapes" | "onDurable">
    /** Compares publication and tables with what the shapes need, for as long as the session lasts. */
    readonly whileActive: (
      session: RegistrySession,
      /** The session is of no use any more: begin another one. */
      beginAnew: Effect.Effect<void>
    ) => Effect.Effect<void>
    /** By the clock of `StorageEngine.timers`; 0 when there was none yet. */
    readonly lastTransactionMillis: () => number
  }
>()("baton/instance/SessionServices") {
  static readonly layer = Layer.effect(
    SessionServices,
    Effect.gen(function* () {
      const config = yield* Config
      const inspector = yield* Inspector
      const publication = yield* Publication
      const snapshotter = yield* Snapshotter
      const admin = yield* AdminPool
      const catalogue = yield* Catalogue
      const { engine } = yield* Storage
      const metrics = yield* Metrics
      const run = Effect.runForkWith(yield* Effect.context<never>())
      const ahead = new CatalogueAhead(inspector, engine.timers)
      let lastTransactionMillis = 0

      const tableOf = (definition: ShapeDefinition): Effect.Effect<TableInfo, SnapshotFailed> =>
        inspector.tableByOid(definition.table.oid).pipe(
          Effect.mapError((error) => new SnapshotFailed({ kind: "unavailable", message: error.message })),
          Effect.flatMap((table) =>
            table === undefined || (!isMadeFrom(definition, table) && isAffectedBy(definition, table))
              ? Effect.fail(
                  new SnapshotFailed({ kind: "schemaChanged", message: "The table has changed meanwhile" })
                )
              : Effect.succeed(table)
          )
        )

      const publish = (definition: ShapeDefinition) =>
        Effect.flatMap(tableOf(definition), (table) => {
          const generatedColumns = table.columns.some(
            (column) => column.generated !== "no" && definition.columns.includes(column.name)
          )
          return publication
            .publish(table, { generatedColumns })
            .pipe(Effect.mapError(({ kind, message }) => new SnapshotFailed({ kind, message })))
        })

      /** The stream waits for the answer, so it is asked for until there is one. */
      const decide = (relation: Relation, rows: ReadonlyArray<DeferredRow>): Effect.Effect<void> =>
        decideInPostgres(
          {
            catalogue: catalogue.get,
            tableByOid: inspector.tableByOid,
            clauseOf: (id) => engine.store.get(id)?.definition.where,
            query: (sql, parameters, timeoutMillis) =>
              admin.transaction((transaction) => transaction.query(sql, parameters.map(arrayLiteral)), {
                begin: "BEGIN READ ONLY",
                settings: { statement_timeout: String(timeoutMillis) }
              })
          },
          relation,
          rows
        ).pipe(
          Effect.catch((error) =>
            Effect.andThen(
              Effect.logWarning(
                `The stream waits for Postgres to evaluate conditions: ${error instanceof Error ? error.message : String(error)}. Asked again every ${catalogueRetryMillis} ms.`
              ),
              Effect.andThen(Effect.sleep(catalogueRetryMillis), decide(relation, rows))
            )
          )
        )

      /** Asked while the stream waits, so it does not give up. */
      const ancestors = (oid: number): Effect.Effect<ReadonlyArray<number>> =>
        Effect.suspend(() => {
          const known = ahead.answer(oid)
          if (known !== undefined) return Effect.andThen(known, inspector.tableByOid(oid))
          inspector.invalidate(oid)
          return inspector.tableByOid(oid)
        }).pipe(
          Effect.map((table) => table?.ancestorOids ?? []),
          Effect.catch((error) =>
            Effect.andThen(
              Effect.logWarning(
                `The stream waits for the catalogue: ${error.message}. Asked again every ${catalogueRetryMillis} ms.`
              ),
              Effect.andThen(Effect.sleep(catalogueRetryMillis), ancestors(oid))
            )
          )
        )

      const identityLost = (relation: Relation) => {
        const mend = Effect.gen(function* () {
          inspector.invalidate(relation.oid)
          const leaf = yield* inspector.tableByOid(relation.oid)
          // A partition is published with its root, not as a member of its own.
          const rootOid = leaf?.ancestorOids.at(-1)
          const table = rootOid === undefined ? leaf : yield* inspector.tableByOid(rootOid)
          if (table !== undefined) yield* publication.ensureTable(table)
        })
        run(
          Effect.catch(mend, (error) =>
            Effect.logWarning(`Cannot set the replica identity again: ${error.message}`)
          )
        )
      }

      /** Shapes from storage may be older than changes that nobody was there to see. */
      const checkTables = (session: RegistrySession) =>
        Effect.gen(function* () {
          for (const { oid } of session.shapes.tables()) {
            const table = yield* inspector.tableByOid(oid)
            dropAffected(session, oid, table)
            const attached = Array.from(session.shapes.on(oid)).filter(
              ({ common: { leafOids } }) =>
                table !== undefined && leafOids !== undefined && gainedAttached(leafOids, table)
            )
            session.drop(attached, attachedWithRows)
          }
        })

      const whileActive = (session: RegistrySession, beginAnew: Effect.Effect<void>) =>
        Effect.scoped(
          Effect.gen(function* () {
            const onChange = (change: TableChange) => {
              publication.tablesChanged()
              if (change._tag === "Vanished") return dropAffected(session, change.before.oid, undefined)
              const { after, difference } = change
              // Labels of an enum may be among it: clauses go by what the catalogue said when they were resolved.
              if (difference.columnsAltered.length > 0 && catalogue.loaded() !== undefined)
                run(Effect.ignore(catalogue.reload))
              session.sink.detach(after.oid, difference.leavesRemoved)
              if (difference.leavesAttached.length > 0)
                session.dropTables(new Set([after.oid]), attachedWithRows)
              else dropAffected(session, after.oid, after)
            }
            yield* inspector.onChange(onChange)
            for (const change of ahead.takeChanges()) onChange(change)
            publication.trust(session.shapes.tables().map(({ oid }) => oid))
            yield* Effect.catch(checkTables(session), (error) => Effect.logWarning(error.message))
            yield* Effect.forkScoped(
              watchTables({
                everyMillis: tableWatchMillis,
                admin,
                tables: () => session.shapes.tables().map(({ oid }) => oid),
                types: () => typesIn(inspector.all(), session.shapes.tables()),
                changed: (oid) => {
                  inspector.invalidate(oid)
                  return inspector.tableByOid(oid)
                }
              })
            )
            if (config.storage !== "memory") {
              yield* Effect.forkScoped(
                keepSchema({
                  paths: engine.paths,
                  inspector,
                  catalogue,
                  tables: () => session.shapes.tables().map(({ oid }) => oid)
                })
              )
            }
            yield* Effect.forkScoped(
              publication.run({
                tablesInUse: () => session.shapes.tables().map(({ oid }) => oid),
                onReport: (report) =>
                  Effect.andThen(
                    Effect.sync(() => dropReported(session, report, inspector.invalidate)),
                    report.isMissing ? beginAnew : Effect.void
                  )
              })
            )
            return yield* runSchemaReconciler(config.schemaReconcilerMillis).pipe(
              Effect.provideService(Inspector, inspector)
            )
          })
        )

      return SessionServices.of({
        lastTransactionMillis: () => lastTransactionMillis,
        lookAhead: Effect.suspend(() => ahead.begin(tablesOf(engine.store.all()))),
        forSession: () => ({
          snapshotter: measuredSnapshotter(snapshotter, engine.timers, metrics),
          makeMatcher: clauseMatcher,
          decide: (relation, rows) =>
            Effect.suspend(() => {
              metrics.rowsDecidedByPostgres += rows.length
              return decide(relation, rows)
            }),
          publish,
          ancestors,
          identityLost,
          onTransaction: (operations, commitTimeMicros) => {
            lastTransactionMillis = engine.timers.nowMillis()
            metrics.operationsPerTransaction.observe(operations)
            const committedMillis = Number(commitTimeMicros) / 1000 + postgresEpochMillis
            metrics.receiveLagMillis.observe(Math.max(0, engine.timers.epochMillis() - committedMillis))
          }
        }),
        whileActive
      })
    })
  )
}

/** Shapes whose changes may be missing from the stream are fetched again, even if the publication is right again. */
const dropReported = (
  session: RegistrySession,
  report: PublicationReport,
  doubt: (oid: number) => void
): void => {
  if (report.operationsLost.length > 0) session.purge("the publication did not carry all operations")
  const stale = report.tables.filter(({ problem }) => problem !== "identityNotFull").map(({ oid }) => oid)
  // Who comes back at once must not be given the table as it was.
  for (const oid of stale) doubt(oid)
  if (stale.length > 0)
    session.dropTables(new Set(stale), "its table was not published for some time, or is gone")
  if (report.generatedColumnsLost) {
    const affected: Array<ShapeState> = []
    for (const { oid } of session.shapes.tables()) {
      for (const shape of session.shapes.on(oid)) {
        const generated = new Set(
          shape.definition.tableColumns.filter((c) => c.generated === true).map((c) => c.name)
        )
        if (shape.definition.columns.some((name) => generated.has(name))) affected.push(shape)
      }
    }
    session.drop(affected, "the publication did not carry generated columns")
  }
}

/** Tables whose rows shapes are made of. */
const tablesOf = (shapes: Iterable<ShapeState>): ReadonlySet<number> => {
  const oids = new Set<number>()
  for (const { common } of shapes) {
    oids.add(common.table.oid)
    for (const leaf of common.leafOids ?? []) oids.add(leaf)
  }
  return oids
}

/** The types of the database's own make that the tables' columns have, each with the tables that have it. */
const typesIn = (
  known: ReadonlyArray<TableInfo>,
  inUse: ReadonlyArray<{ readonly oid: number }>
): ReadonlyMap<string, ReadonlyArray<number>> => {
  const oids = new Set(inUse.map(({ oid }) => oid))
  const types = new Map<string, Array<number>>()
  for (const { columns, oid } of known) {
    if (!oids.has(oid)) continue
    for (const { contents } of columns) {
      for (const type of Object.keys(contents ?? {})) {
        const tables = types.get(type)
        if (tables === undefined) types.set(type, [oid])
        else if (!tables.includes(oid)) tables.push(oid)
      }
    }
  }
  return types
}

/** A text array as Postgres reads it. */
const arrayLiteral = (texts: ReadonlyArray<string | null>): string =>
  `{${texts.map((text) => (text === null ? "NULL" : `"${text.replace(/[\\"]/g, "\\$&")}"`)).join(",")}}`

const dropAffected = (session: RegistrySession, oid: number, table: TableInfo | undefined): void => {
  const shapes = session.shapes.on(oid)
  const affected = table === undefined ? Array.from(shapes) : affectedAmong(shapes, table)
  if (affected.length > 0) {
    session.drop(
      affected,
      table === undefined ? "its table is gone" : "the definition of its table has changed"
    )
  }
}
