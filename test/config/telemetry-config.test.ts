import { Redacted, Result } from "effect"
import { assert, describe, it } from "vitest"
import { parseConfig } from "../../src/config/ParseConfig.ts"
import { telemetryVariables } from "../../src/config/TelemetryVariables.ts"
import { configOfPlain, plainConfig } from "../../src/workers/PlainConfig.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"

type Env = Readonly<Record<string, string>>

const parsed = (env: Env) =>
  parseConfig(
    { DATABASE_URL: "postgresql://me:pw@db/shop", ELECTRIC_SECRET: "s", ...env },
    { uuid: () => "u" }
  )
const complete = (env: Env) => {
  const found = Result.getOrThrow(parsed(env))
  if (found._tag !== "Complete") throw new Error("a database was given")
  return found
}
const otlpOf = (env: Env) => complete(env).config.otlp
const addresses = (env: Env) => {
  const { logs, metrics, traces } = otlpOf(env) ?? {}
  return [traces, metrics, logs]
}
const resource = (env: Env) => complete(env).config.telemetryResource
const statsd = (host: string, env: Env = {}) => complete({ ELECTRIC_STATSD_HOST: host, ...env }).config.statsd
const problemsOf = (env: Env) => {
  const found = parsed(env)
  return Result.isFailure(found) ? found.failure.problems : []
}
const on = { ELECTRIC_OTLP_ENDPOINT: "http://collector:4318" }

