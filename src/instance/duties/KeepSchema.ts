import { Effect } from "effect"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import { type SchemaFile, writeSchemaFile } from "../../storage/SchemaFiles.ts"
import type { StoragePaths } from "../../storage/disk/StorageDir.ts"
import { keepSchemaMillis } from "./DutyTimings.ts"
import type { Catalogue, TypeCatalogue } from "../../where/index.ts"

const keep = (paths: StoragePaths, file: SchemaFile, content: unknown, kept: () => void) =>
  Effect.tryPromise(() => writeSchemaFile(paths, file, content)).pipe(
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
    let keptTables: ReadonlyArray<TableInfo> = []
    let keptText = "[]"
    let keptTypes: TypeCatalogue | undefined
    while (true) {
      yield* Effect.sleep(keepSchemaMillis)
      const inUse = new Set(options.tables())
      const tables = options.inspector.all().filter((table) => inUse.has(table.oid))
      if (tables.length !== keptTables.length || tables.some((table, i) => table !== keptTables[i])) {
        const text = JSON.stringify(tables)
        if (text === keptText) keptTables = tables
        else
          yield* keep(options.paths, "tables", tables, () => {
            keptTables = tables
            keptText = text
          })
      }
      const types = options.catalogue.loaded()
      if (types !== undefined && types !== keptTypes) {
        yield* keep(options.paths, "types", types.data, () => {
          keptTypes = types
        })
      }
    }
  })
