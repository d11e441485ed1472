import { listDirectory, type StoragePaths } from "./StorageDir.ts"

/** For the operator, when storage itself no longer knows which shapes there were. Never fails. */
export const nameLostShapes = (paths: StoragePaths, warn: (message: string) => void): void => {
  listDirectory(paths.shapes).then(
    (handles) => {
      if (handles.length > 0) warn(`Shapes that are lost, as far as they had files: ${handles.join(", ")}`)
    },
    (error: unknown) => warn(`The shapes that are lost cannot be listed: ${String(error)}`)
  )
}
