import { Redacted } from "effect"
import type { OtlpConfig, TelemetryResource } from "../../config/OtlpConfig.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"

/** What a stopping process waits for the collector. */
const shutdownMillis = 2000

/** Who exports, and how. */
export interface ExportOptions {
  readonly headers: Readonly<Record<string, string>>
  readonly compression: "gzip" | "none"
  readonly shutdownTimeout: number
  readonly resource: {
    readonly serviceName: string
    readonly serviceVersion: string
    readonly attributes: Record<string, unknown>
  }
}

export const exportOptions = (
  otlp: OtlpConfig,
  { attributes, serviceName }: TelemetryResource,
  instanceId: string
): ExportOptions => ({
  headers: Redacted.value(otlp.headers),
  compression: otlp.compression,
  shutdownTimeout: shutdownMillis,
  resource: {
    serviceName,
    serviceVersion: batonVersion,
    attributes: { "service.instance.id": instanceId, "instance.id": instanceId, ...attributes }
  }
})
