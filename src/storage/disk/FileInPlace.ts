import { fstat } from "node:fs"
import { stat } from "node:fs/promises"
import { basename, dirname } from "node:path"
import { promisify } from "node:util"
import { isGone, type Sight } from "./Sight.ts"

const statOf = promisify(fstat)

/** Whether an open file has a name: without one nobody will ever read what is written to it. */
export const isLinked = async (fd: number): Promise<boolean> => {
  try {
    return (await statOf(fd)).nlink > 0
  } catch (error) {
    // Another machine has removed it.
    if (isGone(error)) return false
    throw error
  }
}

/** Whether an open file is the one that stands at `path`. */
export const isInPlace = async (sight: Sight, fd: number, path: string): Promise<boolean> => {
  try {
    // Numbers of files mean nothing on some file systems that are shared.
    if (sight.mayBeLate) return (await sight.list(dirname(path))).includes(basename(path))
    const [open, named] = await Promise.all([statOf(fd), stat(path)])
    return open.ino === named.ino
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}
