import { join } from "node:path"
import type { Timers } from "../../shared/Timers.ts"
import { isGone } from "../disk/DiskFault.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import { whereIs } from "./Extents.ts"
import { isShapeFile } from "./ShapeFileName.ts"

/** What others have put there, or written to, is seen by looking: not more often, and not for more than a fiftieth of the time. */
const lookMillis = 60_000
const looksShare = 50
/** Where there is too much, so much of what may stay is left. */
const keptShare = 0.9
/** What no shape is known for, or was never finished, is left alone for so long: its writer may be at it. */
const strayMillis = 600_000

interface Copy {
  readonly handle: string
  readonly file: string
  bytes: number
  /** By the machine's clock, since 1970: when this process has last opened it, or when it was written. */
  usedMillis: number
}

interface CacheOptions {
  readonly paths: StoragePaths
  readonly timers: Timers
  /** So much may all of them take. */
  readonly bytes: number
  readonly shapeOf: (handle: string) => ShapeState | undefined
  /** Which shapes there are is known. */
  readonly isLoaded: () => boolean
}

/**
 * The files of shapes in the directory, as copies of what stands in the bucket: where they are too many, those go that were not used
 * for longest. Never one that the bucket does not have: first rows that are being written, or pieces on their way. Of what other
 * processes read here it does not know: for those it counts when a file was fetched or written. A file that is being read stays
 * readable.
 */
export class FileCache {
  private readonly options: CacheOptions
  private copies = new Map<string, Copy>()
  private bytes = 0
  private lookAgainAtMillis = -Infinity

  constructor(options: CacheOptions) {
    this.options = options
  }

  /** Of all copies, as far as they are known. */
  get totalBytes(): number {
    return this.bytes
  }

  /** A file of a shape is being read, or has been fetched and is so long. */
  used(path: string, bytes?: number): void {
    const copy = this.copies.get(path)
    if (copy === undefined) {
      // The next look finds it.
      this.bytes += bytes ?? 0
      return
    }
    copy.usedMillis = this.options.timers.epochMillis()
    if (bytes === undefined) return
    this.bytes += bytes - copy.bytes
    copy.bytes = bytes
  }

  /** Makes room where there is too little. To be called every few seconds; one call at a time. Fails with a `DiskFault`. */
  async round(): Promise<void> {
    const { bytes, isLoaded, timers } = this.options
    if (!isLoaded()) return
    const beganMillis = timers.nowMillis()
    if (beganMillis < this.lookAgainAtMillis && this.bytes <= bytes) return
    await this.look()
    const tookMillis = timers.nowMillis() - beganMillis
    this.lookAgainAtMillis = timers.nowMillis() + Math.max(lookMillis, looksShare * tookMillis)
    if (this.bytes > bytes) await this.makeRoom(bytes * keptShare)
  }

  private async look(): Promise<void> {
    const { paths, shapeOf, timers } = this.options
    const { disk } = paths
    const known = this.copies
    const found = new Map<string, Copy>()
    let bytes = 0
    const oldMillis = timers.epochMillis() - strayMillis
    for (const handle of await disk.list(paths.shapes)) {
      const directory = join(paths.shapes, handle)
      const inside: Array<readonly [string, Copy]> = []
      let newestMillis = -Infinity
      for (const file of await disk.list(directory)) {
        const path = join(directory, file)
        const state = await disk.stat(path)
        if (state === undefined) continue
        newestMillis = Math.max(newestMillis, state.mtimeMs)
        const usedMillis = Math.max(state.mtimeMs, known.get(path)?.usedMillis ?? 0)
        if (isShapeFile(file)) inside.push([path, { handle, file, bytes: state.size, usedMillis }])
        else if (file.endsWith(".tmp") && state.mtimeMs < oldMillis) await disk.remove(path)
      }
      if (shapeOf(handle) === undefined && newestMillis > -Infinity && newestMillis < oldMillis) {
        await disk.removeTree(directory)
        continue
      }
      for (const [path, copy] of inside) {
        found.set(path, copy)
        bytes += copy.bytes
      }
    }
    this.copies = found
    this.bytes = bytes
  }

  private async makeRoom(enoughBytes: number): Promise<void> {
    const { paths, shapeOf } = this.options
    for (const [path, { bytes, file, handle }] of this.inOrderOfUse()) {
      if (this.bytes <= enoughBytes) return
      const shape = shapeOf(handle)
      // Nobody reads what belongs to no shape.
      if (shape !== undefined && whereIs(shape, file) === undefined) continue
      try {
        await paths.disk.remove(path)
      } catch (error) {
        if (!isGone(error)) throw error
      }
      this.copies.delete(path)
      this.bytes -= bytes
    }
  }

  private inOrderOfUse(): ReadonlyArray<readonly [string, Copy]> {
    return Array.from(this.copies).toSorted(([, a], [, b]) => a.usedMillis - b.usedMillis)
  }
}
