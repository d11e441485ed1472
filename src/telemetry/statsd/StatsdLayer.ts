import { Effect, Layer } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import { Metrics, setEvents } from "../Metrics.ts"
import { statsdEvents } from "./StatsdEvents.ts"
import { Statsd } from "./StatsdSender.ts"

/** Sends to StatsD what is counted in everything that is built on it, where the configuration names a host. */
export const statsdLayer: Layer.Layer<never, never, Config> = Layer.effect(
  Statsd,
  Effect.gen(function* () {
    const { instanceId, statsd } = yield* Config
    if (statsd === undefined) return undefined
    const { makeStatsdClient } = yield* Effect.promise(() => import("./StatsdClient.ts"))
    const sender = yield* makeStatsdClient(statsd, instanceId)
    const metrics = yield* Metrics
    yield* Effect.acquireRelease(
      Effect.sync(() => setEvents(metrics, statsdEvents(sender))),
      () => Effect.sync(() => setEvents(metrics, undefined))
    )
    return sender
  })
)
