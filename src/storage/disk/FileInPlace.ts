import { basename, dirname } from "node:path"
import type { Disk, DiskFile } from "./Disk.ts"
import { isGone } from "./DiskFault.ts"

/** Whether an open file has a name: without one nobody will ever read what is written to it. */
export const isLinked = async (file: DiskFile): Promise<boolean> => {
  try {
    return (await file.stat()).nlink > 0
  } catch (error) {
    // Another machine has removed it.
    if (isGone(error)) return false
    throw error
  }
}

/** Whether an open file is the one that stands at its path. */
export const isInPlace = async (disk: Disk, file: DiskFile): Promise<boolean> => {
  const { path } = file
  try {
    // Numbers of files mean nothing on some file systems that are shared.
    if (disk.mayBeLate) return (await disk.list(dirname(path))).includes(basename(path))
    const [open, named] = await Promise.all([file.stat(), disk.stat(path)])
    return open.ino === named?.ino
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}
