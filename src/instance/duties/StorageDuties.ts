import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Deferred, Effect } from "effect"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import type { HealthRef } from "../../health/HealthRef.ts"
import type { QuotaOptions } from "../../registry/quota/StorageQuota.ts"
import { compactLogs } from "../../storage/compaction/Compactor.ts"
import { fromDisk } from "../../storage/disk/DiskFault.ts"
import { Maintenance } from "../../storage/Maintenance.ts"
import {
  fenceCheckMillis,
  longestCompactionMillis,
  longestMaintenanceMillis,
  removalDelayIntervals
} from "./DutyTimings.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"

/** Finished journal segments that stay, and entries in the journal, before they are moved to log files. */
const retainedSegments = 4
const retainedEntries = 4_000_000

/** How a turn as holder of the lock ended. */
export type TurnEnd = "idle" | "fenced" | "storageGone" | "beginAnew" | "handOver"

/** Housekeeping of storage, for as long as this instance writes it. A disk that refuses is asked again. */
export const maintainStorage = (engine: StorageEngine, config: BatonConfig): Effect.Effect<never> => {
  const pauseMillis = Math.min(longestMaintenanceMillis, config.cleanupIntervalMillis)
  return Effect.scoped(
    Effect.suspend(() => {
      const work = new Maintenance(engine, {
        retainedSegments,
        retainedEntries,
        // A checkpoint is rare, and journal segments go once it is there: it is always durable.
        meta: { synchronous: "FULL", cacheBytes: config.shapeDbCacheBytes },
        removalDelayMillis: removalDelayIntervals * config.cleanupIntervalMillis
      })
      return Effect.forever(
        Effect.andThen(
          Effect.sleep(pauseMillis),
          work
            .round()
            .pipe(
              Effect.catch(({ message }) =>
                Effect.sync(() =>
                  engine.complaints.about(
                    "housekeeping",
                    `Housekeeping of storage is held up: ${message}. Tried again later; the journal holds everything.`
                  )
                )
              )
            )
        )
      )
    })
  )
}

/** Of the time, compaction works so much at most; and with so many characters of messages in memory. */
const compactionShare = 0.25
const compactionCharacters = 16 << 20

/** Compacts the logs of shapes, for as long as this instance writes storage. */
export const compactStorage = (engine: StorageEngine, config: BatonConfig): Effect.Effect<never> =>
  config.compaction === undefined
    ? Effect.never
    : compactLogs(
        engine,
        {
          ...config.compaction,
          share: compactionShare,
          budget: compactionCharacters,
          removalDelayMillis: removalDelayIntervals * config.cleanupIntervalMillis
        },
        Math.min(longestCompactionMillis, config.cleanupIntervalMillis)
      )

/** Within this time clients go on with what they have begun to read. */
const recentMillis = 5000

/** How much storage may take, if there is a limit. */
export const quotaOf = (config: BatonConfig): QuotaOptions | undefined =>
  config.maxStorageBytes === undefined
    ? undefined
    : {
        limitBytes: config.maxStorageBytes,
        journalBytes: (retainedSegments + 1) * config.journalSegmentBytes,
        isCompacting: config.compaction !== undefined,
        returnMillis: config.longPollTimeoutMillis,
        // Workers only say that a shape is used.
        recentMillis: (config.httpWorkers > 0 ? config.longPollTimeoutMillis : 0) + recentMillis
      }

/** Ends the turn when another instance has taken over storage, or when storage is not there any more. */
export const watchStorage = (
  engine: StorageEngine,
  health: HealthRef["Service"],
  ended: Deferred.Deferred<TurnEnd>
): Effect.Effect<void> => {
  const look = Effect.gen(function* () {
    yield* fromDisk(async () => engine.writing?.checkPlace())
    if (!(yield* fromDisk(() => engine.isFenced()))) return false
    if (engine.writing?.isGone === true) {
      yield* reportFault(
        "BATON-STORAGE-GONE",
        `The storage directory ${engine.paths.root} was removed or replaced while this instance was writing to it. What it held is lost, and nothing has been acknowledged since that was noticed. All shapes are dropped and everything is made anew; clients fetch again. Nothing is to be done, but find out who removes it.`
      )
      yield* Deferred.succeed(ended, "storageGone")
      return true
    }
    yield* health.send("fenced")
    yield* reportFault(
      "BATON-LOCK-FENCED",
      "Another instance has taken over storage. This one has written nothing that counts since, gives up the lock and waits for its turn."
    )
    yield* Deferred.succeed(ended, "fenced")
    return true
  })
  const step: Effect.Effect<void> = Effect.suspend(() =>
    Effect.sleep(fenceCheckMillis).pipe(
      Effect.andThen(look),
      Effect.catch(({ message }) =>
        Effect.sync(() => {
          engine.complaints.about(
            "fence",
            `It cannot be seen whether another instance has taken over storage: ${message}. It is tried again; nothing is acknowledged meanwhile.`
          )
          return false
        })
      ),
      Effect.flatMap((isOver) => (isOver ? Effect.void : step))
    )
  )
  return step
}
