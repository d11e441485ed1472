import { createSocket, type Socket } from "node:dgram"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { StoredTransactions } from "../../src/instance/measured/StoredTransactions.ts"
import { StatsdPoll } from "../../src/metrics/PollStatsd.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService } from "../../testing/services/Service.ts"

const gauge = (value: number) => ["g", "electric.shapes.total_shapes.count", value, {}]
const grown = (by: number) => ["c", "baton_resets_total", by, { reason: "stream" }]

describe("figures for StatsD", () => {
  it("are gauges as they are, and what counters have grown by", () => {
    const sent: Array<ReadonlyArray<unknown>> = []
    const poll = new StatsdPoll({
      gauge: (...sample) => sent.push(["g", ...sample]),
      count: (...sample) => sent.push(["c", ...sample]),
      distribution: (...sample) => sent.push(["d", ...sample])
    })
    const at = (shapes: number, count: number) => {
      sent.length = 0
      poll.poll([
        {
          name: "electric_shapes_total_shapes_count",
          type: "gauge",
          help: "",
          samples: [{ value: shapes }]
        },
        {
          name: "baton_resets_total",
          type: "counter",
          help: "",
          samples: [{ labels: { reason: "stream" }, value: count }]
        },
        {
          name: "electric_plug_serve_shape_requests_count",
          type: "counter",
          help: "",
          samples: [{ value: 9 }]
        }
      ])
      return [...sent]
    }
    assert.deepStrictEqual(at(3, 2), [gauge(3), grown(2)])
    assert.deepStrictEqual(at(3, 2), [gauge(3)])
    assert.deepStrictEqual(at(0, 5), [gauge(0), grown(3)])
    assert.deepStrictEqual(at(0, 1), [gauge(0), grown(1)], "it has begun anew")
  })

  it("say of each transaction when it is durable, also of those of the next writer", () => {
    const told: Array<ReadonlyArray<number>> = []
    const stored = new StoredTransactions({ stored: (...about) => told.push(about) }, () => 1000)
    stored.wrote(100, 2, 400)
    stored.wrote(150, 1, 900)
    stored.wrote(170, 1, 2000)
    stored.durable(99)
    assert.deepStrictEqual(told, [])
    stored.durable(160)
    assert.deepStrictEqual(told, [
      [2, 100, 600],
      [1, 50, 100]
    ])
    stored.wrote(30, 7, 1000)
    stored.durable(30)
    assert.deepStrictEqual(told.slice(2), [[7, 30, 0]])
  })
})

describe("a service with a StatsD host", () => {
  const database = databaseForFile((db) =>
    db.query("CREATE TABLE items (id int PRIMARY KEY, title text); INSERT INTO items VALUES (1, 'a')")
  )
  let receiver: Socket
  const packets: Array<string> = []
  const lines = () => packets.flatMap((packet) => packet.split("\n")).filter((line) => line !== "")
  const having = (start: string) => lines().filter((line) => line.startsWith(start))
  beforeAll(async () => {
    receiver = createSocket("udp4", (packet) => packets.push(packet.toString()))
    await new Promise<void>((resolve) => receiver.bind(0, "127.0.0.1", resolve))
  })
  afterAll(() => receiver.close())

  it("sends each event and each figure in the form of DogStatsD, with its instance", async () => {
    await using service = await startService({
      database: database(),
      env: {
        ELECTRIC_STATSD_HOST: `127.0.0.1:${receiver.address().port}`,
        ELECTRIC_SYSTEM_METRICS_POLL_INTERVAL: "200ms",
        ELECTRIC_INSTANCE_ID: "first",
        DD_ENV: "not wanted"
      }
    })
    const shape = `${service.url}/v1/shape?table=items`
    const first = await fetch(`${shape}&offset=-1`)
    await first.text()
    const handle = first.headers.get("electric-handle")
    const held = fetch(`${shape}&handle=${handle}&live=true&offset=${first.headers.get("electric-offset")}`)
    await eventually("the held request", () => having("baton_held_requests:1|g").length > 0)
    await database().query("INSERT INTO items VALUES (2, 'b'), (3, 'c')")
    await (await held).text()
    const expected = [
      "electric.plug.serve_shape.requests.count:1|c",
      "electric.plug.serve_shape.count:1|c",
      "electric.plug.serve_shape.bytes:",
      "electric.plug.serve_shape.duration:",
      "electric.shape.response_size.bytes:",
      "plug.router_dispatch.stop.duration:",
      "electric.postgres.replication.transaction_received.count:1|c",
      "electric.postgres.replication.transaction_received.operations:2|d",
      "electric.postgres.replication.transaction_received.receive_lag:",
      "electric.storage.transaction_stored.count:1|c",
      "electric.storage.transaction_stored.operations:2|c",
      "electric.storage.transaction_stored.bytes:",
      "electric.storage.transaction_stored.replication_lag:",
      "electric.shape_snapshot.create_snapshot_task.stop.duration:",
      "electric.connection.consumers_ready.duration:",
      "electric.connection.consumers_ready.total:0|g",
      "electric.shapes.total_shapes.count:1|g",
      "electric.postgres.replication.slot_retained_wal_size:",
      "system.cpu.core_count:",
      "vm.memory.total:",
      "vm.uptime.total:",
      "baton_slot_state:1|g"
    ]
    await eventually("all of it", () => {
      const missing = expected.filter((start) => having(start).length === 0)
      if (missing.length > 0) throw new Error(missing.join(", "))
      return true
    })
    for (const line of lines()) {
      assert.match(line, /^[A-Za-z][\w.]*:-?\d+(?:\.\d{1,3})?\|[cgd]\|#[\w:.,/ -]+$/)
      assert.include((line.split("|#")[1] ?? "").split(","), "instance_id:first")
      assert.notInclude(line, "not wanted")
    }
    for (const packet of packets) assert.isAtMost(Buffer.byteLength(packet), 1432)
    const sizes = having("electric.shape.response_size.bytes:")
    assert.isTrue(sizes.some((line) => /root_table:public\.items/.test(line) && /is_live:true/.test(line)))
    assert.isTrue(sizes.some((line) => /is_live:false/.test(line)))
  })
})
