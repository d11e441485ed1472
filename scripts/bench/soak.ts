import { existsSync, readFileSync, rmSync } from "node:fs"
import * as path from "node:path"
import { type Benchmark, option } from "./support/Benchmark.ts"
import { onEnd } from "./support/Cleanup.ts"
import { eventually, nowMillis, sleep } from "./support/Clock.ts"
import type { Database } from "./support/Cluster.ts"
import { diskUse } from "./support/DiskUse.ts"
import { follow, type Follower, sameRows, StrictRows } from "./support/StrictFollowers.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import type { LoopDelay } from "./support/loopProbe.ts"
import { cpuMillis, openFiles, rssBytes } from "./support/ProcessFacts.ts"
import { beginning, readChanges, shapePath } from "./support/ShapeReader.ts"
import { createShapes, whereShape } from "./support/ShapeSets.ts"
import { megabytes, type Sample, soakFigures } from "./support/SoakFigures.ts"
import { openStage, slotName } from "./support/Stage.ts"

const tenants = 500
const followedTenants = 40
const searches = 20
const idleClients = 200
/** As many are inserted as are deleted; their titles come again and again, so each search finds as many of them as ever. */
const heldItems = 20_000
/** Rows that a step of the writer changes: three each are inserted and deleted, four updated, three go to `events`. */
const changesPerStep = 13
const bigTransactionRows = 20_000
/** Of `events`: with older ones removed every minute, what the tables hold stays as it is, and so is the disk to. */
const keptEvents = 60_000
const sampleMillis = 5000

const tenant = (k: number): string => whereShape(`tenant = ${k}`)
const search = (k: number): string => whereShape(`title ILIKE '%number ${k}%' OR id % 1000 = ${k}`)
const idle = (k: number): string => whereShape(`tenant = ${k}`, "quiet")

const prepare = async (database: Database): Promise<void> => {
  await database.run(`
    CREATE TABLE items (id bigint PRIMARY KEY, tenant integer NOT NULL, version integer NOT NULL, title text NOT NULL);
    CREATE TABLE events (id bigint PRIMARY KEY, tenant integer NOT NULL, title text NOT NULL);
    CREATE TABLE quiet (id bigint PRIMARY KEY, tenant integer NOT NULL);
    INSERT INTO items SELECT g, g % ${tenants}, 0, 'Item number ' || g % ${heldItems} FROM generate_series(1, ${heldItems}) g;
    CREATE FUNCTION step(n bigint) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO items SELECT ${heldItems} + n * 3 + i, (n * 3 + i) % ${tenants}, 0, 'Item number ' || (n * 3 + i) % ${heldItems}
        FROM generate_series(1, 3) i;
      UPDATE items SET version = version + 1, tenant = CASE WHEN id % 4 = 0 THEN (tenant + 7) % ${tenants} ELSE tenant END
        WHERE id IN (SELECT n * 3 + 10 + (n * 37 + i * 4999) % 19000 FROM generate_series(1, 4) i);
      DELETE FROM items WHERE id IN (SELECT n * 3 + i FROM generate_series(1, 3) i);
      INSERT INTO events SELECT coalesce((SELECT max(id) FROM events), 0) + i, n % ${tenants}, 'Event of step ' || n
        FROM generate_series(1, 3) i;
    END $$`)
}

const rowsWhere = async (database: Database, condition: string): Promise<ReadonlyMap<number, number>> =>
  new Map(
    (await database.run(`SELECT id, version FROM items WHERE ${condition}`)).map(
      (row) => [Number(row["id"]), Number(row["version"])] as const
    )
  )

