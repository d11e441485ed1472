import { join } from "node:path"
import { fileBytes } from "../JournalSize.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"

/** Bytes of the checkpoint files. */
export const checkpointBytes = async (paths: StoragePaths): Promise<number> => {
  let bytes = 0
  for (const name of await paths.disk.list(paths.meta))
    if (name.startsWith("meta-")) bytes += (await fileBytes(paths, join(paths.meta, name))) ?? 0
  return bytes
}
