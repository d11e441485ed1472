import { type Benchmark, type Figure, option, type Options } from "./support/Benchmark.ts"
import { nowMillis, sleep } from "./support/Clock.ts"
import type { Database } from "./support/Cluster.ts"
import { diskUse } from "./support/DiskUse.ts"
import { measureDrain } from "./support/Drain.ts"
import { drainFloorName } from "./support/DrainFloor.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { beginning, readChanges, readToEnd } from "./support/ShapeReader.ts"
import { makeMarker, openStage } from "./support/Stage.ts"

/** Rows that a statement of a writer changes. */
const perStatement = 1000
const shape = "table=items"
/** So that the journal, which is not compacted, is small beside what is. */
const segmentBytes = 4 << 20
const settleMillis = 150_000

/**
 * `--only 2`: the second of these alone. `--settled 0`: what a fresh client gets is what is there at once; otherwise what is left
 * once the log has been compacted.
 */
interface Workload {
  readonly name: string
  /** The statements that change `perStatement` rows for the n-th time; in all they change so many. */
  readonly step: (n: number, rows: number) => { readonly sql: string; readonly changes: number }
}

const workloads: ReadonlyArray<Workload> = [
  {
    name: "update-heavy",
    step: (n, rows) => {
      const first = (n * perStatement) % rows
      const sql = `UPDATE items SET version = version + 1, title = 'Version ' || version + 1 || ' of ' || id
        WHERE id BETWEEN ${first + 1} AND ${first + perStatement}`
      return { sql, changes: perStatement }
    }
  },
  {
    name: "queue-like",
    step: (n, rows) => {
      const first = rows + n * perStatement
      const sql = `INSERT INTO items SELECT g, 0, 'Item number ' || g FROM generate_series(${first + 1}, ${first + perStatement}) g;
        DELETE FROM items WHERE id BETWEEN ${n * perStatement + 1} AND ${(n + 1) * perStatement}`
      return { sql, changes: 2 * perStatement }
    }
  },
  {
    name: "append-only",
    step: (n, rows) => {
      const first = rows + n * perStatement
      const sql = `INSERT INTO items SELECT g, 0, 'Item number ' || g FROM generate_series(${first + 1}, ${first + perStatement}) g`
      return { sql, changes: perStatement }
    }
  }
]

/** One row again and again, in transactions of as many updates. Alone with `--only 4 --rows 1 --changes 1000000`. */
const oneRow: Workload = {
  name: "one row",
  step: () => ({
    sql: `DO $$ BEGIN FOR n IN 1..${perStatement} LOOP
      UPDATE items SET version = version + 1, title = 'Version ' || version + 1 WHERE id = 1;
    END LOOP; END $$`,
    changes: perStatement
  })
}

const writeAll = async (database: Database, { step }: Workload, rows: number, changes: number) => {
  const session = await database.session()
  let done = 0
  for (let n = 0; done < changes; n++) {
    const next = step(n, rows)
    await session.query(next.sql)
    done += next.changes
  }
  await session.end()
  return done
}

interface Fresh {
  readonly messages: number
  readonly bytes: number
  readonly millis: number
}

/** What a client that has nothing downloads, and how long that takes; its rows are those of the table. */
const fresh = async (database: Database, port: number): Promise<Fresh> => {
  const connection = await HttpConnection.open(port)
  const began = nowMillis()
  let bytes = 0
  await readToEnd(connection, shape, beginning, (piece) => void (bytes += piece.length))
  const millis = nowMillis() - began
  const titles = new Map<string, unknown>()
  let messages = 0
  await readChanges(connection, shape, beginning, ({ headers, value }) => {
    messages++
    const id = String(value?.["id"])
    if (headers.operation === "delete") titles.delete(id)
    else titles.set(id, value?.["title"] ?? titles.get(id))
  })
  connection.close()
  const rows = await database.run("SELECT id, title FROM items")
  if (rows.length !== titles.size || rows.some(({ id, title }) => titles.get(String(id)) !== title))
    throw new Error("A newcomer does not hold what the table has.")
  return { messages, bytes, millis }
}

/** Of the rows of the table as messages. */
const rowBytes = async (database: Database): Promise<number> => {
  const around = JSON.stringify({
    key: `"public"."items"/""`,
    value: { id: "", version: "", title: "" },
    headers: { operation: "insert", relation: ["public", "items"] }
  }).length
  const [sum] = await database.run(
    `SELECT sum(${around} + 2 * length(id::text) + length(version::text) + length(title)) AS bytes FROM items`
  )
  return Number(sum?.["bytes"])
}

interface Measured extends Fresh {
  readonly rate: number
  readonly floorRate: number
  /** Processor time of the service for each change, all that it does meanwhile included. */
  readonly micros: number
  /** Of that, what the thread of the event loop takes. */
  readonly loopMicros: number
  readonly diskBytes: number
  /** What the rows alone would be, as a client gets them. */
  readonly liveBytes: number
}

