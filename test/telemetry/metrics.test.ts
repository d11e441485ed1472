import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { isDeepStrictEqual } from "node:util"
import { Effect, Metric, type Scope } from "effect"
import { documentPath, metricsDocument } from "../../scripts/metrics-table.ts"
import { noPressure } from "../../src/storage/compaction/StoragePressure.ts"
import { BucketWatch } from "../../src/bucket/BucketWatch.ts"
import { FaultRecord } from "../../src/shared/FaultRecord.ts"
import { freePort } from "../../src/dev/FreePort.ts"
import { countsOf, Distribution } from "../../src/telemetry/Distribution.ts"
import { bytesBehind } from "../../src/storage/JournalSize.ts"
import { metricFamilies } from "../../src/metrics/MetricsFamilies.ts"
import { metricsText } from "../../src/metrics/MetricsText.ts"
import type { LiveSnapshot } from "../../src/metrics/MetricsSnapshot.ts"
import { registerMetrics } from "../../src/metrics/RegisteredMetrics.ts"
import { Metrics } from "../../src/telemetry/Metrics.ts"
import { RequestCounts } from "../../src/telemetry/RequestCounts.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService } from "../../testing/services/Service.ts"

describe("the text of metrics", () => {
  it("has cumulative buckets, and labels that nothing can break out of", () => {
    const distribution = new Distribution([1, 10])
    for (const value of [0, 1, 1.5, 10, 11, 1000]) distribution.observe(value)
    const text = metricsText([
      { name: "a", type: "histogram", help: "A.", samples: [{ labels: { p: "x" }, distribution }] },
      { name: "b", type: "gauge", help: 'B\n"\\', samples: [{ labels: { q: 'a"b\\c\nd' }, value: 1.5 }] },
      { name: "c", type: "counter", help: "C.", samples: [] }
    ])
    assert.deepStrictEqual(text.split("\n"), [
      "# HELP a A.",
      "# TYPE a histogram",
      'a_bucket{p="x",le="1"} 2',
      'a_bucket{p="x",le="10"} 4',
      'a_bucket{p="x",le="+Inf"} 6',
      'a_sum{p="x"} 1023.5',
      'a_count{p="x"} 6',
      '# HELP b B\\n"\\\\',
      "# TYPE b gauge",
      'b{q="a\\"b\\\\c\\nd"} 1.5',
      "# HELP c C.",
      "# TYPE c counter",
      ""
    ])
  })

  it("counts answers by all that tells them apart, also those of other processes", () => {
    const counts = new RequestCounts()
    counts.add(200, false, true, false)
    counts.add(200, false, true, false)
    counts.add(503, true, false, false)
    const all = new RequestCounts(counts.entries())
    all.addAll(structuredClone(counts.entries()))
    assert.deepStrictEqual(all.labelled(), [
      [{ status: 200, knownError: false, live: true, empty: false }, 4],
      [{ status: 503, knownError: true, live: false, empty: false }, 2]
    ])
  })

  it("measures how far a follower is behind across segments and epochs", () => {
    const files = [
      { epoch: 1, segment: 1, bytes: 100 },
      { epoch: 1, segment: 2, bytes: 50 },
      { epoch: 2, segment: 3, bytes: 7 }
    ]
    assert.strictEqual(bytesBehind(files, { epoch: 1, segment: 1, position: 90 }), 67)
    assert.strictEqual(bytesBehind(files, { epoch: 2, segment: 3, position: 7 }), 0)
    assert.strictEqual(bytesBehind(files, { epoch: 0, segment: 0, position: 0 }), 157)
  })
})

const inOwnRegistry = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.scoped(effect).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
const stateOf = (snapshots: ReadonlyArray<Metric.Metric.Snapshot>, id: string, attributes = {}) =>
  snapshots.find((one) => one.id === id && isDeepStrictEqual({ ...one.attributes }, attributes))?.state