export const benchmark: Benchmark = {
  name: "soak",
  summary:
    "mixed load for a long time: memory, open files, disk and event-loop delay should stay as they are",
  options: { runs: 1, minutes: 60, rate: 650 },
  short: { runs: 1, minutes: 1, rate: 650 },
  run: async (options, say) => {
    const minutes = option(options, "minutes")
    const stage = await openStage()
    const { database } = stage
    await prepare(database)
    const loopFile = `${stage.storage}.loop`
    onEnd(() => rmSync(loopFile, { force: true }))
    const service = await stage.start({
      nodeArguments: ["--import", path.join(import.meta.dirname, "support/loopProbe.ts")],
      environment: {
        BENCH_LOOP_FILE: loopFile,
        ELECTRIC_ENABLE_INTEGRATION_TESTING: "true",
        // So that entries go from the journal to log files many times, and not once an hour; and what is superseded goes as soon.
        BATON_JOURNAL_SEGMENT_BYTES: "4MiB",
        ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: String(32 << 10),
        BATON_COMPACTION_MIN_SIZE: "16KiB",
        BATON_LOG_RETENTION: "2min"
      }
    })
    const failures: Array<unknown> = []
    const fail = (error: unknown): void => void failures.push(error)
    const check = (): void => {
      if (failures.length > 0) throw failures[0]
      if (service.exited()) throw new Error("The service has ended.")
    }

    await createShapes(service.port, tenant, 0, tenants)
    await createShapes(service.port, search, 0, searches)
    const followers: Array<Follower> = []
    for (let k = 0; k < followedTenants; k++) followers.push(await follow(service.port, tenant(k), fail))
    const allItems = await follow(service.port, "table=items", fail)
    const allEvents = await follow(service.port, "table=events", fail)
    const held: Array<Follower> = []
    for (let k = 0; k < idleClients; k++) held.push(await follow(service.port, idle(k), fail))
    say(`${tenants + searches} shapes, ${followers.length + 2} live clients, ${held.length} idle ones`)

    const until = nowMillis() + minutes * 60_000
    let step = 0
    let written = 0
    let churned = 0
    let events = 0
    let trimmed = 0
    const writer = await database.session()
    const write = (async () => {
      const pauseMillis = (1000 * changesPerStep) / option(options, "rate")
      let next = nowMillis()
      let nextBig = next + 30_000
      while (nowMillis() < until && failures.length === 0) {
        await writer.query(`SELECT step(${step++})`)
        written += changesPerStep
        events += 3
        if (nowMillis() >= nextBig) {
          nextBig += 60_000
          await writer.query(
            `INSERT INTO events SELECT ${events} + g, g % ${tenants}, 'Event of a large transaction'
             FROM generate_series(1, ${bigTransactionRows}) g`
          )
          events += bigTransactionRows
          written += bigTransactionRows
          const gone = await writer.query(`DELETE FROM events WHERE id <= ${events - keptEvents}`)
          trimmed += gone.rowCount ?? 0
          written += gone.rowCount ?? 0
        }
        next = Math.max(next + pauseMillis, nowMillis() - 1000)
        await sleep(Math.max(0, next - nowMillis()))
      }
    })().catch(fail)
    const churn = (async () => {
      const connection = await HttpConnection.open(service.port)
      while (nowMillis() < until && failures.length === 0) {
        const parameters = whereShape(`tenant = ${churned % tenants} AND version >= ${churned}`)
        const position = await readChanges(connection, parameters, beginning, () => {})
        const reply = await connection.request(shapePath(parameters, position), undefined, {
          method: "DELETE"
        })
        if (reply.status !== 202) throw new Error(`Deleting a shape: status ${reply.status}.`)
        churned++
        await sleep(1000)
      }
      connection.close()
    })().catch(fail)

    const samples: Array<Sample> = []
    const began = nowMillis()
    let cpuBefore = cpuMillis(service.pid)
    let sampledAt = began
    while (nowMillis() < until) {
      await sleep(sampleMillis)
      check()
      const [slot] = await database.run(
        `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 AS bytes
         FROM pg_replication_slots WHERE slot_name = '${slotName}'`
      )
      const cpu = cpuMillis(service.pid)
      const now = nowMillis()
      samples.push({
        minutes: (now - began) / 60_000,
        rss: rssBytes(service.pid),
        files: openFiles(service.pid),
        disk: diskUse(stage.storage).bytes,
        delay: existsSync(loopFile)
          ? (JSON.parse(readFileSync(loopFile, "utf8")) as LoopDelay)
          : { p50Millis: 0, p99Millis: 0, maxMillis: 0, maxTurnMillis: 0 },
        retainedWal: Number(slot?.["bytes"]),
        changes: written,
        cpuShare: (cpu - cpuBefore) / (now - sampledAt)
      })
      cpuBefore = cpu
      sampledAt = now
      const last = samples.at(-1)
      if (last !== undefined && samples.length % 12 === 0) {
        say(
          `${last.minutes.toFixed(1)} min: RSS ${megabytes(last.rss).toFixed(0)} MB (heap ${megabytes(last.delay.heapBytes ?? 0).toFixed(0)}, ` +
            `of which in use ${megabytes(last.delay.keptBytes ?? 0).toFixed(0)}, outside ${megabytes(last.delay.externalBytes ?? 0).toFixed(0)}), ${last.files} files, ` +
            `disk ${megabytes(last.disk).toFixed(0)} MB, delay p99 ${last.delay.p99Millis.toFixed(1)} ms, ` +
            `${written} changes, ${(100 * last.cpuShare).toFixed(0)} % of a core`
        )
      }
    }
    const measured = soakFigures(samples, sampleMillis / 1000)
    for (const { note, runs, what } of measured.figures)
      say(`${what}: ${runs[0]?.toPrecision(3)} (${note ?? ""})`)
    await Promise.all([write, churn])
    check()

    const everything = await rowsWhere(database, "true")
    await allItems.holds(everything, 60_000)
    for (const [k, follower] of followers.entries()) {
      await follower.holds(await rowsWhere(database, `tenant = ${k}`), 60_000)
    }
    await eventually("all events to arrive", 60_000, 50, () =>
      allEvents.changes() === events + trimmed ? true : undefined
    )
    check()
    const connection = await HttpConnection.open(service.port)
    for (let k = 0; k < searches; k++) {
      const strict = new StrictRows(search(k), true)
      await readChanges(connection, search(k), beginning, strict.take)
      const expected = await rowsWhere(database, `title ILIKE '%number ${k}%' OR id % 1000 = ${k}`)
      if (!sameRows(strict.rows, expected)) throw new Error(`Shape ${search(k)} does not hold its rows.`)
    }
    connection.close()
    const complaints = await service.complaints()
    if (complaints.length > 0) say(`The service complained: ${complaints.slice(0, 5).join(" | ")}`)
    const received =
      followers.reduce((sum, follower) => sum + follower.changes(), 0) +
      allItems.changes() +
      allEvents.changes()
    for (const follower of [...followers, ...held, allItems, allEvents]) await follower.stop()
    await service.stop()

    return {
      ...measured,
      checked:
        `${received} changes came to ${followers.length + 2} live clients in order, none twice and none missing, and ` +
        `what they and ${searches} shapes with conditions that cannot be looked up hold is what the tables hold after ` +
        `${written} changes; ${churned} shapes were made and deleted meanwhile; the service logged ${complaints.length} warnings`,
      environment: [
        database.description,
        `${minutes} minutes; ${tenants + searches + idleClients} shapes, ${followers.length + 2} live and ${held.length} idle clients, transactions of 13 and of 20,000 rows`
      ]
    }
  }
}
