import { Redacted } from "effect"
import type { EnvironmentReader } from "./EnvironmentReader.ts"
import type { OtlpConfig, StatsdConfig, TelemetryResource } from "./OtlpConfig.ts"
import type { Variable } from "./Variable.ts"
import { telemetryVariables as v } from "./TelemetryVariables.ts"

/** Electric's own name for itself: what its dashboards look for. */
const standardServiceName = "electric"
const statsdPort = 8125

export const readResource = (reader: EnvironmentReader): TelemetryResource => {
  const { "service.name": named, ...attributes } = reader.optional(v.resourceAttributes) ?? {}
  const serviceName =
    reader.optional(v.serviceName) ?? reader.optional(v.otelServiceName) ?? named ?? standardServiceName
  return { serviceName, attributes }
}

const below = (base: string, path: string): string => `${base.replace(/\/+$/, "")}/v1/${path}`

const formats = new Map([
  ["http/protobuf", "protobuf"],
  ["http/json", "json"]
] as const)

const readFormat = (reader: EnvironmentReader): OtlpConfig["protocol"] => {
  const named = reader.read(v.otelProtocol)
  const format = formats.get(named as "http/json")
  if (format === undefined)
    reader.problem(
      `${v.otelProtocol.name}=${JSON.stringify(named.slice(0, 40))}: it must be http/protobuf or http/json, because telemetry is exported over HTTP ` +
        "(collectors listen for that on port 4318); to export none, set OTEL_SDK_DISABLED=true"
    )
  return format ?? "protobuf"
}

const readShare = (reader: EnvironmentReader): number => {
  const sampler = reader.optional(v.otelSampler)
  if (sampler === undefined || sampler === "") return reader.read(v.samplingRatio)
  switch (sampler.replace("parentbased_", "")) {
    case "always_on":
      return 1
    case "always_off":
      return 0
    case "traceidratio":
      return reader.read(v.otelSamplerShare)
    default:
      reader.warn(
        `${v.otelSampler.name} names a sampler that is not known here: ${v.samplingRatio.name} decides`
      )
      return reader.read(v.samplingRatio)
  }
}

const headersOf = (
  { dataset, team }: { readonly team: string | undefined; readonly dataset: string | undefined },
  others: Readonly<Record<string, string>> | undefined
): OtlpConfig["headers"] =>
  Redacted.make({
    ...(team === undefined || team === "" ? {} : { "x-honeycomb-team": team }),
    ...(dataset === undefined || dataset === "" ? {} : { "x-honeycomb-dataset": dataset }),
    ...others
  })

/**
 * Undefined where nothing is to be exported. Then variables of OpenTelemetry may say whatever others need; those of Electric are
 * looked at in any case.
 */
export const readOtlp = (reader: EnvironmentReader): OtlpConfig | undefined => {
  const excludedSpans = reader.read(v.excludedSpans)
  const dropsEmpty = reader.read(v.dropEmptySpans)
  const printsSpans = reader.read(v.printSpans)
  const periodMillis = reader.read(v.otelExportPeriod)
  reader.read(v.samplingRatio)
  const keys = { team: reader.optional(v.honeycombKey), dataset: reader.optional(v.honeycombDataset) }
  const base = reader.optional(v.otlpEndpoint) ?? reader.optional(v.otelEndpoint)
  if (reader.read(v.otelDisabled)) return undefined
  const address = (
    whole: Variable<string>,
    exporters: Variable<ReadonlyArray<string>>,
    path: string
  ): string | undefined => {
    const named = reader.optional(whole) ?? (base === undefined ? undefined : below(base, path))
    const isWanted = reader.optional(exporters)?.includes("otlp") ?? true
    return isWanted ? named : undefined
  }
  const traces = address(v.otelTracesEndpoint, v.otelTraces, "traces")
  const metrics = address(v.otelMetricsEndpoint, v.otelMetrics, "metrics")
  const logs = address(v.otelLogsEndpoint, v.otelLogs, "logs")
  if (traces === undefined && metrics === undefined && logs === undefined) return undefined
  return {
    traces,
    metrics,
    logs,
    headers: headersOf(keys, reader.optional(v.otelHeaders)),
    protocol: readFormat(reader),
    compression: reader.read(v.otelCompression),
    metricsMillis: reader.optional(v.otelMetricsInterval) ?? periodMillis,
    sampledShare: readShare(reader),
    excludedSpans,
    dropsEmpty,
    printsSpans
  }
}

export const readStatsd = (reader: EnvironmentReader): StatsdConfig | undefined => {
  const named = reader.optional(v.statsdHost)
  if (named === undefined || named === "") return undefined
  const [, host = "", port] = /^(.*?)(?::(\d+))?$/.exec(named) ?? []
  return {
    host: host.replace(/^\[|\]$/g, ""),
    port: port === undefined ? statsdPort : Number(port),
    everyMillis: reader.read(v.metricsPoll)
  }
}
