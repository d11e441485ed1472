import { assert, describe, it } from "vitest"
import { Collector, type CollectedPoint, type CollectedSpan } from "../../testing/services/Collector.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
const caller = "00f067aa0ba902b7"

/** Reads a shape with a trace of its own, then waits for a change, which comes, and for another, which does not. */
const followOneChange = async (
  { url }: TestService,
  change: () => Promise<unknown>,
  headers: Readonly<Record<string, string>>
) => {
  const shape = `${url}/v1/shape?table=items&secret=hunter2`
  const first = await fetch(`${shape}&offset=-1`, { headers })
  assert.strictEqual(first.status, 200)
  await first.text()
  const live = `${shape}&handle=${first.headers.get("electric-handle")}&live=true&offset=`
  const held = fetch(`${live}${first.headers.get("electric-offset")}`)
  await eventually("the held request", async () => {
    const status = await (await fetch(`${url}/baton/api/status?secret=hunter2`)).text()
    return /"heldRequests":\s*1\b/.test(status)
  })
  await change()
  const changed = await held
  await changed.text()
  await (await fetch(`${live}${changed.headers.get("electric-offset")}`)).text()
}

const named = (spans: ReadonlyArray<CollectedSpan>, name: string) =>
  spans.filter((span) => span.name === name)
const one = (spans: ReadonlyArray<CollectedSpan>, name: string): CollectedSpan => {
  const [found, ...others] = named(spans, name)
  assert.isDefined(found, name)
  assert.lengthOf(others, 0, name)
  return found
}
const lastsFrom = ({ endTimeUnixNano, startTimeUnixNano }: CollectedSpan) =>
  [BigInt(startTimeUnixNano), BigInt(endTimeUnixNano)] as const

const environment = (collector: Collector) => ({
  ELECTRIC_OTLP_ENDPOINT: `${collector.url}/`,
  ELECTRIC_INSECURE: undefined,
  ELECTRIC_SECRET: "hunter2",
  ELECTRIC_LONG_POLL_TIMEOUT: "400",
  ELECTRIC_INSTANCE_ID: "first"
})

const figureIn =
  (points: ReadonlyArray<CollectedPoint>) =>
  (name: string, attributes: object = {}) =>
    points.find((point) => {
      const all = Object.entries(attributes)
      return point.name === name && all.every(([key, value]) => point.attributes[key] === value)
    })?.value

