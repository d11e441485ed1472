import { Context, Effect, Layer, type Scope } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { lookAtCatalogue } from "../postgres/catalogue/CatalogueLook.ts"
import { Inspector } from "../postgres/catalogue/Inspector.ts"
import { lookAtObjects } from "../postgres/ObjectLook.ts"
import type { Relation } from "../postgres/Relation.ts"
import { runSchemaReconciler } from "../postgres/catalogue/SchemaReconciler.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import type { ShapeState } from "../storage/state/ShapeState.ts"
import type { Decide } from "../registry/routing/DeferredRows.ts"
import {
  decideInPostgres,
  firstStatementShare,
  readyToDecide
} from "../registry/deciding/DecideInPostgres.ts"
import { settleZones } from "../registry/deciding/SettleZones.ts"
import { makeDecisionPool } from "../registry/deciding/DecisionPool.ts"
import { makeClauseMatcher, type MakeMatcher } from "../registry/routing/Matcher.ts"
import type { RegistrySession, SessionOptions } from "../registry/RegistrySession.ts"
import { SnapshotFailed } from "../registry/ShapeRegistry.ts"
import { Snapshotter } from "../registry/snapshot/Snapshotter.ts"
import { isMadeFrom } from "../shapes/MakeDefinition.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import { isAffectedBy } from "../shapes/SchemaChange.ts"
import { duties } from "../health/Duties.ts"
import { makeErrands, duty, startDuty } from "../shared/Duty.ts"
import { Publication } from "../postgres/publication/Publication.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { quoteTable, type TableName } from "../postgres/Identifiers.ts"
import type { PublicationError } from "../postgres/publication/PublicationError.ts"
import { schemaFileReader, writeSchemaFile } from "../storage/SchemaFiles.ts"
import { Storage } from "../storage/Storage.ts"
import type { StoragePaths } from "../storage/disk/StorageDir.ts"
import { Notices } from "../telemetry/Notices.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Catalogue, CheckedZones } from "../where/index.ts"
import { CatalogueAhead } from "./duties/CatalogueAhead.ts"
import { keepSchema } from "./duties/KeepSchema.ts"
import { measuredSnapshotter } from "./MeasuredSnapshotter.ts"
import { CatalogueRecord, type RecordFile } from "./duties/CatalogueRecord.ts"
import { tableWatchMillis } from "./duties/DutyTimings.ts"
import { catalogueRetryMillis } from "./InstanceTimings.ts"
import { TableNews } from "./duties/TableNews.ts"
import { watchTables } from "./duties/TableWatch.ts"

/** How long the comparison of a time zone may take, in Postgres. */
const zonesMillis = 2000

/** The stream counts time from the year 2000. */
const postgresEpochMillis = Date.UTC(2000, 0, 1)