describe("the metrics of Effect", () => {
  it.effect("hold what a process counts, and each registry its own", () =>
    Effect.gen(function* () {
      const counts = Effect.gen(function* () {
        const metrics = yield* Metrics
        assert.strictEqual(yield* Metrics, metrics)
        metrics.takeovers.update(1)
        metrics.snapshotMillis.update(3)
        metrics.receiveLagMillis.observe(7)
        metrics.receiveLagMillis.observe(100_000)
        metrics.requests.add(200, false, true, false)
        metrics.requests.add(200, false, true, false)
        const { buckets, ...rest } = metrics.receiveLagMillis.histogram()
        assert.deepStrictEqual(rest, { count: 2, min: 7, max: 100_000, sum: 100_007 })
        assert.deepStrictEqual(countsOf({ buckets, ...rest }), metrics.receiveLagMillis.snapshot())
        assert.strictEqual(countsOf(metrics.snapshotMillis.value()).counts[3], 1)
        return yield* Metric.snapshot
      })
      yield* inOwnRegistry(counts)
      const snapshots = yield* inOwnRegistry(counts)
      assert.deepStrictEqual(stateOf(snapshots, "baton_takeovers_total"), { count: 1, incremental: true })
      assert.deepStrictEqual(
        stateOf(snapshots, "electric_plug_serve_shape_requests_count", {
          status: "200",
          known_error: "false",
          live: "true",
          empty: "false"
        }),
        { count: 2, incremental: true }
      )
      const lag = "electric_postgres_replication_transaction_received_receive_lag"
      assert.include(stateOf(snapshots, lag), { count: 2, sum: 100_007 })
    })
  )

  it.effect("read what can be said at any moment when they are asked, until the service ends", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        let now: LiveSnapshot = {
          version: "1",
          instanceId: "i",
          state: "waiting",
          epoch: 3,
          shapes: 5,
          dormantShapes: 0,
          subselects: { shapes: 2, behindBytes: 0 },
          stream: undefined,
          storageLevel: 2,
          faults: new FaultRecord(),
          processes: [
            {
              process: "main",
              admission: { initial: { running: 1, rejected: 0 }, existing: { running: 2, rejected: 0 } },
              heldRequests: 2,
              slowReaders: { waiting: 1, cut: 0 },
              expiredReads: 0,
              residentBytes: 10,
              heapUsedBytes: 5,
              cpuSeconds: 1
            }
          ],
          rejected: { initial: 4, existing: 0 },
          limits: { initial: 10, existing: 20 },
          snapshots: { running: 0, oldestSeconds: 0 },
          isWriteFailing: false,
          pressure: { ...noPressure(), limitBytes: 9 },
          compactions: { bases: 0, folds: 0, writtenBytes: 0, expiredReads: 0 },
          bucket: {
            watch: new BucketWatch("s3://b", { nowMillis: () => 0, epochMillis: () => 0 }),
            failingMillis: { write: 2500, read: 0 },
            unshipped: { bytes: 7, millis: 1500 },
            cacheBytes: 9,
            mirrors: 2,
            mirror: { isTailAlive: true, behindMillis: 0 },
            checkpointAgeMillis: undefined
          }
        }
        const snapshots = yield* Effect.scoped(
          Effect.gen(function* () {
            yield* registerMetrics(() => now)
            now = { ...now, state: "active", shapes: 6, rejected: { initial: 7, existing: 0 } }
            return yield* Metric.snapshot
          })
        )
        const kinds = new Map(snapshots.map(({ id, type }) => [id, type.toLowerCase()]))
        const live = metricFamilies.filter((family) => family.live !== undefined)
        assert.deepStrictEqual(kinds, new Map(live.map(({ name, type }) => [name, type])))
        assert.deepStrictEqual(stateOf(snapshots, "baton_bucket_failing_seconds", { side: "write" }), {
          value: 2.5
        })
        assert.deepStrictEqual(stateOf(snapshots, "baton_bucket_unshipped_seconds"), { value: 1.5 })
        assert.deepStrictEqual(stateOf(snapshots, "electric_shapes_active_shapes_count"), { value: 6 })
        assert.deepStrictEqual(stateOf(snapshots, "baton_state", { state: "active" }), { value: 1 })
        assert.deepStrictEqual(stateOf(snapshots, "baton_state", { state: "waiting" }), { value: 0 })
        assert.deepStrictEqual(
          stateOf(snapshots, "electric_admission_control_reject_count", { kind: "initial" }),
          { count: 7, incremental: true }
        )
        assert.deepStrictEqual(stateOf(snapshots, "baton_held_requests", { process: "main" }), { value: 2 })
        assert.deepStrictEqual(yield* Metric.snapshot, [])
      })
    )
  )
})

describe("docs/metrics.md", () => {
  it("says what there is (write it anew with `npx node scripts/metrics-table.ts`)", () => {
    assert.strictEqual(readFileSync(documentPath, "utf8"), metricsDocument())
  })
})

