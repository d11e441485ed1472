import { Context, Effect, Layer, type Scope } from "effect"
import { type BatonConfig, Config } from "../config/BatonConfig.ts"
import { Inspector } from "../postgres/catalogue/Inspector.ts"
import { sharedClause, type DefinitionTemplate } from "../shapes/InternDefinition.ts"
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
import { Snapshotter } from "../registry/snapshot/Snapshotter.ts"
import { SnapshotSessions } from "../registry/snapshot/SnapshotSessions.ts"
import { makeErrands } from "../shared/Duty.ts"
import { Publication } from "../postgres/publication/Publication.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { schemaFileReader, writeSchemaParts } from "../storage/SchemaFiles.ts"
import { Storage } from "../storage/Storage.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import type { StoragePaths } from "../storage/disk/StorageDir.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Catalogue, CheckedZones } from "../where/index.ts"
import { Ancestry } from "./Ancestry.ts"
import { CatalogueAhead } from "./duties/CatalogueAhead.ts"
import { sessionDuties } from "./duties/SessionDuties.ts"
import { measureStream } from "./measured/MeasuredStream.ts"
import { measuredSnapshotter } from "./measured/MeasuredSnapshotter.ts"
import { CatalogueRecord, type RecordFile } from "./duties/CatalogueRecord.ts"
import { PublishedCheck } from "./duties/PublishedCheck.ts"
import { RewriteCheck } from "./duties/RewriteCheck.ts"
import { setIdentityAgain, untilAnswered } from "./StreamQuestions.ts"
import { TableOfShape } from "./TableOfShape.ts"

/** How long the comparison of a time zone may take, in Postgres. */
const zonesMillis = 2000

/** What a session of the writing instance asks of the catalogue and the publication. */
export class SessionServices extends Context.Service<
  SessionServices,
  {
    /**
     * Asks the catalogue what the session will want to know first, and prepares what it will want to ask. Begin it with the
     * lock held, just before the stream, in a fiber of its own; its scope is that of the session.
     */
    readonly lookAhead: Effect.Effect<void, never, Scope.Scope>
    /** What nobody may be there to see: to be loaded with the lock held, and begun with the session. */
    readonly record: Pick<CatalogueRecord, "load" | "begin" | "forget">
    /** For rows of this database. */
    readonly makeMatcher: MakeMatcher
    readonly forSession: (
      /** Changes may be missing from the stream: the session ends, and shapes are compared with the database. */
      positionLost: (reason: string) => void
    ) => Omit<
      SessionOptions,
      "engine" | "maxShapes" | "moves" | "onDurable" | "prepared" | "quota" | "unreadMillis"
    > & {
      readonly moves: Omit<
        SessionOptions["moves"],
        "askForPosition" | "definedAnew" | "directories" | "inspector" | "positionLost"
      >
    }
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
      const sessions = yield* SnapshotSessions
      const admin = yield* AdminPool
      const catalogue = yield* Catalogue
      const { engine } = yield* Storage
      const metrics = yield* Metrics
      const run = yield* makeErrands
      const ahead = new CatalogueAhead(inspector, engine.timers)
      const record = new CatalogueRecord(config.storage === "memory" ? undefined : recordFile(engine.paths))
      const { serverVersionNum } = inspector
      const looks = { admin, publicationName: config.publicationName, serverVersionNum, record }
      const published = new PublishedCheck(looks)
      const rewrites = new RewriteCheck({ ...looks, inspector })
      const zones = new CheckedZones()
      const makeMatcher = makeClauseMatcher(config.limits, zones)
      yield* doubtTablesOfDropped(engine, inspector)
      const measures = yield* measureStream(engine, metrics)
      const tables = new TableOfShape({
        admin,
        inspector,
        publication,
        publicationName: config.publicationName,
        record,
        scope: yield* Effect.scope
      })

      const decisionServices = yield* makeDecisionServices(config, engine, inspector, catalogue)

      const compareZones = settleZones(zones, decisionServices.pool.query(zonesMillis))

      const decide: Decide = (rows, budget) =>
        untilAnswered(
          "Postgres to evaluate conditions",
          Effect.suspend(() => decideInPostgres(decisionServices, rows, budget))
        )

      const whileActive = (session: RegistrySession, beginAnew: Effect.Effect<void>) =>
        Effect.acquireUseRelease(
          Effect.sync(() => (tables.watched = session.shapes)),
          () =>
            sessionDuties(
              { admin, ahead, catalogue, config, engine, inspector, publication, record, rewrites, run },
              session,
              beginAnew
            ),
          () => Effect.sync(() => (tables.watched = undefined))
        )

      return SessionServices.of({
        lastTransactionMillis: measures.lastTransactionMillis,
        record,
        lookAhead: Effect.suspend(() => {
          const classes = classesOf(engine.store.byTable.templates())
          return Effect.all(
            [askAhead(engine, ahead, published, rewrites), readyToDecide(decisionServices, classes)],
            { concurrency: "unbounded", discard: true }
          )
        }),
        makeMatcher,
        forSession: (positionLost) => {
          zones.forget()
          rewrites.begin()
          const ancestry = new Ancestry({ admin, inspector, ahead })
          return {
            snapshotter: measuredSnapshotter(snapshotter, engine.timers, metrics),
            makeMatcher,
            decide: (rows, budget) =>
              Effect.suspend(() => {
                if (zones.areWanted) run("Comparing time zones", compareZones)
                let asked = 0
                for (const { askAfter, askBefore } of rows)
                  if (askBefore.length + askAfter.length > 0) asked++
                metrics.rowsDecidedByPostgres.update(asked)
                return decide(rows, budget)
              }),
            decisionMillis: config.limits.decisionMillis,
            moves: {
              sessions,
              zones,
              makeMatcher: (membership) => makeClauseMatcher(config.limits, zones, membership),
              published: published.inSnapshot(positionLost)
            },
            limits: config.limits,
            publish: (definition) => tables.publish(definition),
            ancestors: (oid, described) => untilAnswered("the catalogue", ancestry.of(oid, described)),
            published: published.beforeChange(positionLost),
            described: rewrites.beforeChange,
            identityLost: (relation) =>
              run("Setting the replica identity again", setIdentityAgain(inspector, publication, relation)),
            ...measures.ofSession
          }
        },
        whileActive
      })
    })
  )
}

