import type { FaultCode } from "../telemetry/faults/FaultTable.ts"
import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { networkInterfaces } from "node:os"
import { Effect, type Scope } from "effect"
import { BucketFault } from "../bucket/BucketFault.ts"
import type { ObjectStore } from "../bucket/ObjectStore.ts"
import { BucketWatch } from "../bucket/BucketWatch.ts"
import { openBucket } from "../bucket/OpenBucket.ts"
import { probeBucket } from "../bucket/ProbeBucket.ts"
import { WatchedStore } from "../bucket/WatchedStore.ts"
import type { BatonConfig } from "../config/BatonConfig.ts"
import type { BucketConfig } from "../config/BucketConfig.ts"
import { Listeners } from "../shared/Listeners.ts"
import { ownUrlOf } from "../shared/OwnAddress.ts"
import { currentTimers, type Timers } from "../shared/Timers.ts"
import { Chain } from "./chain/Chain.ts"
import { ChainBroken } from "./chain/ChainBroken.ts"
import type { BucketStatus } from "./BucketStatus.ts"
import type { Disk } from "./disk/Disk.ts"
import { DiskFault, type StorageFault } from "./disk/DiskFault.ts"
import { formatVersion, type StoragePaths } from "./disk/StorageDir.ts"
import { BucketDurability } from "./durability/BucketDurability.ts"
import { LocalJournal } from "./mirror/LocalJournal.ts"
import { Mirror } from "./mirror/Mirror.ts"
import type { MirrorContext } from "./mirror/MirrorContext.ts"
import { takeMirrorDirectory } from "./mirror/MirrorDirectory.ts"
import { restore } from "./mirror/Restore.ts"
import { ObjectsSinceCheckpoint } from "./mirror/ObjectsSinceCheckpoint.ts"
import type { StorageEngine } from "./StorageEngine.ts"
import { bucketAgainMillis, bucketLongestMillis } from "./StorageTimings.ts"

/** What a service keeps in a bucket, with a directory of its own that is a copy of it. */
interface BucketStorage {
  readonly paths: StoragePaths
  readonly store: ObjectStore
  readonly chain: Chain
  readonly status: BucketStatus
  readonly mirror: Mirror
  readonly durability: BucketDurability
  /**
   * Finds out whether the bucket can be used, and fills the directory from it. To be done once, before anything is read there. While
   * the bucket cannot be reached it is tried again, for ever.
   */
  readonly fill: Effect.Effect<void, BucketFault | ChainBroken | DiskFault>
}

interface Given {
  readonly config: BatonConfig
  readonly bucket: BucketConfig
  readonly disk: Disk
  readonly metaDir: string | undefined
  /** The log of the service. */
  readonly warn: (message: string, code: FaultCode) => void
  /** The engine that is made of all this, once it is. */
  readonly engine: () => StorageEngine | undefined
}

const nobody = new Listeners<[]>()
const nothing = { bytes: 0, millis: 0 }

/** What keys of a service begin with. */
export const bucketFolder = ({ replicationStreamId }: BatonConfig): string =>
  `${replicationStreamId}/v${formatVersion}`

/** Where others are told that they reach this instance. */
const announcedUrl = ({ advertiseUrl }: BucketConfig, { port, tlsCertFile }: BatonConfig) =>
  advertiseUrl ?? ownUrlOf({ port, isSecure: tlsCertFile !== undefined }, networkInterfaces())

export const openBucketStorage = ({
  bucket,
  config,
  disk,
  engine,
  metaDir,
  warn
}: Given): Effect.Effect<BucketStorage, StorageFault, Scope.Scope> =>
  Effect.gen(function* () {
    const timers = yield* currentTimers
    const opened = yield* openBucket(bucket, bucketFolder(config))
    const watch = new BucketWatch(opened.name, timers)
    const store = new WatchedStore(opened, watch)
    const paths = yield* takeMirrorDirectory({
      storageDir: config.storageDir,
      streamId: config.replicationStreamId,
      metaDir,
      disk,
      removeOnClose: false
    })
    const chain = new Chain({ store, timers })
    const context: MirrorContext = {
      store,
      chain,
      paths,
      journal: new LocalJournal(paths),
      objects: new ObjectsSinceCheckpoint(timers.nowMillis),
      timers,
      warn
    }
    const mirror = yield* Effect.acquireRelease(
      Effect.sync(
        () =>
          new Mirror({
            ...context,
            waiters: {
              get count() {
                return engine()?.waiters.count ?? 0
              },
              get first() {
                return engine()?.waiters.first ?? nobody
              }
            },
            onApplied: () => engine()?.lookNow(),
            removalDelayMillis: 3 * config.cleanupIntervalMillis
          })
      ),
      (made) => Effect.ignore(Effect.tryPromise(() => made.close()))
    )
    const url = announcedUrl(bucket, config)
    if (url === undefined)
      yield* reportFault(
        "BATON-BUCKET-ADDRESS",
        "Other instances cannot be told where this one is reached, because ELECTRIC_PORT is 0: while it is active they see changes " +
          "once they are in the bucket, and replicas hand nothing on to it. Set BATON_ADVERTISE_URL, or a port."
      )
    const durability = new BucketDurability({ context, mirror, flushMillis: bucket.flushMillis, url })
    // Before all of that is closed, which waits for what is under way: that is given up.
    yield* Effect.addFinalizer(() => Effect.ignore(Effect.tryPromise(() => store.close())))
    const status: BucketStatus = {
      watch,
      timers,
      unshipped: () => durability.shipping?.unshipped ?? nothing,
      mirror: () => mirror.status,
      checkpointAgeMillis: () => context.objects.checkpointAgeMillis
    }
    return { paths, store, chain, status, mirror, durability, fill: fill(context, timers) }
  })

/** Does it whenever it is called, until it has succeeded. */
const onceDone = (work: () => Promise<void>): (() => Promise<void>) => {
  let isDone = false
  return async () => {
    if (isDone) return
    await work()
    isDone = true
  }
}

const fill = (
  context: MirrorContext,
  timers: Timers
): Effect.Effect<void, BucketFault | ChainBroken | DiskFault> => {
  const probed = onceDone(() => probeBucket(context.store, timers))
  const restored = onceDone(() => restore(context))
  const work = Effect.tryPromise({
    try: async () => {
      // Neither needs the other: a start takes as long as the slower one. What the probe finds explains what the other fails with.
      const outcomes = await Promise.allSettled([probed(), restored()])
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason
    },
    catch: (cause) => cause
  }).pipe(
    Effect.catch((cause) =>
      cause instanceof BucketFault || cause instanceof ChainBroken || cause instanceof DiskFault
        ? Effect.fail(cause)
        : Effect.die(cause)
    )
  )
  const patiently = (pauseMillis: number): Effect.Effect<void, BucketFault | ChainBroken | DiskFault> =>
    Effect.catch(work, (error) =>
      // A clock that is wrong is set by somebody, who looks why nothing starts.
      error instanceof BucketFault && error.passing && error.kind !== "clockSkew"
        ? reportFault("BATON-BUCKET-START", {
            message: `${error.message}. Nothing can be served before the bucket has answered; it is tried again in ${pauseMillis} ms.`,
            about: error.kind
          }).pipe(
            Effect.andThen(Effect.sleep(pauseMillis)),
            Effect.andThen(Effect.suspend(() => patiently(Math.min(2 * pauseMillis, bucketLongestMillis))))
          )
        : Effect.fail(error)
    )
  return patiently(bucketAgainMillis)
}