describe("a service with a collector", () => {
  const database = databaseForFile((db) =>
    db.query("CREATE TABLE items (id int PRIMARY KEY, title text); INSERT INTO items VALUES (1, 'a')")
  )

  it("sends traces, metrics and logs, and continues the trace of its caller", async () => {
    await using collector = await Collector.start()
    await using service = await startService({
      database: database(),
      env: {
        ...environment(collector),
        ELECTRIC_LONG_POLL_TIMEOUT: "3000",
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        ELECTRIC_OTEL_SAMPLING_RATIO: "1",
        ELECTRIC_SERVICE_NAME: "sync",
        ELECTRIC_HNY_API_KEY: "the key",
        OTEL_EXPORTER_OTLP_HEADERS: "x-more=a%20b",
        OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test,region=north%20sea",
        ELECTRIC_OTEL_EXPORT_PERIOD: "500ms"
      }
    })
    await followOneChange(service, () => database().query("INSERT INTO items VALUES (2, 'b')"), {
      traceparent: `00-${trace}-${caller}-01`
    })
    const emptyOnes = ["electric.plug.serve_shape.requests.count", { live: "true", empty: "true" }] as const
    const figure = await eventually("metrics of all this", () => {
      const found = figureIn(collector.points())
      const isThere = found(...emptyOnes) === 1 && found("baton_slot_state", { state: "ok" }) === 1
      return isThere ? found : undefined
    })
    await service.stop()

    const spans = collector.spans()
    const requests = named(spans, "Plug_shape_get")
    assert.lengthOf(requests, 2, "none for the poll whose time was over")
    const continued = requests.find((span) => span.traceId === trace)
    assert.isDefined(continued)
    assert.strictEqual(continued.parentSpanId, caller)
    assert.deepInclude(continued.attributes, {
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "url.path": "/v1/shape",
      "shape_req.is_live": false,
      "shape_req.is_empty_response": false
    })
    assert.include(continued.resource, {
      "service.name": "sync",
      "service.instance.id": "first",
      "deployment.environment": "test",
      region: "north sea"
    })
    const made = one(spans, "Snapshotter.run")
    assert.strictEqual(made.traceId, trace, "what is done for a request is in its trace")

    const ways = named(spans, "pg_txn.replication_client.transaction_received")
    const way = ways.find((span) => span.attributes["answers"] === 1)
    assert.isDefined(way)
    assert.strictEqual(way.attributes["num_changes"], 1)
    const steps = ["pg_txn.receive", "shape_write.journal", "shape_read.wake_up", "shape_read.answers"]
    const [from, to] = lastsFrom(way)
    for (const step of steps) {
      const span: CollectedSpan | undefined = spans.find(
        ({ name, traceId }) => name === step && traceId === way.traceId
      )
      assert.isDefined(span, step)
      assert.strictEqual(span.parentSpanId, way.spanId, step)
      const [stepFrom, stepTo] = lastsFrom(span)
      assert.isTrue(from <= stepFrom && stepFrom <= stepTo && stepTo <= to, step)
    }

    assert.strictEqual(figure("electric.shapes.total_shapes.count"), 1)
    assert.isAtLeast(figure("baton_serving_lag_seconds") ?? 0, 1)

    const logs = collector.logs()
    const starting = logs.find(({ body }) => body.startsWith("Starting Baton"))
    assert.strictEqual(starting?.severityText, "Info")
    for (const { headers } of collector.requests) {
      assert.strictEqual(headers["x-honeycomb-team"], "the key")
      assert.strictEqual(headers["x-more"], "a b")
    }
    const everything = collector.requests.map(({ body }) => body.toString()).join("")
    assert.notInclude(everything, "hunter2")
    assert.notInclude(service.logs(), "the key")
  })

  it("traces a request whose caller wants that, and no other, in protobuf", async () => {
    await using collector = await Collector.start()
    await using service = await startService({
      database: database(),
      env: { ...environment(collector), ELECTRIC_OTEL_SAMPLING_RATIO: "0", OTEL_METRICS_EXPORTER: "none" }
    })
    const shape = `${service.url}/v1/shape?table=items&secret=hunter2&offset=-1&columns=id`
    for (const headers of [{}, { traceparent: `00-${trace}-${caller}-00` }, { traceparent: "00-nonsense" }])
      await (await fetch(shape, { headers })).text()
    await (await fetch(`${shape}&x=1`, { headers: { traceparent: `00-${trace}-${caller}-01` } })).text()
    await database().query("INSERT INTO items VALUES (3, 'c')")
    await service.stop()
    const traces = collector.requests.filter(({ path }) => path === "/v1/traces")
    const sent = Buffer.concat(traces.map(({ body }) => body))
    const count = (bytes: Buffer) => sent.toString("latin1").split(bytes.toString("latin1")).length - 1
    assert.strictEqual(traces[0]?.headers["content-type"], "application/x-protobuf")
    assert.strictEqual(count(Buffer.from("Plug_shape_get")), 1)
    assert.strictEqual(count(Buffer.from(caller, "hex")), 1)
    assert.strictEqual(count(Buffer.from("transaction_received")), 0)
    assert.isAbove(collector.requests.filter(({ path }) => path === "/v1/logs").length, 0)
    assert.lengthOf(
      collector.requests.filter(({ path }) => path === "/v1/metrics"),
      0
    )
  })

  it("says that the collector refuses it, once, and serves on", async () => {
    await using collector = await Collector.start()
    collector.status = 401
    await using service = await startService({ database: database(), env: environment(collector) })
    await service.untilLogged(/BATON-TELEMETRY-EXPORT\].*\/v1\/logs.*401/)
    const answer = await fetch(`${service.url}/v1/shape?table=items&secret=hunter2&offset=-1`)
    assert.strictEqual(answer.status, 200)
    await answer.text()
    await service.stop()
    const told = service.logs().match(/BATON-TELEMETRY-EXPORT.*could not be exported/g) ?? []
    assert.isAtMost(told.length, 3, "one for each of traces, metrics and logs")
  })
})
