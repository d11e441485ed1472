import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Context, Effect, Layer, Option, type Scope, Stream } from "effect"
import { duties } from "../health/Duties.ts"
import { makeErrands, startDuty } from "../shared/Duty.ts"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { abilities, type HealthState, isStopping } from "../health/HealthState.ts"
import { HttpServer, type ListenError } from "../http/node/HttpServer.ts"
import { JournalTail } from "../http/node/JournalTail.ts"
import { OperatorDoor } from "../http/shape/OperatorDoor.ts"
import type { ShapeApi } from "../http/shape/ShapeApi.ts"
import { Inspector } from "../postgres/catalogue/Inspector.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { ShapeRegistry } from "../registry/ShapeRegistry.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Storage } from "../storage/Storage.ts"
import type { ProcessReport } from "../telemetry/ProcessReport.ts"
import { RequestCounts } from "../telemetry/RequestCounts.ts"
import { Faults } from "../shared/FaultRecord.ts"
import { announceDropped } from "./AnnounceDropped.ts"
import { answerWorker } from "./AnswerWorker.ts"
import { plainConfig } from "./PlainConfig.ts"
import { filesReplaced, ownSpeaker } from "./OtherRelease.ts"
import { portIsFree } from "./PortIsFree.ts"
import type { ToMain } from "./WorkerProtocol.ts"
import { restartDelayMillis } from "./RestartPolicy.ts"
import { tailSocket } from "./TailSocket.ts"
import { WorkerLink } from "./WorkerLink.ts"
import { WorkerSet } from "./WorkerSet.ts"
import { heartbeatMillis, idleCheckMillis, startDelayMillis } from "./WorkerTimings.ts"

/**
 * The processes that answer requests beside this one, on the same port. They follow the journal as a waiting instance
 * does; what they cannot do by themselves they ask of this process. When one dies it is started again, and nothing
 * else notices; when this one dies they end at once.
 */
export class HttpWorkers extends Context.Service<
  HttpWorkers,
  {
    readonly configured: number
    /** How many answer requests now. */
    readonly ready: () => number
    readonly restarts: () => number
    /** Of those that answer in time. */
    readonly reports: Effect.Effect<ReadonlyArray<ProcessReport>>
    /** How many of their requests wait for a change of each of these shapes. */
    readonly readersOf: (shapes: Uint32Array) => Effect.Effect<Uint32Array>
    /** What workers that are gone had last reported. */
    readonly retired: {
      readonly requests: RequestCounts
      readonly rejected: Readonly<Record<"initial" | "existing", number>>
    }
  }
>()("baton/workers/HttpWorkers") {
  static readonly layerNone = Layer.succeed(HttpWorkers, {
    configured: 0,
    ready: () => 0,
    restarts: () => 0,
    reports: Effect.succeed([]),
    readersOf: (shapes) => Effect.succeed(new Uint32Array(shapes.length)),
    retired: { requests: new RequestCounts(), rejected: { initial: 0, existing: 0 } }
  })

  /** The server of this process, and the workers if there are any. */
  static readonly layerServer = Layer.unwrap(
    Effect.map(Config, ({ httpWorkers }) =>
      httpWorkers === 0
        ? Layer.mergeAll(HttpServer.layer, HttpWorkers.layerNone)
        : Layer.effectContext(serverWithWorkers)
    )
  )
}

type Needs = Config | HealthRef | Inspector | AdminPool | ShapeApi | ShapeRegistry | Storage

const serverWithWorkers: Effect.Effect<
  Context.Context<HttpServer | HttpWorkers>,
  ListenError,
  Needs | Scope.Scope
> = Effect.suspend(() =>
  Effect.gen(function* () {
    const config = yield* Config
    yield* portIsFree(config)
    const server = Context.get(yield* Layer.build(HttpServer.layer), HttpServer)
    const workers = yield* startWorkers(server.port)
    return Context.make(HttpServer, {
      port: server.port,
      url: server.url,
      running: () => server.running() + workers.running(),
      beginDrain: Effect.andThen(workers.beginDrain, server.beginDrain),
      expireHeld: Effect.andThen(workers.expireHeld, server.expireHeld),
      awaitIdle: Effect.gen(function* () {
        while (true) {
          yield* server.awaitIdle
          if (workers.running() === 0) return
          yield* Effect.sleep(idleCheckMillis)
        }
      })
    }).pipe(Context.add(HttpWorkers, workers.service))
  })
)

