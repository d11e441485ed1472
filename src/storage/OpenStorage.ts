import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { existsSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Deferred, Effect } from "effect"
import type { BucketFault } from "../bucket/BucketFault.ts"
import { openBucket } from "../bucket/OpenBucket.ts"
import type { BatonConfig } from "../config/BatonConfig.ts"
import type { BucketConfig } from "../config/BucketConfig.ts"
import { duties } from "../health/Duties.ts"
import { makeErrands, startDuty } from "../shared/Duty.ts"
import { currentTimers } from "../shared/Timers.ts"
import { tellOfBucket } from "./BucketLog.ts"
import { bucketFolder, openBucketStorage } from "./BucketStorage.ts"
import type { ChainBroken } from "./chain/ChainBroken.ts"
import type { Disk } from "./disk/Disk.ts"
import { type DiskFault, fromDisk } from "./disk/DiskFault.ts"
import { storagePaths } from "./disk/StorageDir.ts"
import type { BucketDurability } from "./durability/BucketDurability.ts"
import type { Mirror } from "./mirror/Mirror.ts"
import { followTail } from "./tail/TailClient.ts"
import type { TailReader } from "./tail/TailReader.ts"
import type { EngineOptions } from "./EngineOptions.ts"
import { StorageEngine } from "./StorageEngine.ts"
import { StorageUnusable } from "./StorageUnusable.ts"
import { bucketPositionMillis } from "./StorageTimings.ts"

/** Memory for the latest bytes of the journal. */
const recentBytes = 32 << 20

/** Where storage stands. */
export interface StoragePlace {
  readonly isMemory: boolean
  readonly directory: string
  readonly metaDir: string | undefined
  readonly streamId: string
}

export const placeOf = (config: BatonConfig): StoragePlace => {
  const isMemory = config.storage === "memory"
  const { shapeDbStorageDir } = config
  return {
    isMemory,
    directory: isMemory ? memoryDirectory() : config.storageDir,
    metaDir: isMemory || shapeDbStorageDir === ":memory:" ? undefined : shapeDbStorageDir,
    streamId: config.replicationStreamId
  }
}

const memoryDirectory = (): string =>
  mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "baton-"))

/** An engine, and what fills its directory before it is loaded. */
export interface OpenedStorage {
  readonly engine: StorageEngine
  readonly fill: Effect.Effect<void, StorageUnusable>
  /** See `Storage.writerUrl`. */
  readonly writerUrl: () => string | undefined
}

const nobodySays = () => undefined

/** What an engine is made of besides the configuration. */
type Parts = Pick<
  EngineOptions,
  "paths" | "durability" | "bucket" | "bucketStatus" | "chain" | "cacheBytes" | "positionMillis"
>

/** The engine on its directory, or on a copy of what is in a bucket. Closed with the scope. */
export const openStorage = Effect.fnUntraced(function* (
  config: BatonConfig,
  place: StoragePlace,
  disk: Disk
) {
  const { bucket, storageMirror } = config
  if (bucket !== undefined && storageMirror === undefined)
    return yield* openMirror(config, bucket, place, disk)
  const { directory, metaDir, streamId } = place
  const paths = storagePaths(directory, streamId, metaDir, disk, storageMirror)
  // With a bucket the main process of this one keeps the directory up to date, and only files of shapes are fetched here.
  const parts: Parts =
    bucket === undefined ? { paths } : { paths, bucket: yield* openBucket(bucket, bucketFolder(config)) }
  const engine = yield* openEngine(config, place, parts)
  const opened: OpenedStorage = { engine, fill: Effect.void, writerUrl: nobodySays }
  return opened
})

const openMirror = Effect.fnUntraced(function* (
  config: BatonConfig,
  bucket: BucketConfig,
  place: StoragePlace,
  disk: Disk
) {
  const run = yield* makeErrands
  const filled = yield* Deferred.make<void>()
  let made: StorageEngine | undefined
  const parts = yield* openBucketStorage({
    config,
    bucket,
    disk,
    metaDir: place.metaDir,
    warn: (message, code) => run("A line of the log", reportFault(code, message)),
    engine: () => made
  }).pipe(
    Effect.mapError(
      (cause) =>
        new StorageUnusable({
          reason: "cannotWrite",
          message: `The directory ${place.directory} cannot be used for a copy of the bucket: ${cause.message}. Then start again.`,
          cause
        })
    )
  )
  const { chain, durability, mirror, paths, status, store } = parts
  const engine = yield* openEngine(config, place, {
    paths,
    durability,
    bucket: store,
    bucketStatus: status,
    chain,
    cacheBytes: bucket.cacheBytes,
    positionMillis: bucketPositionMillis
  })
  made = engine
  // The start itself says why it cannot be used, if it cannot.
  yield* startDuty(duties.bucket, Effect.andThen(Deferred.await(filled), tellOfBucket(status)))
  yield* startDuty(duties.mirror, Effect.andThen(Deferred.await(filled), mirror.run))
  if (bucket.tailSecret !== undefined)
    yield* startDuty(
      duties.tail,
      Effect.andThen(
        Deferred.await(filled),
        followTail(readerOf(mirror, durability, engine), bucket.tailSecret)
      )
    )
  const opened: OpenedStorage = {
    engine,
    fill: Effect.andThen(
      Effect.mapError(parts.fill, bucketUnusable),
      Effect.asVoid(Deferred.succeed(filled, undefined))
    ),
    writerUrl: () => mirror.writerUrl
  }
  return opened
})

/** What the writer shows before it is in the chain goes to the mirror. One that has given the lock back does not ask itself. */
const readerOf = (
  mirror: Mirror,
  durability: BucketDurability,
  { complaints }: StorageEngine
): TailReader => ({
  target: () => {
    const target = mirror.target()
    return target?.epoch === durability.openedEpoch ? undefined : target
  },
  applyBytes: (epoch, segment, position, bytes) => mirror.applyBytes(epoch, segment, position, bytes),
  created: (epoch, { segment, position, ...link }) =>
    mirror.created(epoch, { ...link, end: { epoch, segment, position } }),
  isAlive: mirror.isAlive,
  complain: (topic, message) => complaints.about(topic, message)
})

const bucketUnusable = (cause: BucketFault | ChainBroken | DiskFault): StorageUnusable =>
  new StorageUnusable({
    reason: "bucket",
    message: `What is kept in the bucket cannot be used: ${cause.message}. Then start again.`,
    cause
  })

const openEngine = Effect.fnUntraced(function* (
  config: BatonConfig,
  { isMemory }: StoragePlace,
  parts: Parts
) {
  const run = yield* makeErrands
  const timers = yield* currentTimers
  const open = Effect.sync(
    () =>
      new StorageEngine({
        ...parts,
        chunkBytesThreshold: config.chunkBytesThreshold,
        segmentBytes: config.journalSegmentBytes,
        recentBytes,
        // A copy is filled anew at every start.
        durableWrites: !isMemory && parts.bucket === undefined,
        removeOnClose: isMemory,
        startsAtNewestLevel: isMemory || parts.bucket !== undefined,
        run: (effect) => run("Work of storage beside its duties", effect),
        timers
      })
  )
  return yield* Effect.acquireRelease(open, (engine) =>
    Effect.catch(
      fromDisk(() => engine.close()),
      ({ message }) =>
        reportFault("BATON-STORAGE-CLOSE", `Storage was not closed as it should be: ${message}.`)
    )
  )
})