describe("telemetry in the configuration", () => {
  it("is off unless an endpoint is named, whatever else OpenTelemetry's variables say to others", () => {
    assert.isUndefined(otlpOf({}))
    assert.isUndefined(complete({}).config.statsd)
    const others = {
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      OTEL_TRACES_SAMPLER: "xray",
      OTEL_METRICS_EXPORTER: "console"
    }
    assert.deepStrictEqual(complete(others).warnings, [])
    assert.isUndefined(otlpOf({ ...on, OTEL_SDK_DISABLED: "true" }))
    const none = { OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" }
    assert.isUndefined(otlpOf({ ...on, ...none }))
  })

  it("has one base, or an address for each signal", () => {
    const all = [
      "http://collector:4318/v1/traces",
      "http://collector:4318/v1/metrics",
      "http://collector:4318/v1/logs"
    ]
    assert.deepStrictEqual(addresses(on), all)
    assert.deepStrictEqual(addresses({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318/" }), all)
    assert.deepStrictEqual(addresses({ ...on, OTEL_EXPORTER_OTLP_ENDPOINT: "http://other" }), all)
    assert.deepStrictEqual(addresses({ ...on, OTEL_METRICS_EXPORTER: "none" }), [all[0], undefined, all[2]])
    assert.deepStrictEqual(addresses({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://t/x" }), [
      "http://t/x",
      undefined,
      undefined
    ])
    assert.deepStrictEqual(
      addresses({ ...on, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "http://m/x" })[1],
      "http://m/x"
    )
    assert.deepStrictEqual(
      addresses({ ...on, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "http://l/x" })[2],
      "http://l/x"
    )
  })

  it("has Electric's and OpenTelemetry's names for the rest", () => {
    assert.deepInclude(otlpOf(on), {
      protocol: "protobuf",
      compression: "gzip",
      metricsMillis: 30_000,
      sampledShare: 0.01,
      excludedSpans: [],
      dropsEmpty: false,
      printsSpans: false
    })
    const cases: ReadonlyArray<readonly [Env, object]> = [
      [{ OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" }, { protocol: "json" }],
      [{ OTEL_EXPORTER_OTLP_COMPRESSION: "none" }, { compression: "none" }],
      [{ ELECTRIC_OTEL_EXPORT_PERIOD: "2s" }, { metricsMillis: 2000 }],
      [{ ELECTRIC_OTEL_EXPORT_PERIOD: "2s", OTEL_METRIC_EXPORT_INTERVAL: "500" }, { metricsMillis: 500 }],
      [{ ELECTRIC_OTEL_SAMPLING_RATIO: "0.5" }, { sampledShare: 0.5 }],
      [{ OTEL_TRACES_SAMPLER: "always_on" }, { sampledShare: 1 }],
      [{ OTEL_TRACES_SAMPLER: "parentbased_always_off" }, { sampledShare: 0 }],
      [
        { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.2" },
        { sampledShare: 0.2 }
      ],
      [{ OTEL_TRACES_SAMPLER: "xray", ELECTRIC_OTEL_SAMPLING_RATIO: "0.5" }, { sampledShare: 0.5 }],
      [{ ELECTRIC_EXCLUDE_SPANS: "a.b, c ,," }, { excludedSpans: ["a.b", "c"] }],
      [{ ELECTRIC_DROP_EMPTY_RESPONSE_SPANS: "true" }, { dropsEmpty: true }],
      [{ ELECTRIC_OTEL_DEBUG: "true" }, { printsSpans: true }]
    ]
    for (const [env, expected] of cases) assert.deepInclude(otlpOf({ ...on, ...env }), expected)
    assert.lengthOf(complete({ ...on, OTEL_TRACES_SAMPLER: "xray" }).warnings, 1)
    const keys = {
      ELECTRIC_HNY_API_KEY: "k",
      ELECTRIC_HNY_DATASET: "d",
      OTEL_EXPORTER_OTLP_HEADERS: "a=b%3Dc, e=f"
    }
    const headers = otlpOf({ ...on, ...keys })?.headers
    assert.deepStrictEqual(headers === undefined ? undefined : Redacted.value(headers), {
      "x-honeycomb-team": "k",
      "x-honeycomb-dataset": "d",
      a: "b=c",
      e: "f"
    })
  })

  it("says who speaks", () => {
    assert.deepStrictEqual(resource({}), { serviceName: "electric", attributes: {} })
    const attributes = { OTEL_RESOURCE_ATTRIBUTES: "service.name=c,region=north%20sea" }
    assert.deepStrictEqual(resource(attributes), { serviceName: "c", attributes: { region: "north sea" } })
    assert.strictEqual(resource({ ...attributes, OTEL_SERVICE_NAME: "b" }).serviceName, "b")
    const names = { ...attributes, OTEL_SERVICE_NAME: "b", ELECTRIC_SERVICE_NAME: "a" }
    assert.strictEqual(resource(names).serviceName, "a")
  })

  it("has a host for StatsD", () => {
    assert.isUndefined(statsd(""))
    assert.deepStrictEqual(statsd("agent"), { host: "agent", port: 8125, everyMillis: 5000 })
    assert.deepStrictEqual(statsd("10.0.0.1:9125", { ELECTRIC_SYSTEM_METRICS_POLL_INTERVAL: "200ms" }), {
      host: "10.0.0.1",
      port: 9125,
      everyMillis: 200
    })
    assert.deepInclude(statsd("[::1]:9125"), { host: "::1", port: 9125 })
    assert.lengthOf(problemsOf({ ELECTRIC_STATSD_HOST: "a b" }), 1)
  })

  it("names what cannot be used", () => {
    const bad: ReadonlyArray<readonly [string, string]> = [
      ["ELECTRIC_OTLP_ENDPOINT", "collector:4317"],
      ["OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://x"],
      ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"],
      ["OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"],
      ["OTEL_EXPORTER_OTLP_HEADERS", "nonsense"],
      ["OTEL_EXPORTER_OTLP_HEADERS", "a=%zz"],
      ["OTEL_RESOURCE_ATTRIBUTES", "=x"],
      ["OTEL_METRIC_EXPORT_INTERVAL", "0"],
      ["OTEL_SDK_DISABLED", "maybe"],
      ["ELECTRIC_OTEL_SAMPLING_RATIO", "2"],
      ["ELECTRIC_SERVICE_NAME", ""],
      ["OTEL_SERVICE_NAME", ""]
    ]
    for (const [name, text] of bad) {
      const base = name.endsWith("OTLP_ENDPOINT") ? {} : on
      const problems = problemsOf({ ...base, [name]: text })
      assert.lengthOf(problems, 1, `${name}=${text}`)
      assert.include(problems[0], name)
    }
    assert.notInclude(problemsOf({ ...on, OTEL_EXPORTER_OTLP_HEADERS: "hunter2" })[0], "hunter2")
    assert.isTrue(Object.values(telemetryVariables).every(({ group }) => group === "Telemetry"))
  })

  it("gets to HTTP workers as it is", () => {
    const { config } = complete({ ...on, ELECTRIC_HNY_API_KEY: "k", ELECTRIC_STATSD_HOST: "agent" })
    const carried = configOfPlain(structuredClone(plainConfig(config, 1, storagePaths("/x", "s"))))
    assert.deepStrictEqual(carried.statsd, config.statsd)
    assert.deepStrictEqual(
      carried.otlp && { ...carried.otlp, headers: Redacted.value(carried.otlp.headers) },
      config.otlp && { ...config.otlp, headers: Redacted.value(config.otlp.headers) }
    )
  })
})
