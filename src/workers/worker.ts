/**
 * An HTTP worker: a process that the main one starts, and that answers requests for existing shapes on the same port.
 * It follows the journal as a waiting instance does, and writes nothing.
 */
import { Context, Deferred, Effect, Layer, References, Scope, SubscriptionRef } from "effect"
import { makeErrands } from "../shared/Duty.ts"
import { Config } from "../config/BatonConfig.ts"
import { conditionsLayer } from "../http/shape/ConditionsLive.ts"
import { abilities } from "../health/HealthState.ts"
import { HttpServer } from "../http/node/HttpServer.ts"
import { JournalTail } from "../http/node/JournalTail.ts"
import { OperatorDoor } from "../http/shape/OperatorDoor.ts"
import { ShapeApi } from "../http/shape/ShapeApi.ts"
import { schemaMemoryLayer } from "../instance/SchemaMemoryLive.ts"
import { Inspector } from "../postgres/catalogue/Inspector.ts"
import { SchemaMemory } from "../postgres/catalogue/SchemaMemory.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { SnapshotSessions } from "../registry/snapshot/SnapshotSessions.ts"
import { SubsetReader } from "../registry/subset/SubsetReader.ts"
import { Storage } from "../storage/Storage.ts"
import { shapeLogsLayer } from "../storage/ShapeLogsLive.ts"
import * as Logs from "../telemetry/Logs.ts"
import { telemetryLayer } from "../telemetry/otel/Telemetry.ts"
import { statsdLayer } from "../telemetry/statsd/StatsdLayer.ts"
import { loadPatiently } from "./LoadPatiently.ts"
import { runningMillis } from "./WorkerTimings.ts"
import { makeProcessReporter } from "./ProcessReporter.ts"
import { Catalogue, makeTypeCatalogue } from "../where/index.ts"
import { DeliveryRelay } from "./DeliveryRelay.ts"
import { listenToMain } from "./ListenToMain.ts"
import { Main, MainLink } from "./MainLink.ts"
import { configOfPlain } from "./PlainConfig.ts"
import { isOfOneRelease, ownSpeaker, startedByOther } from "./OtherRelease.ts"
import type { ToMain, ToWorker } from "./WorkerProtocol.ts"
import { passOperator } from "./PassOperator.ts"
import { passTail } from "./PassTail.ts"
import { remoteAdminPool, remoteHealth, remoteRegistry } from "./RemoteServices.ts"
import { watchJournal } from "./WatchJournal.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Faults } from "../shared/FaultRecord.ts"
import { systemTimers } from "../shared/Timers.ts"

const catalogueLayer = Layer.effect(
  Catalogue,
  Effect.gen(function* () {
    const admin = yield* AdminPool
    return yield* makeTypeCatalogue((sql) => admin.query(sql), (yield* SchemaMemory).types)
  })
)

/** As the main process has it, which alone knows who writes. */
const storageLayer = Layer.effect(
  Storage,
  Effect.gen(function* () {
    const storage = yield* Storage
    const main = yield* Main
    main.stream = (yield* Metrics).stream
    return { ...storage, writerUrl: () => main.writerUrl }
  })
).pipe(Layer.provide(Storage.layer))

const services = ShapeApi.layer().pipe(
  Layer.provideMerge(conditionsLayer),
  Layer.provide(SubsetReader.layer.pipe(Layer.provide(SnapshotSessions.layerWorker))),
  Layer.provide(shapeLogsLayer),
  Layer.provide(remoteRegistry),
  Layer.provideMerge(Layer.mergeAll(storageLayer, remoteHealth)),
  Layer.provide(catalogueLayer),
  Layer.provideMerge(Inspector.layer),
  Layer.provide(remoteAdminPool),
  Layer.provide(Layer.provide(schemaMemoryLayer, Storage.layer))
)

/** Says how many requests are in progress, at every change, from now on. */
const reportRunning = (main: MainLink, running: () => number): void => {
  let told = -1
  const tell = () => {
    const requests = running()
    if (requests !== told) main.send({ _tag: "Running", requests })
    told = requests
  }
  tell()
  systemTimers.every(runningMillis, tell)
}

