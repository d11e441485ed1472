import { statfs } from "node:fs/promises"
import { dirname } from "node:path"
import { Effect } from "effect"
import { openBucket } from "../../bucket/OpenBucket.ts"
import { probeBucket } from "../../bucket/ProbeBucket.ts"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import { currentTimers } from "../../shared/Timers.ts"
import { bucketFolder } from "../../storage/BucketStorage.ts"
import type { Disk } from "../../storage/disk/Disk.ts"
import { DiskFault } from "../../storage/disk/DiskFault.ts"
import { type StoragePaths, storagePaths } from "../../storage/disk/StorageDir.ts"
import { checkWritable, writeProblem } from "../../storage/disk/WriteCheck.ts"
import { readLevelRecord } from "../../storage/levels/LevelFile.ts"
import { ownLevels } from "../../storage/levels/Levels.ts"
import { readPresences } from "../../storage/levels/Presence.ts"
import type { BucketLook, LockSession, StorageLook } from "./Facts.ts"

const pathsOf = (config: BatonConfig): StoragePaths => {
  const { replicationStreamId, shapeDbStorageDir, storageDir } = config
  return storagePaths(
    storageDir,
    replicationStreamId,
    shapeDbStorageDir === ":memory:" ? undefined : shapeDbStorageDir
  )
}

interface Named {
  readonly variable: string
  readonly path: string
}

/** The place itself, or the nearest directory above it, in which it would be made. */
const nearest = async (disk: Disk, path: string): Promise<string> => {
  for (let at = path; ; at = dirname(at))
    if ((await disk.stat(at)) !== undefined || at === dirname(at)) return at
}

const problemOf = (directory: Named, cause: unknown): StorageLook["problem"] => {
  const code = cause instanceof DiskFault ? cause.code : ""
  const { message } = writeProblem(directory, cause)
  return { message, isPath: code === "ENOTDIR" || code === "EEXIST" }
}

/** What stands in the way of writing, as far as rights tell without writing. */
const mayWrite = async (
  paths: StoragePaths,
  directories: ReadonlyArray<Named>
): Promise<StorageLook["problem"]> => {
  const { disk } = paths
  for (const directory of directories) {
    try {
      const at = await nearest(disk, directory.path)
      if ((await disk.stat(at))?.isDirectory() !== true)
        return problemOf(directory, new DiskFault({ ...notDirectory, path: at }))
      await disk.checkAccess(at)
      for (const part of [paths.root, paths.epochs, paths.journal, paths.indexes, paths.shapes, paths.meta])
        if (part.startsWith(directory.path) && (await disk.stat(part)) !== undefined)
          await disk.checkAccess(part)
    } catch (cause) {
      return problemOf(directory, cause)
    }
  }
  return undefined
}

const notDirectory = { operation: "enter", code: "ENOTDIR", passing: false, cause: undefined } as const

/**
 * The storage directory, without changing anything in it. With `isTried` a file is written and removed, and the directory made, as
 * at a start.
 */
export const lookAtStorage = async (config: BatonConfig, isTried: boolean): Promise<StorageLook> => {
  const paths = pathsOf(config)
  const { shapeDbStorageDir, storageDir } = config
  const directories: ReadonlyArray<Named> = [
    { variable: "ELECTRIC_STORAGE_DIR", path: storageDir },
    ...(shapeDbStorageDir === undefined || shapeDbStorageDir === ":memory:"
      ? []
      : [{ variable: "ELECTRIC_SHAPE_DB_STORAGE_DIR", path: shapeDbStorageDir }])
  ]
  const found = await mayWrite(paths, directories)
  const tried = isTried && found === undefined ? await checkWritable(directories, paths) : undefined
  const problem = tried === undefined ? found : { message: tried.message, isPath: false }
  const empty = {
    problem,
    exists: false,
    wasUsed: false,
    fileSystem: 0,
    isLocal: true,
    freeBytes: 0,
    diskBytes: 0,
    level: undefined,
    newestKnownLevel: ownLevels.newest,
    raisedBy: null
  }
  if (problem !== undefined) return empty
  const { disk } = paths
  const { bavail, blocks, bsize, type } = await statfs(await nearest(disk, storageDir))
  await disk.prepare([storageDir])
  const record = await readLevelRecord(paths)
  return {
    ...empty,
    exists: (await disk.stat(storageDir)) !== undefined,
    wasUsed: (await disk.list(paths.shapes)).length > 0,
    fileSystem: type,
    isLocal: !disk.mayBeLate,
    freeBytes: bavail * bsize,
    diskBytes: blocks * bsize,
    level: record?.level,
    raisedBy: record?.raisedBy ?? null
  }
}

/** Whom the sessions that hold the lock or wait for it say that they are; as they are where storage does not say it. */
export const nameInstances = async (
  config: BatonConfig,
  sessions: ReadonlyArray<LockSession>
): Promise<ReadonlyArray<LockSession>> => {
  const presences = await readPresences(pathsOf(config))
  return sessions.map((session) => {
    const said = presences.find(({ backendPid }) => backendPid === session.pid)
    return said?.instanceId === undefined ? session : { ...session, instanceId: said.instanceId }
  })
}

/** Reads something of the bucket, or does what a start does: makes objects, reads, lists and removes them. */
export const lookAtBucket = (
  config: BatonConfig,
  bucket: NonNullable<BatonConfig["bucket"]>,
  isTried: boolean
): Effect.Effect<BucketLook, unknown> =>
  Effect.scoped(
    Effect.gen(function* () {
      const timers = yield* currentTimers
      const store = yield* openBucket(bucket, bucketFolder(config))
      return yield* Effect.tryPromise({
        try: async () => {
          if (isTried) await probeBucket(store, timers)
          for await (const { key } of store.list(""))
            if (!key.startsWith("probe/")) {
              await store.get(key, { from: 0, to: 1 })
              return { isTried, wasUsed: true }
            }
          return { isTried, wasUsed: false }
        },
        catch: (cause) => cause
      })
    })
  )
