import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, inject } from "vitest"
import { doctor } from "../../src/command/doctor/Doctor.ts"
import type { Examination } from "../../src/command/doctor/Examination.ts"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { createDatabase, databaseForFile, type TestDatabase } from "../../testing/postgres/Database.ts"

const directory = mkdtempSync(path.join(tmpdir(), "baton-doctor-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

type Environment = Readonly<Record<string, string>>

const said = (environment: Environment, json: boolean, write = false) =>
  Effect.gen(function* () {
    let text = ""
    const status = yield* doctor({
      environment,
      json,
      write,
      paint: (_, plain) => plain,
      say: (more) => (text += more)
    })
    return { status, text }
  })

const of = (database: TestDatabase, more: Environment = {}): Environment => ({
  DATABASE_URL: database.url,
  ELECTRIC_REPLICATION_STREAM_ID: database.streamId,
  ELECTRIC_SECRET: "secret",
  ELECTRIC_PORT: "0",
  ELECTRIC_STORAGE_DIR: path.join(directory, "storage"),
  ...more
})

const examined = (environment: Environment) =>
  Effect.map(said(environment, true), ({ status, text }) => {
    const found = JSON.parse(text) as Examination
    assert.strictEqual(found.status, status)
    return { ...found, wrong: found.findings.filter(({ level }) => level !== "ok") }
  })

const codesOf = ({ findings }: Examination): ReadonlyArray<string> =>
  findings.flatMap(({ code, level }) => (level === "ok" ? [] : [`${level} ${code}`]))

/** A role of its own, and the URL with which it connects. */
const roleOf = async (database: TestDatabase, attributes = ""): Promise<{ name: string; url: string }> => {
  const name = `r_${database.name}_${Math.random().toString(36).slice(2, 8)}`
  await database.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first' ${attributes}`)
  const url = new URL(database.url)
  url.username = name
  url.password = "first"
  return { name, url: url.href }
}

const run = <A>(work: () => Promise<A>) => Effect.promise(work)

describe("baton doctor", { timeout: 60_000 }, () => {
  const database = databaseForFile()

  it.live("finds a new database well, says what a start would do, and does none of it", () =>
    Effect.gen(function* () {
      const db = database()
      yield* run(() => db.query("CREATE TABLE items (id int PRIMARY KEY)"))
      const found = yield* examined(of(db))
      assert.deepStrictEqual(found.wrong, [])
      assert.strictEqual(found.status, 0)
      assert.match(found.start.join("\n"), /Create the publication .*\n.*Create the replication slot/s)
      const [left] = yield* run(() =>
        db.query(
          "SELECT (SELECT count(*)::int FROM pg_publication) + (SELECT count(*)::int FROM pg_replication_slots WHERE slot_name = $1) AS made",
          [db.slotName]
        )
      )
      assert.strictEqual(left?.["made"], 0)
      assert.isFalse(existsSync(path.join(directory, "storage")))
      // Tried by writing, and tidied up.
      const written = yield* said(of(db), false, true)
      assert.include(written.text, "All is well.")
      assert.deepStrictEqual(readdirSync(path.join(directory, "storage")), [])
    })
  )

  it.live("names what a role lacks, with the SQL that mends it; with that all is well", () =>
    Effect.gen(function* () {
      const db = database()
      const role = yield* run(() => roleOf(db))
      const environment = of(db, { DATABASE_URL: role.url })
      const before = yield* examined(environment)
      assert.strictEqual(before.status, 1)
      for (const code of [
        "problem BATON-DB-REPLICATION",
        "problem BATON-DB-SETUP",
        "advice BATON-TABLE-OWNER"
      ])
        assert.include(codesOf(before), code)
      assert.include(codesOf(before), "advice BATON-TABLE-PRIVILEGE")
      for (const { check, fix } of before.wrong) {
        assert.isDefined(fix, check)
        yield* run(() => db.query(fix ?? ""))
      }
      const after = yield* examined(environment)
      assert.deepStrictEqual(after.wrong, [])
      yield* run(() => db.query("ALTER TABLE items OWNER TO CURRENT_USER"))
    })
  )

  it.live.skipIf(inject("pg").majorVersion < 15)(
    "sees tables that are published and cannot have shapes",
    () =>
      Effect.gen(function* () {
        const db = database()
        const manual = of(db, { ELECTRIC_MANUAL_TABLE_PUBLISHING: "true" })
        const none = yield* examined(manual)
        assert.deepStrictEqual(codesOf(none), ["advice BATON-TABLE-UNPUBLISHED"])
        yield* run(() =>
          db.query(
            `CREATE PUBLICATION ${db.publicationName} FOR TABLE items WHERE (id > 1); CREATE TABLE other (id int PRIMARY KEY)`
          )
        )
        const found = yield* examined(manual)
        assert.deepStrictEqual(
          found.wrong.map(({ code, level }) => `${level} ${code}`).toSorted(),
          [
            // Before Postgres 18 no publication carries generated columns.
            ...(found.wrong.some(({ check, text }) => check === "publication" && text.includes("generated"))
              ? ["advice BATON-TABLE-FILTERED"]
              : []),
            "advice BATON-TABLE-UNPUBLISHED",
            "problem BATON-TABLE-FILTERED"
          ].toSorted()
        )
        yield* run(() => db.query(`DROP PUBLICATION ${db.publicationName}`))
      })
  )

  it.live("says who holds the lock, and that a slot waits for a transaction", () =>
    Effect.gen(function* () {
      const db = database()
      const holder = yield* run(() => db.connect())
      const writer = yield* run(() => db.connect())
      yield* run(() => holder.query("SELECT pg_advisory_lock(hashtext($1))", [db.slotName]))
      const [me] = (yield* run(() => holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid"))).rows
      yield* run(() => writer.query("BEGIN; INSERT INTO items VALUES (7)"))
      const creating = run(() =>
        db.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [db.slotName])
      )
      const found = yield* Effect.raceFirst(
        Effect.andThen(creating, Effect.never),
        Effect.gen(function* () {
          for (;;) {
            const now = yield* examined(of(db))
            if (codesOf(now).includes("problem BATON-SLOT-WAITS")) return now
          }
        })
      )
      assert.include(found.findings.find(({ check }) => check === "lock")?.text ?? "", `backend ${me?.pid}`)
      assert.match(found.start[0] ?? "", /^Wait for the lock/)
      yield* run(() => writer.query("ROLLBACK"))
    })
  )

  it.live("goes on where something cannot be reached or read, and says so", () =>
    Effect.gen(function* () {
      const db = database()
      const file = path.join(directory, "file")
      writeFileSync(file, "")
      const nowhere = yield* examined(
        of(db, {
          DATABASE_URL: "postgres://a:b@127.0.0.1:1/c",
          ELECTRIC_STORAGE_DIR: path.join(file, "storage")
        })
      )
      assert.deepStrictEqual(codesOf(nowhere), ["problem BATON-DB-REFUSED", "problem BATON-STORAGE-UNUSABLE"])
      const password = new URL(db.url)
      password.password = "wrong"
      assert.include(
        codesOf(yield* examined(of(db, { DATABASE_URL: password.href }))),
        "problem BATON-DB-LOGIN"
      )
      const unset = yield* examined({ ELECTRIC_SECRET: "secret" })
      assert.strictEqual(unset.status, 2)
      const wrong = yield* said(of(db, { ELECTRIC_PORT: "many" }), false)
      assert.strictEqual(wrong.status, 2)
      assert.match(wrong.text, /PROBLEM configuration +.*ELECTRIC_PORT/s)
      assert.notInclude(wrong.text, "secret\n")
    })
  )

  it.live("sees a slot that Postgres has given up, and a server without logical WAL", () =>
    Effect.gen(function* () {
      const cluster = yield* Effect.acquireRelease(
        run(() =>
          startCluster({
            settings: {
              fsync: "off",
              max_slot_wal_keep_size: "1MB",
              min_wal_size: "32MB",
              max_wal_size: "32MB"
            }
          })
        ),
        (made) => run(() => made.destroy())
      )
      const db = yield* run(() => createDatabase(cluster))
      yield* run(() => db.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [db.slotName]))
      for (let times = 0; times < 4; times++)
        yield* run(() =>
          db.query(
            "SELECT pg_switch_wal() FROM pg_logical_emit_message(true, 'x', repeat('x', 1000)); CHECKPOINT"
          )
        )
      const lost = yield* examined(of(db))
      assert.include(codesOf(lost), "problem BATON-SLOT-LOST")
      assert.include(lost.start.join("\n"), `Drop the replication slot ${db.slotName}, and make it anew`)
      yield* run(() => db.query("SELECT pg_drop_replication_slot($1)", [db.slotName]))
      yield* run(() => cluster.restart({ wal_level: "replica" }))
      const replica = yield* examined(of(db))
      assert.deepStrictEqual(codesOf(replica), ["problem BATON-DB-WALLEVEL"])
    })
  )
})
