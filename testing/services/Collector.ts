import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { gunzipSync } from "node:zlib"

interface Value {
  readonly stringValue?: string
  readonly intValue?: number | string
  readonly doubleValue?: number
  readonly boolValue?: boolean
}
interface Attribute {
  readonly key: string
  readonly value: Value
}

export interface CollectedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly resource: Readonly<Record<string, unknown>>
}

export interface CollectedPoint {
  readonly name: string
  readonly attributes: Readonly<Record<string, unknown>>
  /** Of a gauge or counter; of a histogram how often. */
  readonly value: number
}

export interface CollectedLog {
  readonly body: string
  readonly severityText: string
  readonly attributes: Readonly<Record<string, unknown>>
}

/** A request as it came, uncompressed. */
export interface Collected {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

const plain = (attributes: ReadonlyArray<Attribute> = []): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ??
        value.boolValue ??
        value.doubleValue ??
        (value.intValue === undefined ? undefined : Number(value.intValue))
    ])
  )

interface Resource {
  readonly attributes: ReadonlyArray<Attribute>
}
interface SentSpan extends Omit<CollectedSpan, "attributes" | "resource"> {
  readonly attributes: ReadonlyArray<Attribute>
}
interface SentPoint {
  readonly attributes: ReadonlyArray<Attribute>
  readonly asDouble?: number
  readonly asInt?: number | string
  readonly count?: number
}
interface SentPoints {
  readonly dataPoints: ReadonlyArray<SentPoint>
}

/** What is sent to each path. */
interface Sent {
  readonly "/v1/traces": {
    readonly resourceSpans: ReadonlyArray<{
      readonly resource: Resource
      readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<SentSpan> }>
    }>
  }
  readonly "/v1/metrics": {
    readonly resourceMetrics: ReadonlyArray<{
      readonly scopeMetrics: ReadonlyArray<{
        readonly metrics: ReadonlyArray<{
          readonly name: string
          readonly gauge?: SentPoints
          readonly sum?: SentPoints
          readonly histogram?: SentPoints
        }>
      }>
    }>
  }
  readonly "/v1/logs": {
    readonly resourceLogs: ReadonlyArray<{
      readonly scopeLogs: ReadonlyArray<{
        readonly logRecords: ReadonlyArray<{
          readonly severityText: string
          readonly body: Value
          readonly attributes: ReadonlyArray<Attribute>
        }>
      }>
    }>
  }
}

/** A collector of OpenTelemetry over HTTP, that keeps what it gets. Bodies in JSON are read, others are kept as they are. */
export class Collector implements AsyncDisposable {
  readonly requests: Array<Collected> = []
  /** What it answers with. */
  status = 200
  private readonly server = createServer((request, response) => {
    const pieces: Array<Buffer> = []
    request.on("data", (piece: Buffer) => pieces.push(piece))
    request.on("end", () => {
      const sent = Buffer.concat(pieces)
      const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent
      if (this.status === 200) this.requests.push({ path: request.url ?? "", headers: request.headers, body })
      response.writeHead(this.status, { "content-type": "application/json" }).end("{}")
    })
  })

  static async start(): Promise<Collector> {
    const collector = new Collector()
    await new Promise<void>((resolve) => collector.server.listen(0, "127.0.0.1", resolve))
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  private sent<P extends keyof Sent>(path: P): ReadonlyArray<Sent[P]> {
    return this.requests
      .filter((one) => one.path === path)
      .map(({ body }) => JSON.parse(body.toString()) as Sent[P])
  }

  spans(): ReadonlyArray<CollectedSpan> {
    return this.sent("/v1/traces")
      .flatMap(({ resourceSpans }) => resourceSpans)
      .flatMap(({ resource, scopeSpans }) =>
        scopeSpans
          .flatMap(({ spans }) => spans)
          .map((span) => ({
            ...span,
            attributes: plain(span.attributes),
            resource: plain(resource.attributes)
          }))
      )
  }

  logs(): ReadonlyArray<CollectedLog> {
    return this.sent("/v1/logs")
      .flatMap(({ resourceLogs }) => resourceLogs)
      .flatMap(({ scopeLogs }) => scopeLogs)
      .flatMap(({ logRecords }) => logRecords)
      .map(({ attributes, body, severityText }) => ({
        severityText,
        body: body.stringValue ?? "",
        attributes: plain(attributes)
      }))
  }

  /** Of the latest export. */
  points(): ReadonlyArray<CollectedPoint> {
    return (this.sent("/v1/metrics").at(-1)?.resourceMetrics ?? [])
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap(({ metrics }) => metrics)
      .flatMap(
        ({ gauge, histogram, name, sum }) =>
          (gauge ?? sum ?? histogram)?.dataPoints.map((point) => ({
            name,
            attributes: plain(point.attributes),
            value: Number(point.asDouble ?? point.asInt ?? point.count)
          })) ?? []
      )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}
