import { lstatSync, readdirSync } from "node:fs"
import * as path from "node:path"

export interface DiskUse {
  /** What the files occupy, not their length. */
  readonly bytes: number
  readonly files: number
}

export const diskUse = (directory: string): DiskUse => {
  let bytes = 0
  let files = 0
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const name = path.join(folder, entry.name)
      const stat = lstatSync(name, { throwIfNoEntry: false })
      if (stat === undefined) continue // deleted meanwhile
      bytes += stat.blocks * 512
      if (entry.isDirectory()) visit(name)
      else files++
    }
  }
  visit(directory)
  return { bytes, files }
}
