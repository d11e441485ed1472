import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import { duties } from "../../health/Duties.ts"
import { Inspector } from "../../postgres/catalogue/Inspector.ts"
import { runSchemaReconciler } from "../../postgres/catalogue/SchemaReconciler.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { Publication } from "../../postgres/publication/Publication.ts"
import type { RegistrySession } from "../../registry/RegistrySession.ts"
import { duty, type RunErrand, startDuty } from "../../shared/Duty.ts"
import { settledIn } from "../../storage/NotWriting.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { Catalogue } from "../../where/index.ts"
import type { CatalogueAhead } from "./CatalogueAhead.ts"
import type { CatalogueRecord } from "./CatalogueRecord.ts"
import { tableWatchMillis } from "./DutyTimings.ts"
import { keepSchema } from "./KeepSchema.ts"
import type { RewriteCheck } from "./RewriteCheck.ts"
import { watchSlot } from "./SlotWatch.ts"
import { TableNews } from "./TableNews.ts"
import { watchTables } from "./TableWatch.ts"

interface SessionDutiesServices {
  readonly admin: Queryable
  readonly ahead: CatalogueAhead
  readonly catalogue: Catalogue["Service"]
  readonly config: BatonConfig
  readonly engine: StorageEngine
  readonly inspector: Inspector["Service"]
  readonly publication: Publication["Service"]
  readonly record: CatalogueRecord
  readonly rewrites: RewriteCheck
  readonly run: RunErrand
}

/**
 * Compares publication and tables with what the shapes of a session need, and drops those that have to go, for as long as
 * the session lasts. `beginAnew` is run when it is of no use any more.
 */
export const sessionDuties = (
  services: SessionDutiesServices,
  session: RegistrySession,
  beginAnew: Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { admin, ahead, catalogue, config, engine, inspector, publication, record, rewrites, run } =
        services
      // In the journal, because the next holder of the lock may be another instance.
      const positionLost = (reason: string) =>
        Effect.gen(function* () {
          yield* reportFault(
            "BATON-PUBLICATION-ALTERED",
            `Changes may be missing from the stream: ${reason}. All shapes are compared with the database now.`
          )
          engine.writing?.write({ t: "slotLost" })
          yield* settledIn(engine)
          yield* beginAnew
        })
      const news = new TableNews({ session, inspector, catalogue, publication, beginAnew, positionLost, run })
      yield* inspector.onChange(news.changed)
      for (const change of ahead.takeChanges()) news.changed(change)
      rewrites.hears(news)
      publication.trust(news.tables())
      // Only what is taken care of is written down as seen: the next holder would not look for it again.
      const settled = settledIn(engine)
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
        alteredObjects: (keys) => Effect.andThen(news.alteredObjects(keys), settled),
        isBeingCompared: session.isBeingCompared,
        found: (what) => Effect.andThen(news.found(what), settled)
      })
      yield* startDuty(duties.tableWatch, watch)
      if (config.storage !== "memory") {
        const keep = keepSchema({ paths: engine.paths, inspector, catalogue, tables: news.tables })
        yield* startDuty(duties.schemaMemory, keep)
      }
      yield* startDuty(duties.slotWatch, watchSlot(admin, config.slotName))
      yield* startDuty(duties.publicationCheck, publication.run(news.check))
      return yield* duty(
        duties.tableComparison,
        Effect.provideService(runSchemaReconciler(config.schemaReconcilerMillis), Inspector, inspector)
      )
    })
  )
