import { Effect, Layer } from "effect"
import { HealthRef } from "./health/HealthRef.ts"
import { conditionsLayer } from "./http/ConditionsLive.ts"
import { ShapeApi, type ShapeApiOptions } from "./http/ShapeApi.ts"
import { Instance } from "./instance/Instance.ts"
import { SessionServices } from "./instance/SessionServices.ts"
import { Warmth } from "./instance/Warmth.ts"
import { schemaMemoryLayer } from "./instance/schemaMemoryLayer.ts"
import { Inspector } from "./postgres/Inspector.ts"
import { SchemaMemory } from "./postgres/SchemaMemory.ts"
import { AdminPool } from "./postgres/Pools.ts"
import { Publication } from "./postgres/Publication.ts"
import { LockService } from "./lock/LockService.ts"
import { ReplicationStream } from "./replication/ReplicationStream.ts"
import { CurrentSession, shapeRegistryLayer } from "./registry/ShapeRegistryLive.ts"
import { SnapshotSessions } from "./registry/snapshot/SnapshotSessions.ts"
import { Snapshotter } from "./registry/Snapshotter.ts"
import { SubsetReader } from "./registry/SubsetReader.ts"
import { Catalogue, makeTypeCatalogue } from "./where/index.ts"
import { shapeLogsLayer, Storage } from "./storage/Storage.ts"
import { MetricsServer } from "./telemetry/MetricsServer.ts"
import { HttpWorkers } from "./workers/HttpWorkers.ts"

/** The types, operators and functions that conditions may use. */
const catalogueLayer = Layer.effect(
  Catalogue,
  Effect.gen(function* () {
    const admin = yield* AdminPool
    return yield* makeTypeCatalogue((sql) => admin.query(sql), (yield* SchemaMemory).types)
  })
)

const postgres = Layer.mergeAll(Publication.layer, catalogueLayer).pipe(
  Layer.provideMerge(Inspector.layer),
  Layer.provideMerge(AdminPool.layer),
  Layer.provide(schemaMemoryLayer)
)

const reading = Layer.mergeAll(Snapshotter.layer, SubsetReader.layer).pipe(
  Layer.provideMerge(SnapshotSessions.layer)
)

const shapes = Layer.mergeAll(shapeLogsLayer, shapeRegistryLayer).pipe(
  Layer.provideMerge(Layer.mergeAll(Storage.layer, CurrentSession.layer))
)

const core = Layer.mergeAll(postgres, reading, shapes, HealthRef.layer)

const instance = Instance.layer.pipe(
  Layer.provide(
    Layer.mergeAll(SessionServices.layer, LockService.layer, ReplicationStream.layer, Warmth.layer)
  )
)

/** Compositions of all services. Everything is configured by `Config`. */
export const Baton = {
  /** The API without a server, and the instance that feeds it: to be mounted in a server of your own. */
  layer: <R = never>(options: ShapeApiOptions<R> = {}) =>
    Layer.mergeAll(ShapeApi.layer(options), instance).pipe(
      Layer.provideMerge(conditionsLayer),
      Layer.provideMerge(core)
    ),
  /** The whole service on a port of its own, as the command line runs it. */
  get layerServer() {
    return MetricsServer.layer.pipe(
      Layer.provideMerge(HttpWorkers.layerServer),
      Layer.provideMerge(Baton.layer())
    )
  }
}