/** Does what a worker tells or asks. */
const makeReceive = Effect.fnUntraced(function* (
  workers: WorkerSet,
  port: number,
  socketPath: string | undefined
) {
  const config = yield* Config
  const health = yield* HealthRef
  const { engine } = yield* Storage
  const operator = Option.getOrUndefined(yield* Effect.serviceOption(OperatorDoor))
  const services = { registry: yield* ShapeRegistry, admin: yield* AdminPool, engine, operator }
  const run = yield* makeErrands
  const faults = yield* Faults
  const { servingLag } = yield* Metrics

  const touched = (ids: Uint32Array): void => {
    const now = engine.timers.epochMillis()
    for (const id of ids) {
      const shape = engine.store.get(id)
      if (shape !== undefined) shape.lastUsedMillis = now
    }
  }

  return (message: ToMain, link: WorkerLink): void => {
    switch (message._tag) {
      case "Hello":
        return link.send({
          _tag: "Start",
          number: link.number,
          config: plainConfig(config, port, engine.paths),
          state: health.current(),
          speaker: ownSpeaker,
          ...(socketPath === undefined ? {} : { tailSocket: socketPath })
        })
      case "Ready":
        workers.ready(link)
        return run(
          "A line of the log",
          Effect.logInfo(`HTTP worker ${link.number} answers requests (process ${link.pid})`)
        )
      case "Wake":
        if (abilities[health.current()].wakesOnRequest) run("Waking up", health.send("woken"))
        return
      case "Touched":
        return touched(message.ids)
      case "Delivered":
        return message.lsns.forEach((lsn, i) =>
          servingLag.deliveredElsewhere(lsn, message.millis[i] ?? 0, message.counts[i] ?? 0)
        )
      case "Fault":
        return faults.note(message.fault)
      case "Running":
        link.running = message.requests
        return
      case "Ask":
        return run(
          "The answer to a worker",
          Effect.map(answerWorker(services, message.question), (answer) =>
            link.send({ _tag: "Answer", id: message.id, answer })
          )
        )
      case "Report": // both are taken by the link
      case "Readers":
    }
  }
})

type Receive = Effect.Success<ReturnType<typeof makeReceive>>

/** One worker from start to end. */
const runOnce = (workers: WorkerSet, number: number, receive: Receive) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const link = new WorkerLink(number, receive)
      workers.add(link)
      return link
    }),
    (link) =>
      Effect.andThen(
        link.stop,
        Effect.sync(() => workers.retire(link))
      )
  ).pipe(
    // Neither rejects.
    Effect.flatMap((link) => Effect.promise(() => Promise.race([link.ended, link.isOther]))),
    Effect.scoped
  )

/** Starts a worker again whenever it ends, until none is wanted any more, or there are only files of another release. */
const supervise = Effect.fnUntraced(function* (workers: WorkerSet, number: number, receive: Receive) {
  const health = yield* HealthRef
  const { timers } = (yield* Storage).engine
  const isWanted = () => !workers.isDraining && !isStopping(health.current())
  yield* health.awaitState(
    (state) => abilities[state].servesExistingShapes || isStopping(state),
    "1000 weeks"
  )
  yield* health.awaitState((state) => abilities[state].createsShapes || isStopping(state), startDelayMillis)
  let delay = 0
  while (isWanted()) {
    const began = timers.nowMillis()
    const ending = yield* runOnce(workers, number, receive)
    if (!isWanted()) return
    if ("other" in ending) {
      if (!workers.filesReplaced)
        yield* reportFault("BATON-WORKER-REPLACED", filesReplaced(ownSpeaker, ending.other))
      workers.filesReplaced = true
      return
    }
    const { code, signal } = ending
    delay = restartDelayMillis(delay, timers.nowMillis() - began)
    workers.restarts++
    yield* reportFault(
      "BATON-WORKER-ENDED",
      `HTTP worker ${number} has ended (${signal ?? (code === null ? "it could not be started" : `code ${code}`)}). Its connections are cut, and ` +
        `their clients connect again. The next one starts in ${delay} ms; the other processes are not affected.`
    )
    yield* Effect.sleep(delay)
  }
})

/** Keeps what workers know true. */
const informWorkers = Effect.fnUntraced(function* (workers: WorkerSet) {
  const health = yield* HealthRef
  const inspector = yield* Inspector
  const { engine, writerUrl } = yield* Storage
  const { stream } = yield* Metrics
  const tell = (state: HealthState) =>
    Effect.sync(() =>
      workers.broadcast({ _tag: "State", state, writerUrl: writerUrl(), stream: stream.report })
    )
  yield* startDuty(duties.workerStates, Stream.runForEach(health.changes, tell))
  yield* startDuty(
    duties.workerHeartbeat,
    Effect.forever(
      Effect.andThen(
        Effect.sleep(heartbeatMillis),
        Effect.suspend(() => tell(health.current()))
      )
    )
  )
  yield* inspector.onChange((change) => workers.broadcast({ _tag: "TableChanged", oid: change.before.oid }))
  yield* announceDropped(engine, (ids) => workers.broadcast({ _tag: "Dropped", ids }))
})

const startWorkers = Effect.fnUntraced(function* (port: number) {
  const { bucket, httpWorkers } = yield* Config
  const workers = new WorkerSet()
  const tail = Option.getOrUndefined(yield* Effect.serviceOption(JournalTail))
  const socketPath = bucket === undefined || tail === undefined ? undefined : yield* tailSocket(tail)
  const receive = yield* makeReceive(workers, port, socketPath)
  yield* informWorkers(workers)
  for (let number = 1; number <= httpWorkers; number++)
    yield* startDuty(duties.workerSupervisor, supervise(workers, number, receive))
  return {
    running: () => workers.running(),
    beginDrain: Effect.sync(() => workers.beginDrain()),
    expireHeld: Effect.sync(() => workers.broadcast({ _tag: "Expire" })),
    service: HttpWorkers.of({
      configured: httpWorkers,
      ready: () => workers.countReady(),
      restarts: () => workers.restarts,
      reports: workers.reports,
      readersOf: (shapes) => workers.readersOf(shapes),
      retired: workers.retired
    })
  }
})
