import { tellConfigAdvice } from "./config/ConfigAdvice.ts"
import { reportFault } from "./telemetry/faults/ReportFault.ts"
import { Cause, Context, Effect, Layer, ManagedRuntime, Stream } from "effect"
import { duties } from "./health/Duties.ts"
import { startDuty } from "./shared/Duty.ts"
import { Baton } from "./Baton.ts"
import { Config } from "./config/BatonConfig.ts"
import { readConfiguration } from "./config/ConfigFromEnvironment.ts"
import type { Environment } from "./config/EnvironmentReader.ts"
import { HealthRef } from "./health/HealthRef.ts"
import type { HealthState } from "./health/HealthState.ts"
import { type AuthorizedShape, type AuthorizeRequest, Refused } from "./http/hook/Authorize.ts"
import { type FetchHandler, makeFetchHandler } from "./http/mount/FetchHandler.ts"
import { makeNodeHandler, type NodeHandler } from "./http/node/NodeHandler.ts"
import type { ShapeApiOptions } from "./http/shape/ShapeApi.ts"
import { instanceInBackgroundWith } from "./instance/Background.ts"
import type { InstanceFailed } from "./instance/Instance.ts"
import { type HostLogger, hostLoggerLayer } from "./telemetry/HostLogger.ts"
import { dashboardLayer } from "./operator/OperatorLive.ts"
import * as Logs from "./telemetry/Logs.ts"

/** The state of an embedded instance; `failed` while an operator has to mend something before it can become active. */
export type EmbeddedHealth = HealthState | "failed"

export interface EmbedOptions extends Omit<ShapeApiOptions, "authorize"> {
  /** The variables of `docs/configuration.md`; `process.env` by default. */
  readonly environment?: Environment
  /** Path under which the API is mounted, such as `/sync`, where the framework does not strip it. */
  readonly prefix?: string
  /**
   * Decides who may read what: returns the shape that is to be served, the client's own (`request.shape`) or another one,
   * or throws `Refused` or a `Response`. Whatever else it throws is a 500.
   */
  readonly authorize?: (request: AuthorizeRequest) => AuthorizedShape | Promise<AuthorizedShape>
  /**
   * Serves the page for operators at `/baton` (docs/dashboard.md), to who has `ELECTRIC_SECRET`. `guardedByHost`: to whoever gets
   * there, because the program looks at them before. By default there is none.
   */
  readonly dashboard?: boolean | "guardedByHost"
  /** Where Baton's log goes, from `ELECTRIC_LOG_LEVEL` on; to standard output in Baton's own form by default. */
  readonly logger?: HostLogger
  /** Called with the state at the start and after every change of it. */
  readonly onHealth?: (health: EmbeddedHealth) => void
  /**
   * Called when the instance meets what somebody has to mend: a wrong password, `wal_level`, a storage directory that cannot
   * be used. It goes on trying, so a program that should end instead ends itself here.
   */
  readonly onFailure?: (error: InstanceFailed) => void
}

/** A running service without a port. */
export interface EmbeddedBaton {
  /** For `node:http`, Express and all that take `(request, response)`. */
  readonly handler: NodeHandler
  /** For Hono, Next.js and all that speak the Fetch API. */
  readonly fetch: FetchHandler
  readonly health: () => EmbeddedHealth
  /** Resolves with what `onFailure` is called with first; never, where nothing goes wrong. Never rejects. */
  readonly failed: Promise<InstanceFailed>
  /**
   * Gives the lock back at once, then waits for the requests that `handler` and `fetch` are still answering,
   * `BATON_SHUTDOWN_GRACE` at most. Stop listening after that.
   */
  readonly close: () => Promise<void>
}

type Inner = Pick<EmbeddedBaton, "handler" | "fetch" | "health">

class Embedded extends Context.Service<Embedded, Inner>()("baton/Embedded") {}

/** A function of the program: when it throws, that is said, and nothing else comes of it. */
const calling = (name: string, call: () => void): Effect.Effect<void> =>
  Effect.catchDefect(Effect.sync(call), (defect) =>
    reportFault("BATON-HOST-CALLBACK", {
      message: `The function ${name} of this program failed.`,
      cause: Cause.die(defect)
    })
  )

