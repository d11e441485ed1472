import { Effect, Layer, References } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import { exportOptions } from "./ExportOptions.ts"

/** Effect makes a span for each place that asks for one, wherever it goes: nobody is to pay for those that go nowhere. */
const untraced = Layer.succeed(References.TracerEnabled, false)

/**
 * Exports traces and logs of everything that is built on it, beside the loggers that there are, where the configuration names a
 * collector. Otherwise nothing is loaded, and no span is made.
 */
export const telemetryLayer: Layer.Layer<never, never, Config> = Layer.unwrap(
  Effect.gen(function* () {
    const { instanceId, otlp, telemetryResource } = yield* Config
    if (otlp === undefined) return untraced
    const { otlpLayer } = yield* Effect.promise(() => import("./OtlpLayers.ts"))
    const layer = otlpLayer(otlp, exportOptions(otlp, telemetryResource, instanceId))
    return otlp.traces === undefined ? Layer.merge(layer, untraced) : layer
  })
)
