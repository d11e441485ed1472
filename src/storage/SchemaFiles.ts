import { join } from "node:path"
import { promisify } from "node:util"
import { gunzip, gzip } from "node:zlib"
import { Effect } from "effect"
import { readWhole, writeWhole } from "./disk/Files.ts"
import type { StoragePaths } from "./disk/StorageDir.ts"
import { type JsonPart, packParts } from "./records/JsonParts.ts"

/**
 * `tables`: what the catalogue says of tables with shapes. `types`: types, operators and functions for conditions.
 * `published`: how the tables are published.
 */
export type SchemaFile = "tables" | "types" | "published"

const nameOf = (file: SchemaFile): string => `${file}.json.gz`
const pathOf = (paths: StoragePaths, file: SchemaFile): string => join(paths.root, nameOf(file))

/** Their names in the storage directory. */
export const schemaFileNames: ReadonlySet<string> = new Set(
  (["tables", "types", "published"] satisfies ReadonlyArray<SchemaFile>).map(nameOf)
)

/**
 * Keeps what the catalogue said beside the shapes, for instances that start while the database is down, and to compare with
 * it later. Only the holder of the lock writes, but nothing depends on it: without the file, what the catalogue says now
 * takes its place.
 * A reader sees the earlier file or the new one. Fails when the disk does.
 */
export const writeSchemaFile = async (paths: StoragePaths, file: SchemaFile, json: string): Promise<void> => {
  await writeWhole(paths.disk, pathOf(paths, file), await promisify(gzip)(json))
}

/** The same of a text in parts, of which most have been written before. */
export const writeSchemaParts = async (
  paths: StoragePaths,
  file: SchemaFile,
  parts: ReadonlyArray<JsonPart>
): Promise<void> => {
  await writeWhole(paths.disk, pathOf(paths, file), await packParts(parts))
}

/** Reads the file anew when it has changed since the last time; `undefined` when it is not there or damaged. */
export const schemaFileReader = (paths: StoragePaths, file: SchemaFile): Effect.Effect<unknown> => {
  const path = pathOf(paths, file)
  let readAt: string | undefined
  let content: unknown
  const read = Effect.tryPromise(async (): Promise<unknown> => {
    const found = await paths.disk.stat(path)
    if (found === undefined) return undefined
    const version = `${found.ino} ${found.mtimeMs} ${found.size}`
    if (version === readAt) return content
    // The checksum of the compressed form tells damage apart.
    content = JSON.parse(
      (await promisify(gunzip)((await readWhole(paths.disk, path)) ?? "")).toString("utf8")
    )
    readAt = version
    return content
  })
  // Not read is as good as not there: nothing depends on it.
  return Effect.orElseSucceed(read, () => undefined)
}
