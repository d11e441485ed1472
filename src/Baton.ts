import { Context, Effect, Layer, Option } from "effect"
import { HealthRef } from "./health/HealthRef.ts"
import { Conditions } from "./http/shape/Conditions.ts"
import { conditionsLayer } from "./http/shape/ConditionsLive.ts"
import { JournalTail } from "./http/node/JournalTail.ts"
import { ShapeApi, type ShapeApiOptions } from "./http/shape/ShapeApi.ts"
import { Instance } from "./instance/Instance.ts"
import { Verifier } from "./instance/verify/Verifier.ts"
import { SessionServices } from "./instance/SessionServices.ts"
import { Warmth } from "./instance/duties/Warmth.ts"
import { schemaMemoryLayer } from "./instance/SchemaMemoryLive.ts"
import type { Config } from "./config/BatonConfig.ts"
import { Inspector } from "./postgres/catalogue/Inspector.ts"
import { SchemaMemory } from "./postgres/catalogue/SchemaMemory.ts"
import { AdminPool } from "./postgres/connection/Pools.ts"
import { Publication } from "./postgres/publication/Publication.ts"
import { LockService } from "./lock/LockService.ts"
import { ReplicationStream } from "./replication/ReplicationStream.ts"
import { CurrentSession } from "./registry/CurrentSession.ts"
import { shapeRegistryLayer } from "./registry/ShapeRegistryLive.ts"
import { ShapeRegistry } from "./registry/ShapeRegistry.ts"
import { SnapshotSessions } from "./registry/snapshot/SnapshotSessions.ts"
import { Snapshotter } from "./registry/snapshot/Snapshotter.ts"
import { SubsetReader } from "./registry/subset/SubsetReader.ts"
import { Catalogue, makeTypeCatalogue } from "./where/index.ts"
import { ShapeLogs } from "./storage/ShapeLogs.ts"
import { Storage } from "./storage/Storage.ts"
import { shapeLogsLayer } from "./storage/ShapeLogsLive.ts"
import { MetricsServer } from "./metrics/MetricsServer.ts"
import { practiceLayer } from "./practice/GoThroughTakeover.ts"
import { registeredMetrics } from "./metrics/RegisteredMetrics.ts"
import { OperatorDoor } from "./http/shape/OperatorDoor.ts"
import { operatorOfService } from "./operator/OperatorLive.ts"
import { HttpWorkers } from "./workers/HttpWorkers.ts"

/** The types, operators and functions that conditions may use. */
export const catalogueLayer = Layer.effect(
  Catalogue,
  Effect.gen(function* () {
    const admin = yield* AdminPool
    return yield* makeTypeCatalogue((sql) => admin.query(sql), (yield* SchemaMemory).types)
  })
)

/** The services in whose place a program may put its own. */
export type Part =
  | Catalogue
  | Conditions
  | HealthRef
  | Inspector
  | Instance
  | LockService
  | Publication
  | ReplicationStream
  | SessionServices
  | ShapeLogs
  | ShapeRegistry
  | Snapshotter
  | Storage
  | SubsetReader
  | Warmth

/** What a replacement may be made of without providing it: what Baton has in any case. */
export type PartBase = AdminPool | CurrentSession | SnapshotSessions

export interface BatonOptions<
  R = never,
  P extends Part = never,
  E = never,
  RP = never
> extends ShapeApiOptions<R> {
  /**
   * Services that take the place of Baton's own: one layer, or several merged. It may be made of the services of
   * `PartBase`, and of Baton's own layer of the same service, which is then built only for it.
   */
  readonly parts?: Layer.Layer<P, E, RP>
}

/** The replacements, and nothing else of what surrounds Baton: another Baton in the same program is not a replacement. */
class GivenParts extends Context.Service<GivenParts, Context.Context<never>>()("baton/GivenParts") {}

/** The program's own service, if it has one, else ours. */
const part = <I extends Part, S, E, R>(
  tag: Context.Key<I, S>,
  own: Layer.Layer<I, E, R>
): Layer.Layer<I, E, R | GivenParts> =>
  Layer.unwrap(
    Effect.map(GivenParts, (given) =>
      Option.match(Context.getOption(given as Context.Context<I>, tag), {
        onNone: () => own,
        onSome: (service) => Layer.succeed(tag, service)
      })
    )
  )

const base = Layer.merge(CurrentSession.layer, SnapshotSessions.layer).pipe(
  Layer.provideMerge(AdminPool.layer)
)

/** Others stand on it too: it is the same one, wherever it is provided. */
const storage = part(Storage, Storage.layer)

const postgres = Layer.mergeAll(part(Publication, Publication.layer), part(Catalogue, catalogueLayer)).pipe(
  Layer.provideMerge(part(Inspector, Inspector.layer)),
  Layer.provide(Layer.provide(schemaMemoryLayer, storage))
)

const reading = Layer.mergeAll(
  part(Snapshotter, Snapshotter.layer),
  part(SubsetReader, SubsetReader.layer.pipe(Layer.provide(storage)))
)

const shapes = Layer.mergeAll(part(ShapeLogs, shapeLogsLayer), part(ShapeRegistry, shapeRegistryLayer)).pipe(
  Layer.provideMerge(storage)
)

const core = Layer.mergeAll(postgres, reading, shapes, part(HealthRef, HealthRef.layer)).pipe(
  Layer.provideMerge(base)
)

const instance = part(Instance, Instance.layer).pipe(
  Layer.provide(
    Layer.mergeAll(
      part(SessionServices, SessionServices.layer),
      part(LockService, LockService.layer),
      part(ReplicationStream, ReplicationStream.layer),
      part(Warmth, Warmth.layer.pipe(Layer.provide(practiceLayer)))
    )
  )
)

const noParts = Layer.succeed(GivenParts, Context.empty())

/** Compositions of all services. Everything is configured by `Config`. */
export const Baton = {
  /** The API without a server, and the instance that feeds it: to be mounted in a server of your own. */
  layer: <R = never, P extends Part = never, E = never, RP = never>(
    options: BatonOptions<R, P, E, RP> = {}
  ) => {
    const { parts, ...apiOptions } = options
    const given: Layer.Layer<GivenParts, E, Exclude<RP, PartBase> | Config> =
      parts === undefined
        ? noParts
        : Layer.flatMap(parts, (context) => Layer.succeed(GivenParts, context)).pipe(Layer.provide(base))
    return registeredMetrics.pipe(
      Layer.provideMerge(Layer.mergeAll(ShapeApi.layer(apiOptions), JournalTail.layer, instance)),
      Layer.provideMerge(part(Conditions, conditionsLayer)),
      Layer.provideMerge(Verifier.layer),
      Layer.provideMerge(Layer.merge(core, OperatorDoor.layer)),
      Layer.provide(given)
    )
  },
  /** The whole service on a port of its own, as the command line runs it. */
  get layerServer() {
    return operatorOfService.pipe(
      Layer.provideMerge(MetricsServer.layer),
      Layer.provideMerge(HttpWorkers.layerServer),
      Layer.provideMerge(Baton.layer())
    )
  }
}
