import { withJournalProgress } from "./JournalProgress.ts"
import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { duties } from "../health/Duties.ts"
import { startDuty } from "../shared/Duty.ts"
import { Context, Effect, Layer } from "effect"
import { Config } from "../config/BatonConfig.ts"
import type { Disk } from "./disk/Disk.ts"
import { type StorageFault, fromDisk } from "./disk/DiskFault.ts"
import { RealDisk } from "./disk/RealDisk.ts"
import { otherFormatVersions } from "./disk/StorageDir.ts"
import { checkWritable } from "./disk/WriteCheck.ts"
import type { FileCache } from "./packs/FileCache.ts"
import { type LevelStatus, levelStatus } from "./levels/LevelStatus.ts"
import { StorageTooNew } from "./levels/StorageTooNew.ts"
import { keepDormant } from "./state/Dormancy.ts"
import { type OpenedStorage, openStorage, placeOf, type StoragePlace } from "./OpenStorage.ts"
import type { StorageEngine } from "./StorageEngine.ts"
import { StorageUnusable } from "./StorageUnusable.ts"
import { cacheMillis, loadRetries, loadRetryMillis, recentMillis } from "./StorageTimings.ts"

/** The storage of one replication stream. Empty until `load` has been run; closed with its scope. */
export class Storage extends Context.Service<
  Storage,
  {
    readonly engine: StorageEngine
    /**
     * Finds out whether storage can be written, reads what it holds, then follows it. Every shape is readable when this
     * succeeds.
     */
    readonly load: Effect.Effect<void, StorageUnusable>
    /** The same for a process that never writes: nothing is tried out, and other formats are the writer's to speak of. */
    readonly loadToRead: Effect.Effect<void, StorageUnusable>
    /** Where the active instance says that it can be reached; with a bucket only, and `undefined` where nobody has said it. */
    readonly writerUrl: () => string | undefined
    /** Of what is stored, as it is now. */
    readonly level: Effect.Effect<LevelStatus, StorageFault>
  }
>()("baton/storage/Storage") {
  /** `makeDisk`: what everything of storage stands on, but for the checkpoint, whose file SQLite opens by itself. */
  static readonly layerOn = (makeDisk: () => Disk) =>
    Layer.effect(
      Storage,
      Effect.gen(function* () {
        const config = yield* Config
        const place = placeOf(config)
        const storage = yield* openStorage(config, place, makeDisk())
        const { engine } = storage
        yield* startDuty(
          duties.storageMemory,
          Effect.forever(
            Effect.andThen(
              Effect.sleep(recentMillis),
              Effect.sync(() => engine.ageRecent())
            )
          )
        )
        yield* startDuty(duties.dormancy, keepDormant(engine, config.shapeDormantAfterMillis))
        const { cache } = engine
        if (cache !== undefined) yield* startDuty(duties.fileCache, keepRoom(engine, cache))
        return Storage.of({
          engine,
          load: Effect.withSpan(loadAndFollow(storage, place), "Storage.load"),
          loadToRead: follow(engine, place.directory),
          writerUrl: storage.writerUrl,
          level: fromDisk(() => levelStatus(engine.paths, engine.store.level))
        })
      })
    )
  static readonly layer = Storage.layerOn(() => new RealDisk())
}

const keepRoom = (engine: StorageEngine, cache: FileCache): Effect.Effect<never> =>
  Effect.forever(
    Effect.andThen(
      Effect.sleep(cacheMillis),
      Effect.catch(
        fromDisk(() => cache.round()),
        ({ message }) =>
          Effect.sync(() =>
            engine.complaints.about(
              "cache",
              `It cannot be seen how much room copies of files take, or no room be made: ${message}. Tried again in a few seconds.`
            )
          )
      )
    )
  )

const loadAndFollow = Effect.fnUntraced(function* ({ engine, fill }: OpenedStorage, place: StoragePlace) {
  const { directory, isMemory } = place
  if (!isMemory) yield* checkWriting(engine, place)
  yield* fill
  // Without a list nothing is said of them; whether storage can be read is found out next.
  const others = yield* Effect.orElseSucceed(
    fromDisk(() => otherFormatVersions(engine.paths)),
    () => []
  )
  if (others.length > 0) {
    yield* Effect.logInfo(
      `The storage directory also holds shapes in another format (${others.join(", ")}), written by another version. They are left alone; this version has its own.`
    )
  }
  yield* follow(engine, directory)
})

const follow = (engine: StorageEngine, directory: string): Effect.Effect<void, StorageUnusable> =>
  Effect.andThen(
    loadPatiently(engine, directory, loadRetries, loadRetryMillis),
    Effect.sync(() => engine.follow())
  )

const checkWriting = Effect.fnUntraced(function* (
  engine: StorageEngine,
  { directory, metaDir }: StoragePlace
) {
  const storageDir = { variable: "ELECTRIC_STORAGE_DIR", path: directory }
  const directories =
    metaDir === undefined
      ? [storageDir]
      : [storageDir, { variable: "ELECTRIC_SHAPE_DB_STORAGE_DIR", path: metaDir }]
  const problem = yield* fromDisk(() => checkWritable(directories, engine.paths)).pipe(
    // What a disk can refuse is a problem that is described; this is a disk that does not even say so.
    Effect.catch((cause) => Effect.succeed({ message: cause.message, isFull: false, cause }))
  )
  if (problem === undefined) return
  // A full disk may have room again by itself, and what it holds can be served until then.
  const { disk, root } = engine.paths
  if (
    problem.isFull &&
    (yield* Effect.orElseSucceed(
      fromDisk(() => disk.stat(root)),
      () => undefined
    )) !== undefined
  )
    return yield* reportFault(
      "BATON-STORAGE-READONLY",
      `${problem.message}. Until then this instance can only read.`
    )
  const { cause, message } = problem
  return yield* new StorageUnusable({
    reason: "cannotWrite",
    message: `${message}. Then start again.`,
    cause
  })
})

/** One error of a disk does not end a start. */
const loadPatiently = (
  engine: StorageEngine,
  directory: string,
  retries: number,
  delayMillis: number
): Effect.Effect<void, StorageUnusable> =>
  withJournalProgress(
    "recovery",
    engine,
    Effect.tryPromise({
      try: () => engine.load(),
      catch: (cause) =>
        cause instanceof StorageTooNew
          ? new StorageUnusable({
              reason: "tooNew",
              message: `Cannot use the storage directory ${directory}. ${cause.message}`,
              cause
            })
          : new StorageUnusable({
              reason: "cannotRead",
              message: `Cannot read the storage directory ${directory}: ${String(cause)}. Check that it is on a working disk and belongs to this user, then start again.`,
              cause,
              mayPass: true
            })
    })
  ).pipe(
    Effect.catch((error) =>
      retries === 0 || error.mayPass !== true
        ? Effect.fail(error)
        : reportFault("BATON-STORAGE-RETRY", `${error.message} It is tried again in ${delayMillis} ms.`).pipe(
            Effect.andThen(Effect.sleep(delayMillis)),
            Effect.andThen(loadPatiently(engine, directory, retries - 1, 2 * delayMillis))
          )
    )
  )