/** What a session of the writing instance asks of the catalogue and the publication. */
export class SessionServices extends Context.Service<
  SessionServices,
  {
    /**
     * Asks the catalogue what the session will want to know first, and prepares what it will want to ask. Begin it with the lock held, just before the stream, in a
     * fiber of its own; its scope is that of the session.
     */
    readonly lookAhead: Effect.Effect<void, never, Scope.Scope>
    /** What nobody may be there to see: to be loaded with the lock held, and begun with the session. */
    readonly record: Pick<CatalogueRecord, "load" | "begin">
    /** For rows of this database. */
    readonly makeMatcher: MakeMatcher
    readonly forSession: () => Omit<SessionOptions, "engine" | "maxShapes" | "onDurable" | "prepared">
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
      const run = yield* makeErrands
      const ahead = new CatalogueAhead(inspector, engine.timers)
      const notices = new Notices()
      const record = new CatalogueRecord(config.storage === "memory" ? undefined : recordFile(engine.paths))
      const zones = new CheckedZones()
      const makeMatcher = makeClauseMatcher(config.limits, zones)
      let lastTransactionMillis = 0
      /** Tables with shapes are watched while this instance is active: what is known of them is hardly ever outdated. */
      let watched: RegistrySession["shapes"] | undefined
      /** A shape that had to go may have had to because its table has changed; on a waiting instance nothing else tells. */
      const doubt = (shape: ShapeState) => inspector.invalidate(shape.definition.table.oid)
      yield* Effect.acquireRelease(
        Effect.sync(() => engine.listeners.dropped.subscribe(doubt)),
        (unsubscribe) => Effect.sync(unsubscribe)
      )

      /** The table, if the definition still holds for it. If not, nobody is given what was known of it again. */
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

      const durable = Effect.promise(async () => engine.writer?.durable())

      /** The rows of a shape are read after this: whatever is altered from then on is found out. */
      const noteCatalogue = ({
        table: { oid },
        where
      }: ShapeDefinition): Effect.Effect<void, SnapshotFailed> => {
        const uses = where?.uses ?? []
        if (record.covers(oid, uses)) return Effect.void
        const version = inspector.serverVersionNum()
        const at = { publicationName: config.publicationName, tables: [oid], types: [] }
        return Effect.all([lookAtCatalogue(admin, at, version), lookAtObjects(admin, uses, version)]).pipe(
          Effect.mapError((error) => new SnapshotFailed({ kind: "unavailable", message: error.message })),
          Effect.flatMap(([look, objects]) => record.add(oid, look, objects))
        )
      }

      const publish = (definition: ShapeDefinition) =>
        Effect.gen(function* () {
          const { oid } = definition.table
          if (watched === undefined || watched.on(oid).size === 0) inspector.invalidate(oid)
          const table = yield* tableOf(definition)
          const generatedColumns = table.columns.some(
            ({ generated, name }) =>
              generated !== "no" &&
              (definition.columns.includes(name) || definition.whereColumns?.includes(name) === true)
          )
          yield* publication.publish(table, { generatedColumns }).pipe(
            Effect.tapError((error) => tellOperator(notices, table, error)),
            Effect.mapError(({ kind, message }) => new SnapshotFailed({ kind, message }))
          )
          // That may have taken long, and shapes that are made are only told of what comes later.
          yield* Effect.all([tableOf(definition), noteCatalogue(definition)], {
            concurrency: 2,
            discard: true
          })
        }).pipe(
          Effect.tapError(({ kind }) =>
            Effect.sync(() => {
              if (kind === "schemaChanged") inspector.invalidate(definition.table.oid)
            })
          )
        )

      const decisionServices = {
        catalogue: catalogue.get,
        tableByOid: inspector.tableByOid,
        clauseOf: (id: number) => engine.store.get(id)?.definition.where,
        pool: yield* makeDecisionPool(
          config.database,
          config,
          config.limits.decisionMillis * firstStatementShare,
          engine.timers.nowMillis
        ),
        limits: config.limits,
        nowMillis: engine.timers.nowMillis,
        losses: new Map<number, number>()
      }

      const compareZones = settleZones(zones, decisionServices.pool.query(zonesMillis))

      /** The stream waits for the answer, so it is asked for until there is one. */
      const decide: Decide = (rows, budget) =>
        decideInPostgres(decisionServices, rows, budget).pipe(
          Effect.catch((error) =>
            Effect.andThen(
              Effect.logWarning(
                `The stream waits for Postgres to evaluate conditions: ${error instanceof Error ? error.message : String(error)}. Asked again every ${catalogueRetryMillis} ms.`
              ),
              Effect.andThen(Effect.sleep(catalogueRetryMillis), decide(rows, budget))
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
          "Setting the replica identity again",
          Effect.catch(mend, (error) =>
            Effect.logWarning(`Cannot set the replica identity again: ${error.message}`)
          )
        )
      }

      const whileActive = (session: RegistrySession, beginAnew: Effect.Effect<void>) =>
        Effect.scoped(
          Effect.gen(function* () {
            const news = new TableNews({ session, inspector, catalogue, publication, beginAnew, run })
            watched = session.shapes
            yield* Effect.addFinalizer(() => Effect.sync(() => (watched = undefined)))
            yield* inspector.onChange(news.changed)
            for (const change of ahead.takeChanges()) news.changed(change)
            publication.trust(news.tables())
            yield* Effect.catch(news.checkTables, (error) => Effect.logWarning(error.message))
            const watch = watchTables({
              everyMillis: tableWatchMillis,
              admin,
              timers: engine.timers,
              publicationName: config.publicationName,
              serverVersionNum: inspector.serverVersionNum,
              record,
              tables: news.tables,
              types: news.types,
              usedObjects: () => session.shapes.usedObjects(),
              alteredObjects: (keys) => Effect.andThen(news.alteredObjects(keys), durable),
              found: (what) => Effect.andThen(news.found(what), durable)
            })
            yield* startDuty(duties.tableWatch, watch)
            if (config.storage !== "memory") {
              const keep = keepSchema({ paths: engine.paths, inspector, catalogue, tables: news.tables })
              yield* startDuty(duties.schemaMemory, keep)
            }
            yield* startDuty(duties.publicationCheck, publication.run(news.check))
            return yield* duty(
              duties.tableComparison,
              Effect.provideService(runSchemaReconciler(config.schemaReconcilerMillis), Inspector, inspector)
            )
          })
        )

      return SessionServices.of({
        lastTransactionMillis: () => lastTransactionMillis,
        record,
        lookAhead: Effect.suspend(() =>
          Effect.all(
            [ahead.begin(tablesOf(engine.store.all())), readyToDecide(decisionServices, engine.store.all())],
            {
              concurrency: "unbounded",
              discard: true
            }
          )
        ),
        makeMatcher,
        forSession: () => {
          zones.forget()
          return {
            snapshotter: measuredSnapshotter(snapshotter, engine.timers, metrics),
            makeMatcher,
            decide: (rows, budget) =>
              Effect.suspend(() => {
                if (zones.areWanted) run("Comparing time zones", compareZones)
                for (const { askAfter, askBefore } of rows)
                  if (askBefore.length + askAfter.length > 0) metrics.rowsDecidedByPostgres++
                return decide(rows, budget)
              }),
            decisionMillis: config.limits.decisionMillis,
            limits: config.limits,
            publish,
            ancestors,
            identityLost,
            onTransaction: (operations, commitTimeMicros) => {
              lastTransactionMillis = engine.timers.nowMillis()
              metrics.operationsPerTransaction.observe(operations)
              const committedMillis = Number(commitTimeMicros) / 1000 + postgresEpochMillis
              metrics.receiveLagMillis.observe(Math.max(0, engine.timers.epochMillis() - committedMillis))
            }
          }
        },
        whileActive
      })
    })
  )
}

