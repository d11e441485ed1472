import { join } from "node:path"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { fileBytes } from "../storage/JournalSize.ts"

/** Shapes looked at before other work gets its turn. */
const shapesPerTurn = 5000

/** Bytes of the checkpoint files and of the files of shapes, as far as the shapes know them: no file of theirs is looked at. */
export const shapeAndCheckpointBytes = async (engine: StorageEngine): Promise<number> => {
  let bytes = 0
  for (const name of await engine.paths.disk.list(engine.paths.meta)) {
    if (name.startsWith("meta-")) bytes += (await fileBytes(engine.paths, join(engine.paths.meta, name))) ?? 0
  }
  let seen = 0
  for (const shape of engine.store.all()) {
    for (const chunk of shape.snapshotChunks) if (chunk?._tag === "File") bytes += chunk.bytes
    for (const file of shape.files) bytes += file.bytes
    if (++seen % shapesPerTurn === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  return bytes
}
