import { Context, Effect, Layer, Option, type Scope, Stream } from "effect"
import { duties } from "../health/Duties.ts"
import { makeErrands, startDuty } from "../shared/Duty.ts"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { abilities, isStopping } from "../health/HealthState.ts"
import { HttpServer, type ListenError } from "../http/node/HttpServer.ts"
import type { ShapeApi } from "../http/shape/ShapeApi.ts"
import { Inspector } from "../postgres/catalogue/Inspector.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { ShapeRegistry } from "../registry/ShapeRegistry.ts"
import { Storage } from "../storage/Storage.ts"
import type { ProcessReport } from "../telemetry/ProcessReport.ts"
import { RequestCounts } from "../telemetry/RequestCounts.ts"
import { announceDropped } from "./AnnounceDropped.ts"
import { answerWorker } from "./AnswerWorker.ts"
import { plainConfig } from "./PlainConfig.ts"
import { portIsFree } from "./PortIsFree.ts"
import { heartbeatMillis, type ToMain, type ToWorker } from "./WorkerProtocol.ts"
import { restartDelayMillis } from "./RestartPolicy.ts"
import { WorkerLink } from "./WorkerLink.ts"

/** A new instance is to become active first: workers take the processor that it needs. */
const startDelayMillis = 1000
const idleCheckMillis = 20

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

const startWorkers = Effect.fnUntraced(function* (port: number) {
  const config = yield* Config
  const health = yield* HealthRef
  const inspector = yield* Inspector
  const registry = yield* ShapeRegistry
  const admin = yield* AdminPool
  const { engine } = yield* Storage
  const run = yield* makeErrands
  const links = new Set<WorkerLink>()
  const retired = { requests: new RequestCounts(), rejected: { initial: 0, existing: 0 } }
  let restarts = 0
  let draining = false

  const isWanted = () => !draining && !isStopping(health.current())

  const broadcast = (message: ToWorker): void => {
    for (const link of links) link.send(message)
  }

  const receive = (message: ToMain, link: WorkerLink): void => {
    switch (message._tag) {
      case "Hello":
        return link.send({
          _tag: "Start",
          number: link.number,
          config: plainConfig(config, port, engine.paths),
          state: health.current()
        })
      case "Ready":
        link.isReady = true
        if (draining) link.send({ _tag: "Drain" })
        run(
          "A line of the log",
          Effect.logInfo(`HTTP worker ${link.number} answers requests (process ${link.pid})`)
        )
        return
      case "Wake":
        if (abilities[health.current()].wakesOnRequest) run("Waking up", health.send("woken"))
        return
      case "Touched": {
        const now = engine.timers.epochMillis()
        for (const id of message.ids) {
          const shape = engine.store.get(id)
          if (shape !== undefined) shape.lastUsedMillis = now
        }
        return
      }
      case "Running":
        link.running = message.requests
        return
      case "Ask":
        run(
          "The answer to a worker",
          Effect.map(answerWorker({ registry, admin, engine }, message.question), (answer) =>
            link.send({ _tag: "Answer", id: message.id, answer })
          )
        )
        return
      case "Report": // taken by the link
    }
  }

  yield* startDuty(
    duties.workerStates,
    Stream.runForEach(health.changes, (state) => Effect.sync(() => broadcast({ _tag: "State", state })))
  )
  yield* startDuty(
    duties.workerHeartbeat,
    Effect.forever(
      Effect.andThen(
        Effect.sleep(heartbeatMillis),
        Effect.sync(() => broadcast({ _tag: "State", state: health.current() }))
      )
    )
  )
  yield* inspector.onChange((change) => broadcast({ _tag: "TableChanged", oid: change.before.oid }))

  yield* announceDropped(engine, (ids) => broadcast({ _tag: "Dropped", ids }))

  /** One worker from start to end. */
  const runOnce = (number: number) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const link = new WorkerLink(number, receive)
        links.add(link)
        return link
      }),
      (link) =>
        Effect.andThen(
          link.stop,
          Effect.sync(() => {
            links.delete(link)
            const last = link.lastReport
            if (last === undefined) return
            retired.requests.addAll(last.requests)
            for (const kind of ["initial", "existing"] as const)
              retired.rejected[kind] += last.admission[kind].rejected
          })
        )
    ).pipe(
      Effect.flatMap((link) => Effect.promise(() => link.ended)),
      Effect.scoped
    )

  const supervise = (number: number) =>
    Effect.gen(function* () {
      yield* health.awaitState(
        (state) => abilities[state].servesExistingShapes || isStopping(state),
        "1000 weeks"
      )
      yield* health.awaitState(
        (state) => abilities[state].createsShapes || isStopping(state),
        startDelayMillis
      )
      let delay = 0
      while (isWanted()) {
        const began = engine.timers.nowMillis()
        const { code, signal } = yield* runOnce(number)
        if (!isWanted()) return
        delay = restartDelayMillis(delay, engine.timers.nowMillis() - began)
        restarts++
        yield* Effect.logWarning(
          `HTTP worker ${number} has ended (${signal ?? (code === null ? "it could not be started" : `code ${code}`)}). Its connections are cut, and ` +
            `their clients connect again. The next one starts in ${delay} ms; the other processes are not affected.`
        )
        yield* Effect.sleep(delay)
      }
    })
  for (let number = 1; number <= config.httpWorkers; number++)
    yield* startDuty(duties.workerSupervisor, supervise(number))

  return {
    running: () => {
      let sum = 0
      for (const link of links) sum += link.running
      return sum
    },
    beginDrain: Effect.sync(() => {
      draining = true
      // Until a worker has said how many requests it has, it may have some.
      for (const link of links) if (link.isReady) link.running = Math.max(link.running, 1)
      broadcast({ _tag: "Drain" })
    }),
    expireHeld: Effect.sync(() => broadcast({ _tag: "Expire" })),
    service: HttpWorkers.of({
      configured: config.httpWorkers,
      ready: () => [...links].filter((link) => link.isReady).length,
      restarts: () => restarts,
      reports: Effect.suspend(() =>
        Effect.all(
          [...links].map((link) => link.report),
          { concurrency: "unbounded" }
        )
      ).pipe(Effect.map((reports) => reports.flatMap(Option.toArray))),
      retired
    })
  }
})