describe("the metrics of a running service", () => {
  const database = databaseForFile((db) =>
    db.query("CREATE TABLE items (id int PRIMARY KEY, title text); INSERT INTO items VALUES (1, 'a')")
  )

  it("tell what it does, in all its processes, and are those of the documentation", async () => {
    const port = await freePort()
    await using service = await startService({
      database: database(),
      env: {
        ELECTRIC_PROMETHEUS_PORT: String(port),
        BATON_HTTP_WORKERS: "1",
        ELECTRIC_LONG_POLL_TIMEOUT: "1000"
      }
    })
    const scrape = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/metrics`)
      assert.strictEqual(response.status, 200)
      assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/)
      return parse(await response.text())
    }
    await service.untilLogged(/HTTP worker 1 answers/, 30_000)
    const shape = `${service.url}/v1/shape?table=items`
    let first: Response | undefined
    // Each request on a connection of its own, so that both processes get some.
    for (let i = 0; i < 30; i++) {
      first = await fetch(`${shape}&offset=-1`, { headers: { connection: "close" } })
      await first.text()
    }
    const handle = first?.headers.get("electric-handle") ?? ""
    const offset = first?.headers.get("electric-offset") ?? ""
    const live = `${shape}&handle=${handle}&live=true&offset=`
    const held = fetch(`${live}${offset}`)
    const holding = await eventually("the held request", async () => {
      const now = await scrape()
      return now.sum("baton_held_requests") === 1 ? now : undefined
    })
    assert.strictEqual(holding.sum("electric_admission_control_acquire_current"), 1)
    await database().query("INSERT INTO items VALUES (2, 'b'), (3, 'c')")
    const changed = await held
    await changed.text()
    const quiet = await fetch(`${live}${changed.headers.get("electric-offset")}`)
    await quiet.text()
    assert.strictEqual((await fetch(`${service.url}/v1/shape?table=nowhere&offset=-1`)).status, 400)

    const metrics = await eventually("the metrics of all this", async () => {
      const now = await scrape()
      return now.sum("electric_plug_serve_shape_requests_count") === 33 ? now : undefined
    })
    const requests = (labels: string) => metrics.value(`electric_plug_serve_shape_requests_count{${labels}}`)
    assert.strictEqual(requests('status="200",known_error="false",live="false",empty="false"'), 30)
    assert.strictEqual(requests('status="200",known_error="false",live="true",empty="false"'), 1)
    assert.strictEqual(requests('status="200",known_error="false",live="true",empty="true"'), 1)
    assert.strictEqual(requests('status="400",known_error="false",live="false",empty="false"'), 1)
    assert.strictEqual(metrics.value("electric_shapes_total_shapes_count"), 1)
    assert.strictEqual(metrics.value("electric_shapes_active_shapes_count"), 1)
    assert.strictEqual(metrics.value('baton_state{state="active"}'), 1)
    assert.strictEqual(metrics.sum("baton_state"), 1)
    assert.strictEqual(metrics.value("baton_epoch"), 1)
    assert.strictEqual(metrics.value("baton_takeovers_total"), 1)
    assert.strictEqual(metrics.value("baton_takeover_seconds_count"), 1)
    assert.isAbove(metrics.value("baton_takeover_seconds_sum") ?? 0, 0)
    assert.strictEqual(metrics.value("baton_serving_lag_seconds_count"), 1)
    assert.isBelow(metrics.value("baton_serving_lag_seconds_sum") ?? 0, 60)
    assert.strictEqual(metrics.value('baton_slot_state{state="ok"}'), 1)
    assert.strictEqual(metrics.sum("baton_slot_state"), 1)
    assert.strictEqual(metrics.value("baton_slot_active"), 1)
    assert.isBelow(Math.abs(metrics.value("baton_database_clock_ahead_seconds") ?? 9), 2)
    assert.isAbove(metrics.value("baton_snapshot_bytes_total") ?? 0, 10)
    assert.isAbove(metrics.value("baton_storage_free_bytes") ?? 0, 0)
    assert.strictEqual(metrics.value("baton_journal_write_failing"), 0)
    assert.strictEqual(metrics.sum("baton_slow_readers"), 0)
    assert.strictEqual(metrics.value("baton_http_workers_ready"), 1)
    assert.strictEqual(metrics.value("electric_shape_snapshot_create_snapshot_task_stop_duration_count"), 1)
    const received = "electric_postgres_replication_transaction_received"
    assert.isAtLeast(metrics.value(`${received}_count`) ?? 0, 1)
    assert.isAtLeast(metrics.value(`${received}_operations_sum`) ?? 0, 2)
    assert.isBelow(metrics.value(`${received}_receive_lag_sum`) ?? Infinity, 60_000)
    assert.isAtLeast(metrics.value("electric_postgres_replication_slot_retained_wal_size") ?? 0, 1)
    assert.isDefined(metrics.value("electric_postgres_replication_slot_confirmed_flush_lsn_lag"))
    assert.isAbove(metrics.value("baton_journal_bytes") ?? 0, 100)
    assert.isAtLeast(metrics.value("electric_storage_used_bytes") ?? 0, 1)
    for (const process of ["main", "worker-1"]) {
      assert.isAbove(metrics.value(`baton_process_resident_memory_bytes{process="${process}"}`) ?? 0, 1e7)
      assert.isAbove(metrics.value(`baton_event_loop_delay_seconds_count{process="${process}"}`) ?? 0, 0)
    }
    assert.isDefined(metrics.value('baton_follower_lag_bytes{process="worker-1"}'))
    assert.isUndefined(metrics.value('baton_follower_lag_bytes{process="main"}'))

    assert.deepStrictEqual(
      [...metrics.types],
      metricFamilies.map(({ name, type }) => [name, type])
    )
    const labelsOf = new Map(metricFamilies.map(({ name, labels }) => [name, labels]))
    for (const [name, labels] of metrics.labels) assert.deepStrictEqual(labels, labelsOf.get(name), name)
    assert.strictEqual((await fetch(`http://127.0.0.1:${port}/`)).status, 404)
    assert.strictEqual((await fetch(`http://127.0.0.1:${port}/metrics`, { method: "POST" })).status, 405)

    const [, pid] = await service.untilLogged(/HTTP worker 1 answers requests \(process (\d+)\)/)
    process.kill(Number(pid), "SIGKILL")
    const after = await eventually("the end of the worker", async () => {
      const now = await scrape()
      return now.value("baton_http_worker_restarts_total") === 1 ? now : undefined
    })
    assert.strictEqual(after.sum("electric_plug_serve_shape_requests_count"), 33, "nothing is uncounted")
  })
})