const serve = (number: number) =>
  Effect.gen(function* () {
    const main = yield* Main
    const config = yield* Config
    const inspector = yield* Inspector
    const { engine, loadToRead } = yield* Storage
    const run = yield* makeErrands

    // The main process counts for all of them.
    ;(yield* Faults).onNoted = (fault) => main.send({ _tag: "Fault", fault: { ...fault, worker: number } })
    const relay = new DeliveryRelay(engine.timers, (message) => main.send(message))
    ;(yield* Metrics).servingLag.onDelivered = (lsn, atMillis) => {
      if (abilities[SubscriptionRef.getUnsafe(main.state)].createsShapes) relay.delivered(lsn, atMillis)
    }
    yield* loadPatiently(loadToRead)
    yield* watchJournal(engine, () => abilities[SubscriptionRef.getUnsafe(main.state)].createsShapes)

    const server = Context.get(yield* Layer.build(HttpServer.layer), HttpServer)
    // Most workers are never asked, and watch nothing for it.
    const reporter = yield* Effect.cached(
      Effect.provideService(
        makeProcessReporter({
          process: `worker-${number}`,
          api: yield* ShapeApi,
          engine,
          openRequests: server.running
        }),
        Scope.Scope,
        yield* Effect.scope
      )
    )
    if (config.dashboard === "auto") yield* passOperator(main)
    listenToMain(main, engine, inspector, {
      drain: () => {
        run("Draining", server.beginDrain)
        reportRunning(main, server.running)
      },
      expire: () => run("Answering held requests", server.expireHeld),
      report: (id) =>
        run(
          "A report",
          Effect.map(Effect.flatten(reporter), (made) => main.send({ _tag: "Report", id, report: made }))
        )
    })
    main.send({ _tag: "Ready" })
    return yield* Effect.never
  })

const stopped = Deferred.makeUnsafe<void>()

const begin = (start: Extract<ToWorker, { readonly _tag: "Start" }>, main: MainLink) => {
  const config = configOfPlain(start.config)
  const { number } = start
  process.title = `baton http worker ${number}`
  const logs = Logs.layer({
    format: config.logFormat,
    level: config.logLevel,
    ...(config.logColors === undefined ? {} : { colors: config.logColors })
  })
  const layer = services.pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(Main, main),
        Layer.succeed(JournalTail, passTail(start.tailSocket)),
        OperatorDoor.layer
      )
    ),
    Layer.provideMerge(Layer.merge(telemetryLayer, statsdLayer)),
    Layer.provideMerge(Layer.succeed(Config, config)),
    Layer.provideMerge(logs),
    Layer.provideMerge(Layer.succeed(References.CurrentLogAnnotations, { worker: number }))
  )
  const program = Effect.raceFirst(serve(number), Deferred.await(stopped)).pipe(
    Effect.provide(layer),
    Effect.scoped
  )
  Effect.runPromise(program).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
      process.exit(1)
    }
  )
}

const post = (message: ToMain): void => {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

// A terminal and a service manager send their signals to all processes of a service: the main process decides.
process.on("SIGTERM", () => {})
process.on("SIGINT", () => {})
// The main process is gone, which makes the journal and the shapes.
process.on("disconnect", () => process.exit(0))
let link: MainLink | undefined
process.on("message", (raw) => {
  const message = raw as ToWorker
  if (message._tag === "Start") {
    if (isOfOneRelease(ownSpeaker, message.speaker)) {
      link = new MainLink(message.state, post)
      begin(message, link)
      // Ending would have that process start another one, again and again.
    } else process.stderr.write(`${startedByOther(ownSpeaker, message.speaker)}\n`)
  } else if (message._tag !== "Stop") link?.receive(message)
  else if (link === undefined) process.exit(0)
  else Deferred.doneUnsafe(stopped, Effect.void)
})
if (process.send === undefined) {
  process.stderr.write("Workers are started by the main process, see BATON_HTTP_WORKERS.\n")
  process.exit(1)
}
post({ _tag: "Hello", speaker: ownSpeaker })
