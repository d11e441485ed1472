import { statfs } from "node:fs/promises"
import { checkpointBytes } from "../storage/state/StoredBytes.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import type { StoredBytes } from "./MetricsSnapshot.ts"

/** Shapes looked at before other work gets its turn. */
const shapesPerTurn = 5000

/** Bytes of the checkpoint files and of the files of shapes, as far as the shapes know them: no file of theirs is looked at. */
export const storedBytes = async (engine: StorageEngine): Promise<StoredBytes> => {
  const checkpoint = await checkpointBytes(engine.paths)
  let firstRows = 0
  let logs = 0
  let seen = 0
  for (const shape of engine.store.all()) {
    firstRows += shape.rowFileBytes
    logs += shape.logFileBytes
    if (++seen % shapesPerTurn === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  return { checkpoint, firstRows, logs }
}

/** What is left for this user on the file system of the directory; undefined where that cannot be found out. */
export const freeBytes = async (directory: string): Promise<number | undefined> => {
  const found = await statfs(directory).catch(() => undefined)
  return found === undefined ? undefined : found.bavail * found.bsize
}
