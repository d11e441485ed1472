import { Result } from "effect"
import {
  boolean,
  httpUrl,
  integer,
  type Kind,
  matching,
  nonEmptyBoolean,
  nonEmptyText,
  oneOf,
  ratio,
  text,
  time
} from "./Kind.ts"
import { defaulted, optional } from "./Variable.ts"

const logLevels = new Map([
  ["emergency", "error"],
  ["alert", "error"],
  ["critical", "error"],
  ["error", "error"],
  ["warning", "warning"],
  ["warn", "warning"],
  ["notice", "info"],
  ["info", "info"],
  ["debug", "debug"]
] as const)

const dashboards = new Map([
  ["auto", "auto"],
  ["metrics", "metrics"],
  ["off", "off"]
] as const)

/** `name=value,name=value`, percent-encoded, as OpenTelemetry and W3C Baggage have it. */
const pairs: Kind<Readonly<Record<string, string>>> = {
  accepts: "name=value pairs with commas between them, percent-encoded where need be",
  parse: (given) => {
    const found: Array<readonly [string, string]> = []
    for (const pair of given.split(",")) {
      const equals = pair.indexOf("=")
      if (pair.trim() === "") continue
      if (equals < 1) return Result.fail(`has no name=value: it must be ${pairs.accepts}`)
      try {
        found.push([
          decodeURIComponent(pair.slice(0, equals).trim()),
          decodeURIComponent(pair.slice(equals + 1).trim())
        ])
      } catch {
        return Result.fail(`is not percent-encoded as it should be: it must be ${pairs.accepts}`)
      }
    }
    return Result.succeed(Object.fromEntries(found))
  }
}

const names: Kind<ReadonlyArray<string>> = {
  accepts: "names with commas between them",
  parse: (given) =>
    Result.succeed(
      given
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "")
    )
}

const telemetry = "Telemetry" as const

