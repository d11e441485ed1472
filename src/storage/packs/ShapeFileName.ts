import { relative, sep } from "node:path"
import type { StoragePaths } from "../disk/StorageDir.ts"

/** What the path of a file below `shapes/` says; `undefined` where it is none, or one that is still being written. */
export const shapeFileAt = (
  paths: Pick<StoragePaths, "shapes">,
  path: string
): { readonly handle: string; readonly file: string } | undefined => {
  const [handle, file, ...rest] = relative(paths.shapes, path).split(sep)
  if (handle === undefined || file === undefined || rest.length > 0 || handle.startsWith("."))
    return undefined
  return isShapeFile(file) ? { handle, file } : undefined
}

/** Chunks of first rows and of the log; not the indexes of an earlier level, nor what is not whole yet. */
export const isShapeFile = (file: string): boolean => /^[sl]\d+$/.test(file)
