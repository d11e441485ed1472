import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Context, Effect, Layer, Logger, Metric } from "effect"
import { type BatonConfig, Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { TakeoverPractice } from "../instance/duties/TakeoverPractice.ts"
import { Instance } from "../instance/Instance.ts"
import { SessionServices } from "../instance/SessionServices.ts"
import { Verifier } from "../instance/verify/Verifier.ts"
import { LockService } from "../lock/LockService.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { Snapshotter } from "../registry/snapshot/Snapshotter.ts"
import { CurrentSession } from "../registry/CurrentSession.ts"
import { ShapeRegistry } from "../registry/ShapeRegistry.ts"
import { shapeRegistryLayer } from "../registry/ShapeRegistryLive.ts"
import { Storage } from "../storage/Storage.ts"
import { shapeLogsLayer } from "../storage/ShapeLogsLive.ts"
import { practiceShape } from "./PracticeTable.ts"
import { PracticeServer } from "./PracticeServer.ts"
import { type PracticeDatabase, practiceServices } from "./PracticeServices.ts"

/** An instance that is slower than this has other worries. */
const longestMillis = 30_000

const shapes = Layer.mergeAll(shapeLogsLayer, shapeRegistryLayer).pipe(
  Layer.provideMerge(Layer.mergeAll(Storage.layer, CurrentSession.layer))
)

const instance = Instance.layer.pipe(
  Layer.provide(Layer.mergeAll(SessionServices.layer, LockService.layer, Verifier.layer)),
  Layer.provideMerge(Layer.mergeAll(shapes, HealthRef.layer))
)

const configOf = (config: BatonConfig, storageDir: string): BatonConfig => ({
  ...config,
  storage: "file",
  storageDir,
  shapeDbStorageDir: undefined,
  bucket: undefined,
  database: { ...config.database, sslMode: "disable", password: undefined },
  replicationIdleTimeoutMillis: undefined
})

const takeOver = (server: PracticeServer) =>
  Effect.gen(function* () {
    const health = yield* HealthRef
    const { run, shutdown } = yield* Instance
    const registry = yield* ShapeRegistry
    const work = Effect.gen(function* () {
      yield* health.awaitState((state) => state === "active", longestMillis)
      yield* registry.getOrCreate(practiceShape)
      yield* server.committed
      yield* shutdown
    })
    yield* Effect.raceFirst(work, Effect.andThen(run, Effect.never))
  })

/**
 * An instance of its own takes the lock, makes a shape, is told of a transaction, and gives the lock back, for the sake of the code that
 * this runs through: the first time takes several times as long as the second, and a takeover comes once. Its storage is in memory, its
 * server none; of the database it looks at the catalogue. Nothing of it is logged, counted or told. Fails where it does not come to its end.
 */
export const goThroughTakeover = (
  config: BatonConfig,
  database: PracticeDatabase,
  /** Where it has a directory for a moment. */
  parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir()
): Effect.Effect<void, unknown> =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => mkdtemp(join(parent, "baton-practice-"))),
    (directory) => practiseIn(configOf(config, directory), database),
    removeDirectory
  ).pipe(
    // Faults and metrics belong to a registry, and spans to a tracer: none of those of the service is there.
    Effect.updateContext(() => Context.empty())
  )

const removeDirectory = (directory: string) =>
  Effect.tryPromise(() => rm(directory, { recursive: true, force: true }))

const practiseIn = (config: BatonConfig, database: PracticeDatabase) =>
  Effect.suspend(() => {
    const server = new PracticeServer()
    const layer = instance.pipe(
      Layer.provide(practiceServices(server, database)),
      Layer.provide(Layer.succeed(Config, config)),
      Layer.provideMerge(Logger.layer([])),
      Layer.provideMerge(Layer.succeed(Metric.MetricRegistry, new Map()))
    )
    return takeOver(server).pipe(Effect.timeout(longestMillis), Effect.provide(layer, { local: true }))
  })

/** For an instance that waits. */
export const practiceLayer = Layer.effect(
  TakeoverPractice,
  Effect.gen(function* () {
    const database = { admin: yield* AdminPool, snapshotter: yield* Snapshotter }
    return Effect.ignoreCause(goThroughTakeover(yield* Config, database))
  })
)