const measure = async (workload: Workload, isOn: boolean, options: Options): Promise<Measured> => {
  const rows = option(options, "rows")
  const stage = await openStage({
    BATON_COMPACTION: String(isOn),
    BATON_JOURNAL_SEGMENT_BYTES: String(segmentBytes),
    ELECTRIC_CLEANUP_INTERVAL_MS: "1000"
  })
  const { database } = stage
  await database.run(
    `CREATE TABLE items (id bigint PRIMARY KEY, version integer NOT NULL, title text NOT NULL);
     INSERT INTO items SELECT g, 0, 'Item number ' || g FROM generate_series(1, ${rows}) g`
  )
  const marker = await makeMarker(database)
  const first = await stage.start()
  await marker.prepare(first.port)
  await fresh(database, first.port)
  const drained = await measureDrain(
    stage,
    marker,
    first,
    () => database.run("UPDATE items SET title = title || '.' WHERE id = (SELECT max(id) FROM items)"),
    () => writeAll(database, workload, rows, option(options, "changes"))
  )
  const { service } = drained
  let settled = await fresh(database, service.port)
  if (isOn && option(options, "settled") > 0) {
    const deadline = nowMillis() + settleMillis
    for (let before = -1; nowMillis() < deadline && (before !== settled.messages || before > 2 * rows);) {
      before = settled.messages
      await sleep(10_000)
      settled = await fresh(database, service.port)
      if (workload.name === "append-only") break
    }
  }
  const diskBytes = diskUse(stage.storage).bytes
  await service.stop()
  const liveBytes = await rowBytes(database)
  await database.stop()
  return {
    ...settled,
    rate: (1000 * drained.rows) / drained.workMillis,
    floorRate: (1000 * drained.rows) / drained.floorMillis,
    micros: (1000 * drained.cpuMillis) / drained.rows,
    loopMicros: (1000 * drained.loopCpuMillis) / drained.rows,
    diskBytes,
    liveBytes
  }
}

const figuresOf = (
  { name }: Workload,
  without: ReadonlyArray<Measured>,
  compacted: ReadonlyArray<Measured>
): ReadonlyArray<Figure> => {
  const beside = (what: string, unit: string, value: (run: Measured) => number): Figure => ({
    what: `${name}: ${what}`,
    unit,
    runs: compacted.map(value),
    floor: { is: "without compaction", runs: without.map(value) },
    compare: "time"
  })
  return [
    beside("bytes on disk per live byte", "", ({ diskBytes, liveBytes }) => diskBytes / liveBytes),
    beside("messages for a fresh client", "", ({ messages }) => messages),
    beside("time for a fresh client", "ms", ({ millis }) => millis),
    { ...beside("replication", "rows/s", ({ rate }) => rate), compare: "rate", aim: "90 %" },
    beside("processor time", "us/change", ({ micros }) => micros),
    beside("processor time of the event loop", "us/change", ({ loopMicros }) => loopMicros),
    {
      what: `${name}: replication with compaction, beside ${drainFloorName}`,
      unit: "rows/s",
      runs: compacted.map(({ rate }) => rate),
      floor: { is: drainFloorName, runs: compacted.map(({ floorRate }) => floorRate) }
    }
  ]
}

export const benchmark: Benchmark = {
  name: "compaction",
  summary: "logs that are compacted: disk, a fresh client, and the rate of replication, with and without",
  options: { runs: 1, rows: 10_000, changes: 3_600_000, settled: 1, only: 0 },
  short: { runs: 1, rows: 2000, changes: 200_000, settled: 1, only: 0 },
  run: async (options, say) => {
    const rows = option(options, "rows")
    const changes = option(options, "changes")
    const figures: Array<Figure> = []
    const only = option(options, "only")
    for (const workload of only === 0 ? workloads : [...workloads, oneRow].slice(only - 1, only)) {
      const without: Array<Measured> = []
      const compacted: Array<Measured> = []
      for (let run = 0; run < option(options, "runs"); run++)
        for (const [isOn, all] of [
          [false, without],
          [true, compacted]
        ] as const) {
          const measured = await measure(workload, isOn, options)
          all.push(measured)
          say(
            `${workload.name}, ${isOn ? "compacted" : "as it was"}: ${measured.messages} messages (${measured.bytes} bytes) in ${measured.millis.toFixed(0)} ms, ` +
              `${(measured.diskBytes / 2 ** 20).toFixed(1)} MiB on disk for ${(measured.liveBytes / 2 ** 20).toFixed(2)} MiB of rows, ${measured.rate.toFixed(0)} changes/s, ${measured.micros.toFixed(1)} us each, ${measured.loopMicros.toFixed(1)} of the event loop`
          )
        }
      figures.push(...figuresOf(workload, without, compacted))
    }
    return {
      figures,
      checked: "A client that had nothing held the rows of the table each time.",
      environment: [`${rows} rows, ${changes} changes of each kind; journal segments of 4 MiB`]
    }
  }
}
