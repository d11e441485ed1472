import { readWhole } from "../disk/Files.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import { ByteBudget } from "./ByteBudget.ts"
import { type Asking, createOwn } from "./CreateOwn.ts"
import { shapeFileAt } from "./ShapeFileName.ts"

/** Chunks in memory on their way: one that is larger, because of one large row, goes alone. */
const budgetBytes = 32 << 20

/** Puts finished chunks of first rows into the bucket, each an object of its own. */
export class ChunkUploads {
  private readonly asking: Asking
  private readonly paths: StoragePaths
  private readonly budget = new ByteBudget(budgetBytes)

  constructor(asking: Asking, paths: StoragePaths) {
    this.asking = asking
    this.paths = paths
  }

  /**
   * The file `shapes/<handle>/s<k>` is whole: when this completes the bucket has it. Fails with a `BucketFault` or a `DiskFault`,
   * after about half a minute where it may pass.
   */
  async keep(path: string): Promise<void> {
    const at = shapeFileAt(this.paths, path)
    if (at === undefined) throw new Error(`${path} is no file of a shape. This is a bug.`)
    const { disk } = this.paths
    const bytes = (await disk.stat(path))?.size ?? 0
    await this.budget.during(bytes, async () => {
      const content = await readWhole(disk, path)
      if (content === undefined)
        throw new Error(`${path} was removed before it was in the bucket; the shape is made again.`)
      await createOwn(this.asking, `shapes/${at.handle}/${at.file}`, [content])
    })
  }
}
