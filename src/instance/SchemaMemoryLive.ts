import { Effect, Layer } from "effect"
import { SchemaMemory } from "../postgres/catalogue/SchemaMemory.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import { schemaFileReader } from "../storage/SchemaFiles.ts"
import { Storage } from "../storage/Storage.ts"

/** What the last active instance has kept in the storage directory. */
export const schemaMemoryLayer = Layer.effect(
  SchemaMemory,
  Effect.map(Storage, ({ engine: { paths } }) => {
    return {
      // Written by `keepSchema`, and not read at all when it is damaged.
      tables: Effect.map(
        schemaFileReader(paths, "tables"),
        (tables) => (tables ?? []) as ReadonlyArray<TableInfo>
      ),
      types: schemaFileReader(paths, "types")
    }
  })
)