describe("a service whose clock is an hour behind that of the database", () => {
  const database = databaseForFile((db) =>
    db.query("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1)")
  )

  it("counts lags without the difference of the clocks", async () => {
    const port = await freePort()
    await using service = await startService({
      database: database(),
      env: {
        ELECTRIC_PROMETHEUS_PORT: String(port),
        ELECTRIC_STORAGE: "MEMORY",
        NODE_OPTIONS: "--import=data:text/javascript,Date.now=(now=>()=>now()-3600000)(Date.now)"
      }
    })
    const lag = "electric_postgres_replication_transaction_received_receive_lag"
    const shape = `${service.url}/v1/shape?table=items&offset=`
    const first = await fetch(`${shape}-1`)
    const [clock = "0"] = /\d{16}$/.exec(first.headers.get("electric-handle") ?? "") ?? []
    assert.isBelow(Number(clock) / 1000, Date.now() - 3_000_000, "its clock is behind")
    const scrape = async () => parse(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text())
    const handle = first.headers.get("electric-handle")
    const held = fetch(`${shape}${first.headers.get("electric-offset")}&handle=${handle}&live=true`)
    await eventually("the held request", async () => (await scrape()).sum("baton_held_requests") === 1)
    await database().query("INSERT INTO items VALUES (2)")
    await (await held).text()
    const metrics = await eventually("the transaction in the metrics", async () => {
      const now = await scrape()
      return (now.value(`${lag}_count`) ?? 0) > 0 ? now : undefined
    })
    // In milliseconds, with an hour between the clocks.
    assert.isBelow(metrics.value(`${lag}_sum`) ?? Infinity, 60_000)
    assert.strictEqual(metrics.value("baton_serving_lag_seconds_count"), 1)
    assert.isBelow(metrics.value("baton_serving_lag_seconds_sum") ?? Infinity, 60)
    assert.isAbove(metrics.value("baton_database_clock_ahead_seconds") ?? 0, 3500)
    for (const [name, value] of metrics.values) assert.isAtLeast(value, 0, name)
  })
})

/** Reads the text format as far as this service uses it, and refuses everything else. */
const parse = (text: string) => {
  const types = new Map<string, string>()
  const values = new Map<string, number>()
  const labels = new Map<string, ReadonlyArray<string>>()
  for (const line of text.trimEnd().split("\n")) {
    const type = /^# TYPE (\S+) (gauge|counter|histogram)$/.exec(line)
    if (type !== null) {
      types.set(type[1] ?? "", type[2] ?? "")
      continue
    }
    if (/^# HELP \S+ \S/.test(line)) continue
    const sample = /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)$/.exec(line)
    if (sample === null || Number.isNaN(Number(sample[3]))) throw new Error(`not a line of metrics: ${line}`)
    values.set(line.slice(0, line.lastIndexOf(" ")), Number(sample[3]))
    const family = (sample[1] ?? "").replace(/_(bucket|sum|count)$/, (suffix, _, __, name: string) =>
      types.has(name) ? suffix : ""
    )
    const names = [...(sample[2] ?? "").matchAll(/([a-z_]+)="/g)].map(([, name]) => name ?? "")
    labels.set(
      family,
      names.filter((name) => name !== "le")
    )
  }
  return {
    types,
    labels,
    values,
    value: (sample: string) => values.get(sample),
    sum: (name: string) => {
      let sum = 0
      for (const [sample, value] of values) if (sample.split("{")[0] === name) sum += value
      return sum
    }
  }
}
