import { Context, Effect, Layer, ManagedRuntime } from "effect"
import { Baton } from "./Baton.ts"
import { Config } from "./config/BatonConfig.ts"
import { configFromEnvironment } from "./config/configFromEnvironment.ts"
import type { Environment } from "./config/EnvironmentReader.ts"
import { HealthRef } from "./health/HealthRef.ts"
import type { HealthState } from "./health/HealthState.ts"
import { type AuthorizedShape, type AuthorizeRequest, Refused } from "./http/Authorize.ts"
import { type FetchHandler, makeFetchHandler } from "./http/FetchHandler.ts"
import { makeNodeHandler, type NodeHandler } from "./http/NodeHandler.ts"
import type { ShapeApiOptions } from "./http/ShapeApi.ts"
import { instanceInBackground } from "./instance/Background.ts"
import * as Logs from "./telemetry/Logs.ts"

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
}

/** A running service without a port. */
export interface EmbeddedBaton {
  /** For `node:http`, Express and all that take `(request, response)`. */
  readonly handler: NodeHandler
  /** For Hono, Next.js and all that speak the Fetch API. */
  readonly fetch: FetchHandler
  readonly health: () => HealthState
  /**
   * Gives the lock back at once, then waits for the requests that `handler` and `fetch` are still answering,
   * `BATON_SHUTDOWN_GRACE` at most. Stop listening after that.
   */
  readonly close: () => Promise<void>
}

class Embedded extends Context.Service<Embedded, Omit<EmbeddedBaton, "close">>()("baton/Embedded") {}

/**
 * Starts the service inside a program that is not written with Effect. Resolves when requests can be answered, which is
 * before this instance is active; rejects with a `ConfigError` when the configuration cannot be used.
 */
export const embed = async (options: EmbedOptions = {}): Promise<EmbeddedBaton> => {
  const { authorize, environment, prefix = "", ...apiOptions } = options
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
  const handlers = Layer.effect(
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
      yield* Effect.addFinalizer(() =>
        Effect.timeoutOption(Effect.andThen(handler.awaitIdle, fetch.awaitIdle), config.shutdownGraceMillis)
      )
      return { handler, fetch, health: health.current }
    })
  )
  const runtime = ManagedRuntime.make(
    instanceInBackground.pipe(
      Layer.provideMerge(handlers),
      Layer.provide(api),
      Layer.provide(Logs.layerFromConfig),
      Layer.provide(configFromEnvironment(environment))
    )
  )
  const { handler, fetch, health } = await runtime.runPromise(Embedded)
  return { handler, fetch, health, close: () => runtime.dispose() }
}