const recordFile = (paths: StoragePaths): RecordFile => ({
  read: Effect.suspend(() => schemaFileReader(paths, "published")),
  write: (content) =>
    Effect.tryPromise(() => writeSchemaFile(paths, "published", content)).pipe(
      Effect.as(true),
      Effect.catch((error) =>
        Effect.as(
          Effect.logDebug(`What the catalogue is compared with was not kept: ${String(error.cause)}`),
          false
        )
      )
    )
})

/** Who asks for a shape of the table is told to come back: who can mend it has to know. */
const tellOperator = (
  notices: Notices,
  table: TableName,
  { advice, kind, message, reason }: PublicationError
): Effect.Effect<void> =>
  kind === "schemaChanged"
    ? Effect.void
    : notices.warn(
        `Shapes of the table ${quoteTable(table)} cannot be made: ${message}.`.replace(/([.;])\.$/, "$1") +
          `${advice === undefined ? "" : ` ${advice}`} Clients ${kind === "refused" ? "get a 400" : "are told to come back (503)"}.`,
        `${quoteTable(table)} ${reason}`
      )

/** Tables whose rows shapes are made of. */
const tablesOf = (shapes: Iterable<ShapeState>): ReadonlySet<number> => {
  const oids = new Set<number>()
  for (const { common } of shapes) {
    oids.add(common.table.oid)
    for (const leaf of common.leafOids ?? []) oids.add(leaf)
  }
  return oids
}
