import type { ComplaintTopic } from "../ComplaintTopics.ts"
import { crc32 } from "node:zlib"
import { dirname } from "node:path"
import { BoundedMap } from "../../shared/BoundedMap.ts"
import { BucketFault } from "../../bucket/BucketFault.ts"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { DiskFile } from "../disk/Disk.ts"
import { DamagedFile } from "../disk/FileIntegrity.ts"
import type { FileOrigin } from "../disk/FileOrigin.ts"
import { allDone, makeDirectories, writeFully } from "../disk/Files.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import { forgetFailureMillis } from "../StorageTimings.ts"
import { ByteBudget } from "./ByteBudget.ts"
import { patiently } from "./CreateOwn.ts"
import { type Stretch, whereIs } from "./Extents.ts"
import { shapeFileAt } from "./ShapeFileName.ts"

/** Asked for at a time, and in memory at a time, over all files. */
const rangeBytes = 8 << 20
const budgetBytes = 64 << 20
const readBackBytes = 256 * 1024
/** A client is waiting: after a second and a half it is told. */
const tries = 4
/** A copy that turns out wrong so often after it was right when it was fetched will be so the next time. */
const mostLosses = 3
const rememberedLosses = 10_000

interface FetcherOptions {
  readonly store: ObjectStore
  readonly paths: StoragePaths
  readonly timers: Timers
  readonly shapeOf: (handle: string) => ShapeState | undefined
  /** A copy is being read, or stands there now and is so long. */
  readonly onUsed: (path: string, bytes?: number) => void
  readonly onTrouble: (topic: ComplaintTopic, message: string) => void
}

/** Bytes of an object, and where in the file they belong. */
interface Part extends Stretch {
  readonly position: number
}

type Whereabouts = NonNullable<ReturnType<typeof whereIs>>

/**
 * Fetches files of shapes from a bucket. A copy takes its place at once, whole and checked, so other processes that work in the same
 * directory may do the same; of those who ask here for one file, all wait for the same copy.
 */
export class FileFetcher implements FileOrigin {
  private readonly options: FetcherOptions
  private readonly fetching = new Map<string, Promise<void>>()
  private readonly budget = new ByteBudget(budgetBytes)
  private readonly losses = new BoundedMap<string, { count: number; readonly sinceMillis: number }>(
    rememberedLosses
  )
  private fetched = 0

  constructor(options: FetcherOptions) {
    this.options = options
  }

  /** Fails with a `BucketFault` while the bucket cannot be reached. */
  readonly fetch = (path: string): Promise<void> => {
    const known = this.fetching.get(path)
    if (known !== undefined) return known
    const fetching = this.bring(path).finally(() => this.fetching.delete(path))
    this.fetching.set(path, fetching)
    return fetching
  }

  readonly used = (path: string): void => this.options.onUsed(path)

  readonly discard = async (path: string, ino?: number): Promise<void> => {
    const { onTrouble, paths, timers } = this.options
    const found = await paths.disk.stat(path)
    // Another reader of the same copy has been here before.
    if (found === undefined || (ino !== undefined && found.ino !== ino)) return
    const nowMillis = timers.nowMillis()
    const known = this.losses.get(path)
    if (known !== undefined && nowMillis - known.sinceMillis < forgetFailureMillis) known.count++
    else this.losses.set(path, { count: 1, sinceMillis: nowMillis })
    onTrouble(
      "copy",
      `${path} is damaged. It is a copy, which is removed, and fetched when it is read next. Check the disk if this happens again.`
    )
    await paths.disk.remove(path)
  }

  private where(path: string): Whereabouts {
    const { paths, shapeOf } = this.options
    const at = shapeFileAt(paths, path)
    const shape = at === undefined ? undefined : shapeOf(at.handle)
    const where = at === undefined || shape === undefined ? undefined : whereIs(shape, at.file)
    if (where !== undefined) return where
    throw new DamagedFile(path, "it is missing, and not in the bucket", { isShort: true, isAtOrigin: true })
  }

