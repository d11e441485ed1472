import { Effect } from "effect"
import { assert, describe, inject, it, onTestFinished } from "vitest"
import { doctor } from "../../src/command/doctor/Doctor.ts"
import type { Examination } from "../../src/command/doctor/Examination.ts"
import type { Cluster } from "../../src/dev/EmbeddedPostgres.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { queryIn } from "../../testing/postgres/Copies.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { type PrimaryWithStandby, startPrimaryWithStandby } from "../../testing/postgres/Standby.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { startDatabaseProxy } from "../../testing/services/DatabaseProxy.ts"
import { serviceForTest } from "./support/faults.ts"

/** What `baton doctor` finds of a failover, pointed at one of the servers. */
const failoverSeenAt = async (url: string, streamId: string): Promise<ReadonlyArray<string>> => {
  let text = ""
  await Effect.runPromise(
    doctor({
      environment: {
        DATABASE_URL: url,
        ELECTRIC_REPLICATION_STREAM_ID: streamId,
        ELECTRIC_INSECURE: "true",
        ELECTRIC_STORAGE: "MEMORY"
      },
      json: true,
      write: false,
      paint: (_, plain) => plain,
      say: (more) => (text += more)
    })
  )
  const { findings } = JSON.parse(text) as Examination
  return findings.flatMap(({ check, level, text: said }) =>
    check === "failover" ? [`${level}: ${said}`] : []
  )
}

/** A service on a primary with a standby that keeps its slot, through a wire that can be led to the other one. */
const startScene = async () => {
  const physicalSlot = "of_standby"
  const pair = await startPrimaryWithStandby({
    physicalSlot,
    primary: { synchronized_standby_slots: physicalSlot },
    standby: { sync_replication_slots: "on" }
  })
  onTestFinished(() => pair.destroy())
  let current: Cluster = pair.primary
  const wire = await startDatabaseProxy(() => current.port)
  onTestFinished(() => wire.close())
  const database = await createDatabase(pair.primary)
  await database.query("CREATE TABLE t (id int PRIMARY KEY, v text)")
  const service = await serviceForTest({
    env: {
      DATABASE_URL: wire.url(database.url),
      ELECTRIC_REPLICATION_STREAM_ID: database.streamId,
      BATON_HEARTBEAT_INTERVAL: "1s"
    }
  })
  const failOver = async () => {
    wire.block()
    await pair.promote()
    current = pair.standby
    wire.restore()
    await service.until("active", 60_000)
  }
  return { pair, database, service, failOver }
}

const untilKept = ({ standby }: PrimaryWithStandby, slotName: string) =>
  eventually(
    "the slot at the standby",
    async () => {
      const [slot] = await queryIn(
        standby,
        `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${slotName}' AND synced AND NOT temporary`
      )
      return slot !== undefined
    },
    patient(60_000)
  )

const idsIn = async (cluster: Cluster, database: string) =>
  (await queryIn(cluster, "SELECT id FROM t ORDER BY id", database)).map(({ id }) => String(id))

const idsOf = (reader: ShapeLogReader) =>
  Array.from(reader.rows.values(), (row) => String(row["id"])).toSorted((a, b) => Number(a) - Number(b))

// Slots are kept by standbys from then on.
describe.runIf(inject("pg").majorVersion >= 17)(
  "a primary with a standby that keeps the replication slot",
  () => {
    it(
      "is waited for where it is away, and left for the standby without a comparison, a row lost or a row twice",
      { timeout: patient(240_000) },
      async () => {
        const { database, failOver, pair, service } = await startScene()
        const reader = new ShapeLogReader({ url: service.url, params: { table: "t" } })
        await reader.readToEnd()
        await database.query("INSERT INTO t SELECT n, 'before' FROM generate_series(1, 100) n")
        await reader.followUntil("the first rows", () => reader.rows.size === 100)
        await untilKept(pair, database.slotName)
        await pair.standby.stop()
        await database.query("INSERT INTO t VALUES (0, 'kept back')")
        await service.untilLogged(/BATON-STREAM-SILENT.*waits for: of_standby/, 60_000)
        assert.strictEqual(reader.rows.size, 100)
        assert.match(
          (await failoverSeenAt(database.url, database.streamId)).join(),
          /^problem: synchronized_standby_slots waits for standbys that are not there: of_standby\./
        )
        await pair.standby.start()
        await reader.followUntil("what was kept back", () => reader.rows.size === 101)
        assert.deepStrictEqual(await failoverSeenAt(database.url, database.streamId), [
          "ok: A standby follows, and can keep the slot."
        ])
        assert.deepStrictEqual(await failoverSeenAt(pair.standby.url(database.name), database.streamId), [
          `ok: This standby keeps the slot ${database.slotName}.`
        ])
        // Some of these are lost with the primary; nobody can have seen those.
        const writer = await database.connect()
        let id = 100
        const writes = (async () => {
          while (true) await writer.query("INSERT INTO t VALUES ($1, 'meanwhile')", [++id])
        })().catch(() => {})
        await reader.followUntil("some more", () => reader.rows.size > 150)
        await pair.primary.kill()
        await writes
        await failOver()
        await queryIn(pair.standby, "INSERT INTO t VALUES (1000000, 'after')", database.name)
        await reader.followUntil("what came after", () => idsOf(reader).includes("1000000"))
        assert.deepStrictEqual(idsOf(reader), await idsIn(pair.standby, database.name))
        assert.notMatch(service.logs(), /compared with the database|fetched again/)
        // Each row stands in the log once.
        const { handle } = reader.position
        const { body } = await requestLog(
          service.url,
          { table: "t" },
          { offset: "0_0", handle: handle ?? "" }
        )
        const keys = (JSON.parse(body) as ReadonlyArray<{ readonly key?: string }>).flatMap(
          ({ key }) => key ?? []
        )
        assert.lengthOf(keys, new Set(keys).size)
      }
    )
  }
)