/** What a service says of itself: log, metrics, traces. */
export const telemetryVariables = {
  logLevel: defaulted("ELECTRIC_LOG_LEVEL", "info", {
    group: telemetry,
    kind: oneOf(logLevels, { shown: ["error", "warning", "info", "debug"] }),
    about: "Least severe level that is logged."
  }),
  logFormat: defaulted("BATON_LOG_FORMAT", "auto", {
    group: telemetry,
    kind: oneOf(
      new Map([
        ["auto", "auto"],
        ["text", "text"],
        ["json", "json"]
      ] as const)
    ),
    about:
      "`text`: lines for people. `json`: one JSON object a line (`time`, `level`, `code`, `message`, `error`, `fields`). " +
      "`auto`: the one on a terminal, the other elsewhere."
  }),
  accessLog: defaulted("BATON_ACCESS_LOG", "false", {
    group: telemetry,
    kind: nonEmptyBoolean,
    about:
      "A line in the log for each request: method, path, status, milliseconds. Secrets in its query are hidden."
  }),
  slowRequest: defaulted("BATON_SLOW_REQUEST", "5s", {
    group: telemetry,
    kind: time({ zero: "turns it off" }),
    about:
      "A request that waits for no change and takes longer is in the log, with the class of its condition."
  }),
  logColors: defaulted("ELECTRIC_LOG_COLORS", "true", {
    group: telemetry,
    kind: nonEmptyBoolean,
    about: "Colours in the log, which appear on a terminal only."
  }),
  prometheusPort: optional("ELECTRIC_PROMETHEUS_PORT", {
    group: telemetry,
    kind: integer(1, 65_535),
    about: "Port that serves `GET /metrics` in the text format of Prometheus. Unset: none."
  }),
  dashboard: defaulted("BATON_DASHBOARD", "auto", {
    group: telemetry,
    kind: oneOf(dashboards),
    about:
      "Where the page for operators at `/baton` and its API are served ([dashboard.md](dashboard.md)). `auto`: on the port of " +
      "metrics, if there is one, and on that of the API behind `ELECTRIC_SECRET`; `metrics`: on the port of metrics only; `off`: nowhere."
  }),
  otlpEndpoint: optional("ELECTRIC_OTLP_ENDPOINT", {
    group: telemetry,
    kind: httpUrl,
    about:
      "Base URL of an OpenTelemetry collector for traces, metrics and logs over OTLP/HTTP, such as `http://collector:4318`: see [telemetry.md](telemetry.md). Unset: `OTEL_EXPORTER_OTLP_ENDPOINT`."
  }),
  otelEndpoint: optional("OTEL_EXPORTER_OTLP_ENDPOINT", {
    group: telemetry,
    kind: httpUrl,
    about: "The same, by OpenTelemetry's name. Unset: nothing is exported."
  }),
  otelTracesEndpoint: optional("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", {
    group: telemetry,
    kind: httpUrl,
    about: "Whole URL for traces. Unset: `v1/traces` below the base URL. The next two likewise."
  }),
  otelMetricsEndpoint: optional("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", {
    group: telemetry,
    kind: httpUrl,
    about: "Whole URL for metrics."
  }),
  otelLogsEndpoint: optional("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", {
    group: telemetry,
    kind: httpUrl,
    about: "Whole URL for logs."
  }),
  otelHeaders: optional("OTEL_EXPORTER_OTLP_HEADERS", {
    group: telemetry,
    kind: pairs,
    secret: true,
    about: "Headers of all requests to the collector."
  }),
  otelProtocol: defaulted("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", {
    group: telemetry,
    kind: text,
    about: "How it is written: `http/protobuf` or `http/json`. There is no gRPC."
  }),
  otelCompression: defaulted("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", {
    group: telemetry,
    kind: oneOf(
      new Map([
        ["gzip", "gzip"],
        ["none", "none"]
      ] as const)
    ),
    about: "How it is compressed."
  }),
  otelDisabled: defaulted("OTEL_SDK_DISABLED", "false", {
    group: telemetry,
    kind: boolean,
    about: "Exports nothing, whatever else is set."
  }),
  otelTraces: defaulted("OTEL_TRACES_EXPORTER", "otlp", {
    group: telemetry,
    kind: names,
    about: "`none`, or anything else than `otlp`: no traces. The next two likewise."
  }),
  otelMetrics: defaulted("OTEL_METRICS_EXPORTER", "otlp", {
    group: telemetry,
    kind: names,
    about: "`none`: no metrics over OTLP."
  }),
  otelLogs: defaulted("OTEL_LOGS_EXPORTER", "otlp", {
    group: telemetry,
    kind: names,
    about: "`none`: no logs over OTLP."
  }),
  otelSampler: optional("OTEL_TRACES_SAMPLER", {
    group: telemetry,
    kind: text,
    about:
      "`always_on`, `always_off` or `traceidratio`, with `parentbased_` before it or without. `traceidratio` takes `OTEL_TRACES_SAMPLER_ARG` as the share. A caller that has begun a trace decides for its request in any case. Unset: `ELECTRIC_OTEL_SAMPLING_RATIO`."
  }),
  otelSamplerShare: defaulted("OTEL_TRACES_SAMPLER_ARG", "1", {
    group: telemetry,
    kind: ratio,
    about: "Share of traces that begin here."
  }),
  samplingRatio: defaulted("ELECTRIC_OTEL_SAMPLING_RATIO", "0.01", {
    group: telemetry,
    kind: ratio,
    about: "Share of transactions, and of requests without a trace of their caller, that are traced."
  }),
  otelMetricsInterval: optional("OTEL_METRIC_EXPORT_INTERVAL", {
    group: telemetry,
    kind: integer(100, 2 ** 31 - 1),
    about: "Milliseconds between two exports of metrics. Unset: `ELECTRIC_OTEL_EXPORT_PERIOD`."
  }),
  otelExportPeriod: defaulted("ELECTRIC_OTEL_EXPORT_PERIOD", "30s", {
    group: telemetry,
    kind: time(),
    about: "Time between two exports of metrics."
  }),
  excludedSpans: defaulted("ELECTRIC_EXCLUDE_SPANS", "", {
    group: telemetry,
    kind: names,
    about: "Spans that are left out, with all below them."
  }),
  dropEmptySpans: defaulted("ELECTRIC_DROP_EMPTY_RESPONSE_SPANS", "false", {
    group: telemetry,
    kind: boolean,
    about:
      "No spans for answers without news. Those of long polls whose time was over have none in any case; metrics count them."
  }),
  printSpans: defaulted("ELECTRIC_OTEL_DEBUG", "false", {
    group: telemetry,
    kind: boolean,
    about: "Log each span that is exported, too."
  }),
  honeycombKey: optional("ELECTRIC_HNY_API_KEY", {
    group: telemetry,
    kind: text,
    secret: true,
    about: "Key for Honeycomb: the header `x-honeycomb-team`."
  }),
  honeycombDataset: optional("ELECTRIC_HNY_DATASET", {
    group: telemetry,
    kind: text,
    about: "Data set at Honeycomb: the header `x-honeycomb-dataset`."
  }),
  serviceName: optional("ELECTRIC_SERVICE_NAME", {
    group: telemetry,
    kind: nonEmptyText("at least one character"),
    about: "Name of the service in telemetry. Unset: `OTEL_SERVICE_NAME`, else `electric`."
  }),
  otelServiceName: optional("OTEL_SERVICE_NAME", {
    group: telemetry,
    kind: nonEmptyText("at least one character"),
    about: "The same, by OpenTelemetry's name."
  }),
  resourceAttributes: optional("OTEL_RESOURCE_ATTRIBUTES", {
    group: telemetry,
    kind: pairs,
    about: "Attributes of everything that is exported over OTLP."
  }),
  statsdHost: optional("ELECTRIC_STATSD_HOST", {
    group: telemetry,
    kind: matching("a host, or host:port", /^(?:[^\s:]+|\[[0-9a-fA-F:]+\])?(?::\d{1,5})?$/),
    about:
      "Host that takes StatsD packets in the form of DogStatsD, on port 8125 unless one is named: see [telemetry.md](telemetry.md#statsd). Unset or empty: none."
  }),
  metricsPoll: defaulted("ELECTRIC_SYSTEM_METRICS_POLL_INTERVAL", "5s", {
    group: telemetry,
    kind: time(),
    about: "How often figures that are not events are sent to StatsD."
  })
} as const
