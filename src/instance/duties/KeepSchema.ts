import { Effect } from "effect"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import { type SchemaFile, writeSchemaFile } from "../../storage/SchemaFiles.ts"
import type { StoragePaths } from "../../storage/disk/StorageDir.ts"
import { nowMillis } from "../../shared/Timers.ts"
import { keepSchemaMillis } from "./DutyTimings.ts"
import type { Catalogue, TypeCatalogue } from "../../where/index.ts"

/** With thousands of tables they are written down less often than they may change. */
const shareOfTime = 1 / 20

const keep = (paths: StoragePaths, file: SchemaFile, json: string, kept: () => void) =>
  Effect.tryPromise(() => writeSchemaFile(paths, file, json)).pipe(
    Effect.map(kept),
    Effect.catch((error) =>
      Effect.logDebug(`The description of the schema was not kept: ${String(error.cause)}`)
    )
  )

/**
 * Writes down what the catalogue says of the tables that have shapes, and of types once a condition needed them, whenever
 * that has changed: see `SchemaMemory`. Never ends; a disk that is full costs nothing but what is kept.
 */
export const keepSchema = (options: {
  readonly paths: StoragePaths
  readonly inspector: Pick<Inspector["Service"], "all">
  readonly catalogue: Pick<Catalogue["Service"], "loaded">
  /** OIDs of tables that have shapes. */
  readonly tables: () => ReadonlyArray<number>
}): Effect.Effect<never> =>
  Effect.gen(function* () {
    let keptOids: ReadonlyArray<number> | undefined
    let keptKnown: ReadonlyArray<TableInfo> | undefined
    let keptText = "[]"
    let keptTypes: TypeCatalogue | undefined
    let pauseMillis = keepSchemaMillis
    while (true) {
      yield* Effect.sleep(pauseMillis)
      pauseMillis = keepSchemaMillis
      const oids = options.tables()
      const known = options.inspector.all()
      // They are the same lists as long as nothing in them is another.
      if (oids !== keptOids || known !== keptKnown) {
        const began = yield* nowMillis
        const inUse = new Set(oids)
        const tables = known.filter((table) => inUse.has(table.oid))
        const text = JSON.stringify(tables)
        const kept = () => {
          keptOids = oids
          keptKnown = known
          keptText = text
        }
        if (text === keptText) kept()
        else yield* keep(options.paths, "tables", text, kept)
        pauseMillis = Math.max(pauseMillis, ((yield* nowMillis) - began) / shareOfTime)
      }
      const types = options.catalogue.loaded()
      if (types !== undefined && types !== keptTypes) {
        yield* keep(options.paths, "types", JSON.stringify(types.data), () => {
          keptTypes = types
        })
      }
    }
  })
