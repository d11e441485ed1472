import type { Redacted } from "effect"

/** Where telemetry goes over OTLP/HTTP, and how much of it. */
export interface OtlpConfig {
  /** Whole addresses; undefined where that signal is not exported. */
  readonly traces: string | undefined
  readonly metrics: string | undefined
  readonly logs: string | undefined
  /** Of every request; may hold keys. */
  readonly headers: Redacted.Redacted<Readonly<Record<string, string>>>
  readonly protocol: "protobuf" | "json"
  readonly compression: "gzip" | "none"
  readonly metricsMillis: number
  /** Of traces that begin here, from 0 to 1. One that a caller has begun is continued as the caller has decided. */
  readonly sampledShare: number
  /** Names of spans that are left out, with all below them. */
  readonly excludedSpans: ReadonlyArray<string>
  /** Leaves out answers without news that were not held, too. */
  readonly dropsEmpty: boolean
  readonly printsSpans: boolean
}

/** Who speaks, in everything that is exported. */
export interface TelemetryResource {
  readonly serviceName: string
  /** Beside it, as an operator has given them. */
  readonly attributes: Readonly<Record<string, string>>
}

export interface StatsdConfig {
  readonly host: string
  readonly port: number
  readonly everyMillis: number
}
