import { ConfigProvider, Context, Effect, Layer, Logger, Option, Tracer } from "effect"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import type { OtlpConfig } from "../../config/OtlpConfig.ts"
import { makeErrands } from "../../shared/Duty.ts"
import type { ExportOptions } from "./ExportOptions.ts"
import { otlpClient } from "./OtlpClient.ts"
import { makeOtlpLogger } from "./OtlpLogger.ts"
import { printedSpan } from "./PrintedSpan.ts"
import { Tracing } from "./Tracing.ts"

/** Spans of rare work that nobody has asked for. All others without one above them, such as queries of duties, are left out. */
const roots: ReadonlySet<string> = new Set([
  "ReplicationStream.connect",
  "ReplicationStream.ensureSlot",
  "LockService.acquire",
  "Storage.load",
  "Publication.ensureExists",
  "Instance.shutdown"
])

/** What all exporters need. Nothing is read of the environment once more: the configuration says it. */
export const exporting = ({ protocol }: OtlpConfig) =>
  Layer.mergeAll(
    protocol === "json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf,
    otlpClient,
    OtlpExporter.layerFlusher,
    ConfigProvider.layer(ConfigProvider.fromUnknown({}))
  )

/** Leaves out what is not wanted, and tells of the rest in the log where that is asked for. */
const chosen = (inner: Tracer.Tracer, otlp: OtlpConfig, print: (line: string) => void): Tracer.Tracer => {
  const excluded = new Set(otlp.excludedSpans)
  return Tracer.make({
    span: (options) => {
      const isStray = Option.isNone(options.parent) && !options.root && !roots.has(options.name)
      const sampled = options.sampled && !isStray && !excluded.has(options.name)
      const span = inner.span({ ...options, sampled })
      return sampled && otlp.printsSpans ? printedSpan(span, print) : span
    },
    ...(inner.context === undefined ? {} : { context: inner.context })
  })
}

const tracerLayer = (url: string, otlp: OtlpConfig, options: ExportOptions) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const inner = yield* OtlpTracer.make({ url, ...options })
      const run = yield* makeErrands
      const print = (line: string) => run("A line of the log", Effect.logInfo(line))
      const tracer = chosen(inner, otlp, print)
      const { dropsEmpty, sampledShare } = otlp
      return Context.make(Tracer.Tracer, tracer).pipe(
        Context.add(Tracing, { tracer, sampledShare, dropsEmpty })
      )
    })
  )

/** Exporters of traces and logs, as the configuration wants them. */
export const otlpLayer = (otlp: OtlpConfig, options: ExportOptions): Layer.Layer<never> => {
  const { logs, traces } = otlp
  const wanted = Layer.merge(
    traces === undefined ? Layer.empty : tracerLayer(traces, otlp, options),
    logs === undefined
      ? Layer.empty
      : Logger.layer([makeOtlpLogger(logs, options)], { mergeWithExisting: true })
  )
  return Layer.provide(wanted, exporting(otlp))
}