  private async bring(path: string): Promise<void> {
    const { onUsed } = this.options
    const { count = 0 } = this.losses.get(path) ?? {}
    if (count >= mostLosses)
      throw new DamagedFile(path, `it was fetched ${count} times, and this disk did not keep it`, {
        isAtOrigin: true
      })
    for (;;) {
      const where = this.where(path)
      try {
        await this.download(path, where)
        return onUsed(path, where.bytes)
      } catch (error) {
        if (!(error instanceof DamagedFile)) throw error
        // It has moved meanwhile: what was looked for is not where it was, and need not be.
        if (isSame(where, this.where(path))) throw error
      }
    }
  }

  private async download(path: string, where: Whereabouts): Promise<void> {
    const { disk } = this.options.paths
    const temporary = `${path}.${process.pid}-${this.fetched++}.tmp`
    await makeDirectories(disk, dirname(path))
    const file = await disk.openToWrite(temporary, "empty")
    let isWhole = false
    try {
      await this.fill(path, file, partsOf(where.stretches))
      if ((await checksumOf(file, where.bytes)) !== where.crc)
        throw new DamagedFile(path, `its checksum is wrong in ${this.namesOf(where)}, too`, {
          isAtOrigin: true
        })
      isWhole = true
    } finally {
      await file.close()
      if (!isWhole) await disk.remove(temporary)
    }
    await disk.rename(temporary, path)
  }

  private async fill(path: string, file: DiskFile, parts: ReadonlyArray<Part>): Promise<void> {
    const { store, timers } = this.options
    // What has failed once fails as a whole: the rest is not asked for.
    let hasFailed = false
    const asking = { store, timers, isOver: () => hasFailed, tries }
    const fetchPart = async ({ from, key, position, to }: Part): Promise<void> => {
      if (hasFailed) return
      try {
        const bytes = await patiently(asking, () => store.get(key, { from, to }))
        if (bytes?.length !== to - from) throw await missing(store, path, { key, from, to })
        await writeFully(file, bytes, position)
      } catch (error) {
        hasFailed = true
        throw error
      }
    }
    await allDone(parts.map((part) => this.budget.during(part.to - part.from, () => fetchPart(part))))
  }

  private namesOf({ stretches }: Whereabouts): string {
    const keys = Array.from(new Set(stretches.map(({ key }) => key)))
    return `${this.options.store.name} (${keys.join(", ")})`
  }
}

/** What it means that a bucket does not have some bytes: where nothing at all is left, it is not the shape that is damaged. */
const missing = async (
  store: ObjectStore,
  path: string,
  { from, key, to }: Stretch
): Promise<DamagedFile | BucketFault> => {
  const object = `${store.name}/${key}`
  for await (const _ of store.list("wal/"))
    return new DamagedFile(path, `${object} is missing, or does not have its bytes ${from} to ${to}`, {
      isShort: true,
      isAtOrigin: true
    })
  return new BucketFault({
    operation: "read",
    object,
    kind: "noBucket",
    said: "it is missing, and so is everything else"
  })
}

const isSame = (a: Whereabouts, b: Whereabouts): boolean => JSON.stringify(a) === JSON.stringify(b)

/** Stretches that follow each other in an object are asked for together, and long ones in several parts. */
const partsOf = (stretches: ReadonlyArray<Stretch>): ReadonlyArray<Part> => {
  const parts: Array<Part> = []
  let position = 0
  for (const { key, ...stretch } of stretches) {
    for (let { from } = stretch; from < stretch.to;) {
      const last = parts.at(-1)
      const room = last?.key === key && last.to === from ? rangeBytes - (last.to - last.from) : 0
      const bytes = Math.min(stretch.to - from, room > 0 ? room : rangeBytes)
      if (last !== undefined && room > 0) parts[parts.length - 1] = { ...last, to: from + bytes }
      else parts.push({ key, from, to: from + bytes, position })
      from += bytes
      position += bytes
    }
  }
  return parts
}

/** Of the file as the disk gives it back; `undefined` when it is shorter. */
const checksumOf = async (file: DiskFile, bytes: number): Promise<number | undefined> => {
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(readBackBytes, bytes)))
  let crc = 0
  for (let at = 0; at < bytes;) {
    const bytesRead = await file.read(buffer, 0, Math.min(buffer.length, bytes - at), at)
    if (bytesRead === 0) return undefined
    crc = crc32(buffer.subarray(0, bytesRead), crc)
    at += bytesRead
  }
  return crc
}