const healthOf = (health: HealthRef["Service"]): EmbeddedHealth => {
  const state = health.current()
  return health.failure() !== undefined && state !== "active" ? "failed" : state
}

/** Everything but the instance, which tells of its failures through `told`. */
const handlersLayer = (prefix: string, tellHealth: (health: HealthRef["Service"]) => Effect.Effect<void>) =>
  Layer.effect(
    Embedded,
    Effect.gen(function* () {
      const config = yield* Config
      const health = yield* HealthRef
      const handler = yield* makeNodeHandler({
        sendTimeoutMillis: config.tcpSendTimeoutMillis,
        pipelinedRequests: config.limits.pipelinedRequests,
        prefix
      })
      const fetch = yield* makeFetchHandler({ prefix })
      yield* startDuty(
        duties.healthListener,
        Stream.runForEach(health.changes, () => tellHealth(health))
      )
      yield* Effect.addFinalizer(() =>
        Effect.timeoutOption(Effect.andThen(handler.awaitIdle, fetch.awaitIdle), config.shutdownGraceMillis)
      )
      return { handler, fetch, health: () => healthOf(health) }
    })
  )

/** Those of OpenTelemetry are for the program, which exports what is its own, and may need what would be a mistake here. */
const ownVariables = (environment: Environment): Environment =>
  Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("OTEL_")))

/**
 * Starts the service inside a program that is not written with Effect. Resolves when requests can be answered, which is
 * before this instance is active; rejects with a `ConfigError` when the configuration cannot be used. What goes wrong later
 * is told by `onFailure`, `failed` and `/v1/health`.
 */
export const embed = async (options: EmbedOptions = {}): Promise<EmbeddedBaton> => {
  const {
    authorize,
    dashboard = false,
    environment,
    logger,
    onFailure,
    onHealth,
    prefix = "",
    ...apiOptions
  } = options
  const { config, warnings } = await Effect.runPromise(
    readConfiguration(ownVariables(environment ?? process.env), { guarded: authorize !== undefined })
  )
  const api = Baton.layer({
    ...apiOptions,
    ...(authorize === undefined
      ? {}
      : {
          authorize: (request: AuthorizeRequest) =>
            Effect.tryPromise({ try: async () => authorize(request), catch: (error) => error }).pipe(
              Effect.catch((error) => (error instanceof Refused ? Effect.fail(error) : Effect.die(error)))
            )
        })
  })
  let lastTold: EmbeddedHealth | undefined
  const tellHealth = (health: HealthRef["Service"]) =>
    Effect.suspend(() => {
      const now = healthOf(health)
      if (onHealth === undefined || now === lastTold) return Effect.void
      lastTold = now
      return calling("onHealth", () => onHealth(now))
    })
  const failure = Promise.withResolvers<InstanceFailed>()
  const instance = instanceInBackgroundWith({
    onFailure: (error) => {
      failure.resolve(error)
      return Effect.andThen(
        Effect.flatMap(HealthRef, tellHealth),
        onFailure === undefined ? Effect.void : calling("onFailure", () => onFailure(error))
      )
    },
    onHealed: Effect.flatMap(HealthRef, tellHealth)
  })
  const saidAtStart = Layer.effectDiscard(tellConfigAdvice(warnings))
  const logs = logger === undefined ? Logs.layerFromConfig : hostLoggerLayer(logger, config.logLevel)
  const runtime = ManagedRuntime.make(
    instance.pipe(
      Layer.provideMerge(handlersLayer(prefix, tellHealth)),
      Layer.provide(
        dashboard === false
          ? api
          : dashboardLayer({
              ...(environment === undefined ? {} : { environment }),
              guardedByHost: dashboard === "guardedByHost"
            }).pipe(Layer.provideMerge(api))
      ),
      Layer.provide(saidAtStart),
      Layer.provide(logs),
      Layer.provide(Layer.succeed(Config, config))
    )
  )
  const inner = await runtime.runPromise(Embedded)
  return { ...inner, failed: failure.promise, close: () => runtime.dispose() }
}
