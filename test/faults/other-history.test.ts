import { assert, describe, it, onTestFinished } from "vitest"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { patient } from "../../testing/Load.ts"
import { caughtUp, type ClusterFiles, filesOf, promote } from "../../testing/postgres/Copies.ts"
import { createDatabase, databaseIn, type TestDatabase } from "../../testing/postgres/Database.ts"
import type { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { startDatabaseProxy } from "../../testing/services/DatabaseProxy.ts"
import type { TestService } from "../../testing/services/Service.ts"
import {
  type ComparedShape,
  every,
  expectSelected,
  moods,
  readersAt,
  tables
} from "./support/comparedShapes.ts"
import { ask, serviceForTest, storageForTest } from "./support/faults.ts"

const ofTest = async (starting: Promise<Cluster>): Promise<Cluster> => {
  const started = await starting
  onTestFinished(() => started.destroy())
  return started
}

const newCluster = () => ofTest(startCluster({ settings: { fsync: "off" } }))

/** The cluster goes on. */
const copyOf = async (running: Cluster): Promise<ClusterFiles> => {
  await running.stop()
  const files = filesOf(running)
  onTestFinished(files.remove)
  await running.start()
  return files
}

/** A service whose database has one address, whatever answers there. */
const prepare = async () => {
  const first = await newCluster()
  let answering = first
  const proxy = await startDatabaseProxy(() => answering.port)
  onTestFinished(proxy.close)
  const database = await createDatabase(first)
  await database.query(`${tables};${moods}`)
  const storageDir = storageForTest()
  const start = (until: "active" | "waiting" | false = "active") =>
    serviceForTest({
      storageDir,
      until,
      env: {
        DATABASE_URL: proxy.url(database.url),
        ELECTRIC_REPLICATION_STREAM_ID: database.streamId,
        ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "10000",
        // What is right is looked at here, not how fast it is on a machine that others use, too.
        BATON_MAX_DECISION_TIME: "20s"
      }
    })
  /** From now on this one answers. */
  const turnTo = (other: Cluster): TestDatabase => {
    answering = other
    proxy.cut()
    return databaseIn(other, database.name)
  }
  return { database, first, start, turnTo }
}

/** Of files that the primary, or the one that it was a standby of, has had before. */
const standbyOf = async (files: ClusterFiles, primary: Cluster): Promise<Cluster> => {
  const standby = await ofTest(files.startStandby(primary))
  await caughtUp(primary, standby)
  return standby
}

let changes = 0

/** Readers hold what the database has, now and after it has changed; they see to it that what they are told only rises. */
const expectFollowed = async (
  database: TestDatabase,
  readers: ReadonlyArray<ShapeLogReader>,
  { url }: TestService
) => {
  await expectSelected(database, readers, url, every)
  const id = 50_000 + ++changes
  await database.query(
    `UPDATE items SET note = 'change ${id}' WHERE id % 50 = 7; INSERT INTO items VALUES (${id}, 2, 'new', NULL);
     UPDATE people SET feels = 'glad', nick = 'change ${id}' WHERE id = 3;
     UPDATE members SET person = 3 - person WHERE id = 5; INSERT INTO loose VALUES ('change', ${id})`
  )
  await expectSelected(database, readers, url, every)
}

/** Newcomers are given the shapes that readers have. */
const expectSameHandles = async (readers: ReadonlyArray<ShapeLogReader>, { url }: TestService) => {
  const found = await Promise.all(every.map(async ([params]) => (await ask(url, params)).handle))
  assert.deepStrictEqual(
    found,
    readers.map(({ position }) => position.handle ?? null)
  )
}

const lost = `
  UPDATE items SET name = 'lost' WHERE id < 30; DELETE FROM items WHERE id BETWEEN 30 AND 40;
  INSERT INTO items SELECT i, 2, 'lost', NULL FROM generate_series(9001, 9020) i;
  UPDATE members SET project = 0 WHERE id < 20; DELETE FROM loose WHERE "of" < 10; UPDATE people SET feels = 'sad'`

describe("a standby that is promoted", () => {
  it(
    "costs no shape its handle, with what it has and with what it lacks",
    { timeout: patient(120_000) },
    async () => {
      const { database, first, start, turnTo } = await prepare()
      const files = await copyOf(first)
      const service = await start()
      const readers = await readersAt(service.url, every)
      const second = await standbyOf(files, first)
      await expectFollowed(database, readers, service)
      await caughtUp(first, second)
      await first.kill()
      await promote(second)
      const after = turnTo(second)
      await expectFollowed(after, readers, service)
      const third = await standbyOf(files, second)
      await caughtUp(second, third)
      await third.stop()
      await after.query(lost)
      await expectSelected(after, readers, service.url, every)
      await second.kill()
      await third.start()
      await promote(third)
      const last = turnTo(third)
      await expectFollowed(last, readers, service)
      assert.notMatch(service.logs(), /Dropped/)
      assert.match(service.logs(), /restored or failed over/)
      await service.stop("SIGKILL")
      const again = await start()
      await expectFollowed(last, readers, again)
      await expectSameHandles(readers, again)
    }
  )
})

describe("a backup that is restored", () => {
  it(
    "costs no shape its handle, whatever has happened in it since",
    { timeout: patient(120_000) },
    async () => {
      const { database, first, start, turnTo } = await prepare()
      const service = await start()
      const readers = await readersAt(service.url, every)
      await expectFollowed(database, readers, service)
      // With the slot in it.
      const backup = await copyOf(first)
      await expectFollowed(database, readers, service)
      await database.query(lost)
      await expectSelected(database, readers, service.url, every)
      await first.kill()
      const second = await ofTest(backup.start())
      const restored = turnTo(second)
      await expectFollowed(restored, readers, service)
      assert.match(service.logs(), /ends before what has been read from it/)
      const files = await copyOf(second)
      // Ids of transactions that the next history is not going to have for long.
      await restored.query(
        `DO $$ BEGIN FOR n IN 1..100 LOOP UPDATE people SET nick = 'n' || n WHERE id = 1; COMMIT; END LOOP; END $$`
      )
      await expectFollowed(restored, readers, service)
      await service.stop("SIGKILL")
      await second.kill()
      const third = await ofTest(files.start())
      const other = turnTo(third)
      // Nothing tells by the positions: there is more WAL than was read.
      await other.query(
        "INSERT INTO items SELECT i, i % 5, repeat('y', 200), NULL FROM generate_series(20001, 24000) i; DELETE FROM items WHERE id > 21000"
      )
      const last = await start()
      await expectFollowed(other, readers, last)
      assert.match(last.logs(), /not among those that Postgres gives once more/)
      await expectSameHandles(readers, last)
      assert.notMatch(`${service.logs()}${last.logs()}`, /Dropped/)
    }
  )
})

describe("another cluster, and a database that was made anew", () => {
  it(
    "go on under the same handles where their tables are the same",
    { timeout: patient(120_000) },
    async () => {
      const { database, start, turnTo } = await prepare()
      const service = await start()
      const readers = await readersAt(service.url, every)
      await database.query(lost)
      await expectFollowed(database, readers, service)
      await service.stop("SIGTERM")

      // Its OIDs are others, its WAL is shorter, and it has had hardly any transactions.
      const second = await newCluster()
      const restored = await createDatabase(second, database.name)
      await restored.query(
        `CREATE TABLE before (id int); CREATE TYPE other AS ENUM ('a'); ${moods}; ${tables}`
      )
      turnTo(second)
      for (let round = 0; round < 2; round++) {
        const killed = await start(false)
        await killed.untilLogged(/BATON-SHAPE-COMPARED/)
        await killed.stop("SIGKILL")
      }
      const again = await start()
      await expectFollowed(restored, readers, again)
      await expectSameHandles(readers, again)
      const young: ComparedShape = [{ table: "people", where: "id < 5" }, "SELECT * FROM people WHERE id < 5"]
      const late = await readersAt(again.url, [young])
      await restored.query("UPDATE people SET nick = 'late' WHERE id < 9")
      await expectSelected(restored, late, again.url, [young])
      await again.stop("SIGKILL")

      // Made anew while nobody is there, with one table less and one that is not what it was.
      await restored.drop()
      const anew = await createDatabase(second, database.name)
      await anew.query(`${tables}; ${moods}; DROP TABLE loose; ALTER TABLE people ALTER id TYPE numeric`)
      const last = await start()
      const goneOn = every.filter(([{ table }]) => table === "items")
      const theirs = readers.filter((_, i) => every[i]?.[0]["table"] === "items")
      await expectSelected(anew, theirs, last.url, goneOn)
      await anew.query("DELETE FROM items WHERE id < 100; UPDATE members SET person = 3 WHERE id = 9")
      await expectSelected(anew, theirs, last.url, goneOn)
      await last.untilLogged(/Dropped .*its table public.loose.* is gone/)
      await last.untilLogged(/Dropped .*the definition of table public.people has changed/)
      for (const [i, [params]] of every.entries())
        if (params["table"] === "people") {
          const handle = readers[i]?.position.handle ?? ""
          assert.strictEqual((await ask(last.url, { ...params, handle, offset: "0_0" })).status, 409)
        }
    }
  )
})
