import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import { readShapeNames } from "./ShapeNames.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"

/** A line of a log that can still be read. */
const handlesPerLine = 100

/** For the operator, when the checkpoint is gone and storage no longer knows which shapes there were. Never fails. */
export const nameLostShapes = (
  paths: StoragePaths,
  warn: (message: string, code: FaultCode) => void
): void => {
  warn(
    "The checkpoint of this storage directory is missing, and part of the journal that it stands for is gone. All shapes are dropped and their clients fetch them again. Instances that share a storage directory must share the directory of its metadata, too.",
    "BATON-STORAGE-DAMAGED"
  )
  Promise.all([readShapeNames(paths), paths.disk.list(paths.shapes)]).then(
    ([names, directories]) => {
      const handles = [...new Set([...names, ...directories])]
      for (let from = 0; from < handles.length; from += handlesPerLine) {
        const some = handles.slice(from, from + handlesPerLine).join(", ")
        warn(
          `Shapes that are lost with the checkpoint, ${handles.length} in all: ${some}`,
          "BATON-STORAGE-DAMAGED"
        )
      }
    },
    (error: unknown) =>
      warn(`The shapes that are lost cannot be listed: ${String(error)}`, "BATON-STORAGE-DAMAGED")
  )
}
