import { Effect, Exit, Layer, Metric, Option } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { HttpServer } from "../http/node/HttpServer.ts"
import { mountOperator } from "../http/mount/RouterMount.ts"
import { OperatorDoor } from "../http/shape/OperatorDoor.ts"
import { ShapeApi } from "../http/shape/ShapeApi.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { Verifier } from "../instance/verify/Verifier.ts"
import { ShapeRegistry } from "../registry/ShapeRegistry.ts"
import { makeErrands } from "../shared/Duty.ts"
import { currentTimers } from "../shared/Timers.ts"
import { ShapeLogs } from "../storage/ShapeLogs.ts"
import { Storage } from "../storage/Storage.ts"
import { activeFaults, recentFaults } from "../telemetry/faults/RecentFaults.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Progress } from "../telemetry/Progress.ts"
import { HttpWorkers } from "../workers/HttpWorkers.ts"
import { LiveTicks } from "./api/LiveTicks.ts"
import { OperatorApi } from "./api/OperatorApi.ts"
import { problem } from "./api/OperatorReplies.ts"
import { EventLoopDelay } from "../telemetry/EventLoopDelay.ts"
import { makeStatus } from "./gather/GatherStatus.ts"
import type { OperatorServices } from "./Services.ts"

const liveEvent = (status: unknown): Uint8Array =>
  Buffer.from(`event: status\ndata: ${JSON.stringify(status)}\n\n`)

const noWorkers = {
  configured: 0,
  ready: () => 0,
  restarts: () => 0,
  reports: Effect.succeed([]),
  readersOf: (shapes) => Effect.succeed(new Uint32Array(shapes.length))
} satisfies OperatorServices["workers"]

/** Of the program that this is a part of, whoever asks later. */
const faultsOfProgram = Effect.map(Metric.MetricRegistry, (registry): OperatorServices["faults"] => {
  const here = Effect.provideService(Metric.MetricRegistry, registry)
  return { recent: here(recentFaults), active: here(activeFaults) }
})

export interface DashboardOptions {
  /** What the configuration was read from, for the page that shows it without its secrets; `process.env` by default. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /**
   * The program looks at who asks for `/baton` before Baton does: then no secret is needed. Without it, and without
   * `ELECTRIC_SECRET`, nobody is answered.
   */
  readonly guardedByHost?: boolean
}

const unguarded = problem(
  403,
  "unguarded",
  "There is no secret, so nobody may see this: set ELECTRIC_SECRET, or have the program look at who asks, and say so (guardedByHost)."
)

/**
 * The page for operators and its API, at `/baton` beside `/v1/`, for as long as the layer lives: all handlers of this `Baton.layer`
 * answer there. Does nothing before somebody asks.
 */
export const dashboardLayer = (options: DashboardOptions = {}) => openedDoor(options, "nobody")

/** `withoutSecret`: who is answered where there is none. */
const openedDoor = (options: DashboardOptions, withoutSecret: "everybody" | "nobody") =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const config = yield* Config
      const door = yield* OperatorDoor
      const { engine } = yield* Storage
      const progress = yield* Progress
      const services: OperatorServices = {
        config,
        environment: options.environment ?? process.env,
        timers: yield* currentTimers,
        health: yield* HealthRef,
        api: yield* ShapeApi,
        engine,
        logs: yield* ShapeLogs,
        registry: yield* ShapeRegistry,
        verifier: yield* Verifier,
        admin: yield* AdminPool,
        metrics: yield* Metrics,
        faults: yield* faultsOfProgram,
        progress: () => progress.reports(),
        server: Option.getOrUndefined(yield* Effect.serviceOption(HttpServer)),
        workers: Option.getOrElse(yield* Effect.serviceOption(HttpWorkers), () => noWorkers)
      }
      const status = yield* makeStatus(services)
      const run = yield* makeErrands
      const eventLoop = new EventLoopDelay()
      const ticks = new LiveTicks({
        timers: services.timers,
        onViewers: (areThere) => eventLoop.watch(areThere),
        look: (done) =>
          run(
            "A look for operators",
            Effect.onExit(status, (exit) =>
              Effect.sync(() =>
                done(
                  Exit.isSuccess(exit) ? liveEvent({ ...exit.value, eventLoop: eventLoop.look() }) : undefined
                )
              )
            )
          )
      })
      const api = new OperatorApi(services, status, ticks)
      yield* door.open({
        drain: api.drain,
        handle: (request, way) =>
          options.guardedByHost !== true && config.secret === undefined && withoutSecret === "nobody"
            ? Effect.succeed(unguarded)
            : api.handle(request, options.guardedByHost === true ? "host" : way)
      })
    })
  )

/** As `mountShapeApi`: adds `/baton` and what is below it to an `HttpRouter`, and the layer that answers there. */
export const mountDashboard = ({
  prefix,
  ...options
}: DashboardOptions & { readonly prefix?: `/${string}` } = {}) =>
  Layer.merge(dashboardLayer(options), mountOperator(prefix === undefined ? {} : { prefix }))

/** The same as the service itself has it: unless its configuration says that it has none. */
export const operatorOfService = Layer.unwrap(
  Effect.map(Config, ({ dashboard }) => (dashboard === "off" ? Layer.empty : openedDoor({}, "everybody")))
)
