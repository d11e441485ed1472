import { Effect, Exit, Layer, Metric, Option } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { HttpServer } from "../http/node/HttpServer.ts"
import { OperatorDoor } from "../http/shape/OperatorDoor.ts"
import { ShapeApi } from "../http/shape/ShapeApi.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
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
import { EventLoopDelay } from "../telemetry/EventLoopDelay.ts"
import { makeStatus } from "./gather/GatherStatus.ts"
import type { OperatorServices } from "./Services.ts"

const liveEvent = (status: unknown): Uint8Array =>
  Buffer.from(`event: status\ndata: ${JSON.stringify(status)}\n\n`)

const noWorkers = {
  configured: 0,
  ready: () => 0,
  restarts: () => 0,
  reports: Effect.succeed([])
} satisfies OperatorServices["workers"]

/** Of the program that this is a part of, whoever asks later. */
const faultsOfProgram = Effect.map(Metric.MetricRegistry, (registry): OperatorServices["faults"] => {
  const here = Effect.provideService(Metric.MetricRegistry, registry)
  return { recent: here(recentFaults), active: here(activeFaults) }
})

interface OperatorOptions {
  /** What the configuration was read from, for the page that shows it without its secrets; `process.env` by default. */
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/** Opens the door for operators (`OperatorDoor`) for as long as the layer lives. Does nothing before somebody asks. */
const operatorLayer = (options: OperatorOptions = {}) =>
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
      yield* door.open(new OperatorApi(services, status, ticks))
    })
  )

/** The same as the service itself has it: unless its configuration says that it has none. */
export const operatorOfService = Layer.unwrap(
  Effect.map(Config, ({ dashboard }) => (dashboard === "off" ? Layer.empty : operatorLayer()))
)