/** What the stream would ask otherwise when the first changes come. */
const askAhead = (
  { store, toldLsn }: StorageEngine,
  ahead: CatalogueAhead,
  published: PublishedCheck,
  rewrites: RewriteCheck
): Effect.Effect<void, never, Scope.Scope> => {
  const { byTable } = store
  const oids = oidsOf(byTable.templates())
  const looks = [published.lookAhead(byTable.tables(), toldLsn), rewrites.lookAhead(oids, toldLsn)]
  const asked = Effect.forEach(looks, ({ ask }) => ask, { discard: true })
  return Effect.ensuring(
    ahead.begin(oids, asked),
    Effect.forEach(looks, ({ giveUp }) => giveUp, { discard: true })
  )
}

/** A shape that had to go may have had to because its table has changed; on a waiting instance nothing else tells. */
const doubtTablesOfDropped = (engine: StorageEngine, inspector: Inspector["Service"]) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      engine.listeners.dropped.subscribe(({ common, members }) => {
        inspector.invalidate(common.table.oid)
        for (const { table } of members) inspector.invalidate(table.oid)
      })
    ),
    (unsubscribe) => Effect.sync(unsubscribe)
  )

/** What Postgres is asked about conditions with, by this instance in all its turns. */
const makeDecisionServices = Effect.fnUntraced(function* (
  config: BatonConfig,
  engine: StorageEngine,
  inspector: Inspector["Service"],
  catalogue: Catalogue["Service"]
) {
  return {
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
})

const recordFile = (paths: StoragePaths): RecordFile => ({
  read: Effect.suspend(() => schemaFileReader(paths, "published")),
  write: (parts) =>
    Effect.tryPromise(() => writeSchemaParts(paths, "published", parts)).pipe(
      Effect.as(true),
      Effect.catch((error) =>
        Effect.as(
          Effect.logDebug(`What the catalogue is compared with was not kept: ${String(error.cause)}`),
          false
        )
      )
    )
})

function* classesOf(templates: Iterable<DefinitionTemplate>) {
  for (const template of templates) yield sharedClause(template)?.classification
}

/** Of tables that shapes are made of, or that their sub-selects read; and of all whose rows that are, partitions among them. */
const oidsOf = (templates: Iterable<DefinitionTemplate>): ReadonlySet<number> => {
  const oids = new Set<number>()
  const seen = new Set<ReadonlyArray<number>>()
  for (const template of templates) {
    for (const { leafOids, table } of [template.common, ...(sharedClause(template)?.members ?? [])]) {
      oids.add(table.oid)
      if (leafOids === undefined || seen.has(leafOids)) continue
      seen.add(leafOids)
      for (const leaf of leafOids) oids.add(leaf)
    }
  }
  return oids
}
