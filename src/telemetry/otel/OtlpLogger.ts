import { Effect, Logger, type LogLevel } from "effect"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import type { LogsData } from "effect/observability/OtlpLogger"
import * as OtlpResource from "effect/observability/OtlpResource"
import { OtlpSerialization } from "effect/observability/OtlpSerialization"
import { logRecord } from "../LogJson.ts"
import { eventOf } from "../Logs.ts"
import type { ExportOptions } from "./ExportOptions.ts"

type Severity = 1 | 5 | 9 | 13 | 17 | 21

/** Source: OpenTelemetry, "Logs Data Model", severity numbers. */
const severities: Readonly<Record<LogLevel.LogLevel, Severity>> = {
  All: 1,
  Trace: 1,
  Debug: 5,
  Info: 9,
  Warn: 13,
  Error: 17,
  Fatal: 21,
  None: 1
}

const exportMillis = 1000
const mostInBatch = 1000
const scope = { name: "baton" }

type Exported = NonNullable<LogsData["resourceLogs"][number]["scopeLogs"][number]["logRecords"]>[number]

/** What the log says, without secrets, with the trace that it was said in. Effect's own would export messages as they are. */
const recordOf = (options: Logger.Options<unknown>): Exported => {
  const { date, fiber, logLevel } = options
  const { error, fields, message, stack } = logRecord(eventOf(options))
  const { span } = fiber.cache
  const nanos = `${date.getTime()}000000`
  const attributes = {
    ...fields,
    ...(error === undefined ? {} : { "exception.message": error }),
    ...(stack === undefined ? {} : { "exception.stacktrace": stack })
  }
  return {
    timeUnixNano: nanos,
    observedTimeUnixNano: nanos,
    severityNumber: severities[logLevel],
    severityText: logLevel,
    body: { stringValue: message },
    attributes: OtlpResource.entriesToAttributes(Object.entries(attributes)),
    droppedAttributesCount: 0,
    ...(span?.sampled === true ? { traceId: span.traceId.padStart(32, "0"), spanId: span.spanId } : {})
  }
}

/** Exports what is logged, once a second, until the scope closes. */
export const makeOtlpLogger = Effect.fnUntraced(function* (url: string, options: ExportOptions) {
  const serialization = yield* OtlpSerialization
  const resource = OtlpResource.make(options.resource)
  const exporter = yield* OtlpExporter.make({
    label: "BatonLogs",
    url,
    headers: options.headers,
    compression: options.compression,
    exportInterval: exportMillis,
    maxBatchSize: mostInBatch,
    shutdownTimeout: options.shutdownTimeout,
    body: (records) => [
      serialization.logs({
        resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords: records as Array<Exported> }] }]
      }),
      Effect.void
    ]
  })
  return Logger.make<unknown, void>((logged) => exporter.push(recordOf(logged)))
})
