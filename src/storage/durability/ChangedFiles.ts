import { join } from "node:path"
import type { SmallFile } from "../chain/ChainObject.ts"
import { readWhole } from "../disk/Files.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import { schemaFileNames } from "../SchemaFiles.ts"

/**
 * Notices which of the small files beside the shapes this process has replaced since it was asked last. What is there when it begins
 * is known elsewhere.
 */
export class ChangedFiles {
  private readonly paths: StoragePaths
  private readonly stamps = new Map<string, string>()
  private isBegun = false

  constructor(paths: StoragePaths) {
    this.paths = paths
  }

  async begin(): Promise<void> {
    this.stamps.clear()
    this.isBegun = true
    for (const name of schemaFileNames) await this.isChanged(name)
  }

  async take(): Promise<ReadonlyArray<SmallFile>> {
    if (!this.isBegun) return []
    const changed: Array<SmallFile> = []
    for (const name of schemaFileNames) {
      if (!(await this.isChanged(name))) continue
      const content = await readWhole(this.paths.disk, join(this.paths.root, name))
      if (content !== undefined) changed.push({ name, content })
    }
    return changed
  }

  private async isChanged(name: string): Promise<boolean> {
    const stat = await this.paths.disk.stat(join(this.paths.root, name))
    const stamp = stat === undefined ? "" : `${stat.ino} ${stat.size} ${stat.mtimeMs}`
    if (this.stamps.get(name) === stamp) return false
    this.stamps.set(name, stamp)
    return stat !== undefined
  }
}
