import { readWhole, writeFully, writeWhole } from "../disk/Files.ts"
import { namesFile, type StoragePaths } from "../disk/StorageDir.ts"

/** Handles that have gone stay in the file until it says so many more than there are. */
const slack = 10_000
const handlePattern = /^[0-9]+-[0-9]+$/

/**
 * Keeps the handles of the shapes in the checkpoint in a text file, a line each: `+` for one that came, `-` for one that
 * went. Nothing reads it but the search for what was lost when the checkpoint itself is, so that the operator can be told.
 */
export class ShapeNames {
  private readonly paths: StoragePaths
  private readonly epoch: number
  private pending: Array<string> = []
  private lines = 0
  private whole = false

  constructor(paths: StoragePaths, epoch: number) {
    this.paths = paths
    this.epoch = epoch
  }

  added(handle: string): void {
    this.pending.push(`+${handle}\n`)
  }

  removed(handle: string): void {
    this.pending.push(`-${handle}\n`)
  }

  /** What comes next is a checkpoint with everything in it: `added` is called for each shape. */
  beginWhole(): void {
    this.pending = []
    this.whole = false
  }

  /** Brings the file up to date with a checkpoint of the shapes `present`. Fails when the disk does. */
  async write(present: Iterable<string>, count: number): Promise<void> {
    const path = namesFile(this.paths, this.epoch)
    const lines = this.pending.splice(0)
    this.lines += lines.length
    if (this.whole && this.lines <= 2 * count + slack) {
      if (lines.length > 0) await this.append(path, lines.join(""))
      return
    }
    let text = ""
    for (const handle of present) text += `+${handle}\n`
    await writeWhole(this.paths.disk, path, text)
    this.lines = count
    this.whole = true
  }

  private async append(path: string, text: string): Promise<void> {
    const file = await this.paths.disk.openToWrite(path, "any")
    try {
      await writeFully(file, Buffer.from(text), (await file.stat()).size)
    } finally {
      await file.close()
    }
  }
}

const epochsOf = async (paths: StoragePaths): Promise<ReadonlyArray<number>> =>
  (await paths.disk.list(paths.root)).flatMap((name) => {
    const match = /^names-([0-9a-f]{8})$/.exec(name)
    return match === null ? [] : [parseInt(match[1] ?? "", 16)]
  })

/** Handles of the shapes in the newest checkpoint, as far as the file beside it can be read. */
export const readShapeNames = async (paths: StoragePaths): Promise<ReadonlySet<string>> => {
  const found = new Set<string>()
  const newest = Math.max(...(await epochsOf(paths)))
  if (!Number.isFinite(newest)) return found
  const text = (await readWhole(paths.disk, namesFile(paths, newest)))?.toString() ?? ""
  for (const line of text.split("\n")) {
    const handle = line.slice(1)
    if (!handlePattern.test(handle)) continue
    if (line.startsWith("+")) found.add(handle)
    else if (line.startsWith("-")) found.delete(handle)
  }
  return found
}

/** After a whole checkpoint of `epoch`. */
export const removeNamesBefore = async (paths: StoragePaths, epoch: number): Promise<void> => {
  for (const other of await epochsOf(paths))
    if (other < epoch) await paths.disk.remove(namesFile(paths, other))
}
