import { Effect } from "effect"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import { connectionLimit, openFilesLimit } from "../../http/node/OpenFiles.ts"
import type { DoctorFacts, Wanted } from "./Facts.ts"
import { lookAtDatabase } from "./LookAtDatabase.ts"
import { lookAtService } from "./LookAtService.ts"
import { systemTimers } from "../../shared/Timers.ts"
import { lookAtPort } from "./LookAtPort.ts"
import { lookAtBucket, lookAtStorage, nameInstances } from "./LookAtStorage.ts"
import { look, lookMillis, seen } from "./Seen.ts"

/** Trying the bucket takes some dozens of requests. */
const bucketMillis = 30_000

const wantedOf = (config: BatonConfig): Wanted => ({
  slotName: config.slotName,
  publicationName: config.publicationName,
  temporarySlot: config.temporarySlot,
  failoverSlot: config.failoverSlot,
  manual: config.manualTablePublishing,
  isReplica: config.role === "replica",
  poolSize: config.dbPoolSize,
  storage: config.storage === "memory" ? "memory" : config.bucket === undefined ? "file" : "bucket",
  storageDir: config.storageDir,
  maxStorageBytes: config.maxStorageBytes
})

/**
 * Looks at everything that the service would use, in at most half a minute, and never fails. The database is not changed. Storage
 * and the bucket are written to only with `isTried`.
 */
export const gatherFacts = (
  config: BatonConfig,
  configWarnings: ReadonlyArray<string>,
  isTried: boolean
): Effect.Effect<DoctorFacts> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { bucket } = config
      const [inDatabase, storage, bucketLook, port, service] = yield* Effect.all(
        [
          lookAtDatabase(config),
          config.storage === "memory"
            ? Effect.succeed(undefined)
            : look(
                "ELECTRIC_STORAGE_DIR",
                Effect.tryPromise({ try: () => lookAtStorage(config, isTried), catch: (cause) => cause }),
                lookMillis,
                "BATON-STORAGE-READ"
              ),
          bucket === undefined
            ? Effect.succeed(undefined)
            : look("BATON_BUCKET", lookAtBucket(config, bucket, isTried), bucketMillis, "BATON-BUCKET-START"),
          look("ELECTRIC_PORT", lookAtPort(config), lookMillis, "BATON-START-PORT"),
          lookAtService(config)
        ],
        { concurrency: "unbounded" }
      )
      const database = inDatabase.database
      const lock = database?.lock
      const named =
        lock?._tag === "Seen" && config.storage === "file"
          ? yield* look(
              "Instances",
              Effect.tryPromise({ try: () => nameInstances(config, lock.value), catch: (cause) => cause })
            )
          : undefined
      return {
        wanted: wantedOf(config),
        configWarnings,
        hasNoAddress: bucket !== undefined && bucket.advertiseUrl === undefined && config.port === 0,
        openFilesProblem: connectionLimit(config, openFilesLimit()).problem,
        port,
        connections: inDatabase.connections,
        database:
          database === undefined || named?._tag !== "Seen"
            ? database
            : { ...database, lock: seen(named.value) },
        storage,
        bucket: bucketLook,
        service,
        nowMillis: systemTimers.epochMillis()
      } satisfies DoctorFacts
    })
  )
