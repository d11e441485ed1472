import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import type pg from "pg"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { describeByName } from "../../src/postgres/catalogue/DescribeTables.ts"
import { makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import { makePublication, type Publication } from "../../src/postgres/publication/Publication.ts"
import type { TableInfo } from "../../src/postgres/catalogue/TableInfo.ts"
import { scopedDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { plainConfig, targetOf } from "./connection.ts"

interface Fixture {
  readonly database: TestDatabase
  readonly publication: Publication["Service"]
  /** As another process would have it that starts now. */
  readonly restarted: Effect.Effect<Publication["Service"], never, Scope.Scope>
  readonly items: TableInfo
  readonly sql: (
    text: string,
    params?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Record<string, unknown>>>
  readonly session: Effect.Effect<pg.Client>
  /** Ids of the rows whose insertion the replication stream carries. */
  readonly streamed: Effect.Effect<ReadonlyArray<number>>
}

/** A database with a table `items`, a slot that sees everything, and the publication without the table. */
const fixture = (cluster?: Cluster): Effect.Effect<Fixture, never, Scope.Scope> =>
  Effect.gen(function* () {
    const database = yield* scopedDatabase(cluster)
    const sql: Fixture["sql"] = (text, params) => Effect.promise(() => database.query(text, params))
    const pool = yield* makeAdminPool(targetOf(database), plainConfig, 20)
    const restarted = makePublication(pool, {
      publicationName: database.publicationName,
      manualTablePublishing: false,
      publicationAlterDebounceMillis: 0,
      publicationRefreshMillis: 60_000
    })
    const publication = yield* restarted
    yield* Effect.orDie(publication.ensureExists)
    // Full identity already: setting it would lock writers out, and hide what this is about.
    yield* sql(
      "CREATE TABLE items (id int); ALTER TABLE items REPLICA IDENTITY FULL; CREATE TABLE other (id int)"
    )
    yield* sql("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [database.slotName])
    const found = yield* Effect.orDie(describeByName(pool, { schema: "public", name: "items" }))
    return {
      database,
      publication,
      restarted,
      items: found.tables[0] ?? assert.fail("items is there"),
      sql,
      session: Effect.promise(() => database.connect()),
      streamed: Effect.map(
        sql(
          `SELECT encode(data, 'escape') AS text FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL,
             'proto_version', '1', 'publication_names', $2) WHERE get_byte(data, 0) = ascii('I')`,
          [database.slotName, database.publicationName]
        ),
        // Insert: relation, 'N', one column, 't', its length, its text.
        (rows) => rows.map((row) => Number(/(\d+)$/.exec(String(row["text"]))?.[1]))
      )
    }
  })

const run = (client: pg.Client, text: string) => Effect.promise(() => client.query(text))

const ids = (rows: ReadonlyArray<Record<string, unknown>>) => rows.map((row) => Number(row["id"])).toSorted()

const isPending = (fiber: Fiber.Fiber<unknown, unknown>) =>
  Effect.map(Effect.sleep(150), () => fiber.pollUnsafe() === undefined)

/** The whole story, on any server: what a transaction that is open across the publication makes of the rows. */
const openAcross = (fix: Fixture) =>
  Effect.gen(function* () {
    const { publication, items, sql, streamed } = fix
    const writer = yield* fix.session
    yield* run(writer, "BEGIN; INSERT INTO items VALUES (101)")
    assert.deepStrictEqual(yield* publication.ensureTable(items), { altered: true })
    yield* run(writer, "INSERT INTO items VALUES (102)")
    const settling = yield* Effect.forkScoped(publication.settle(items))
    assert.isTrue(yield* isPending(settling))
    // A snapshot taken now, together with what the stream brings later, lacks the first row for ever.
    const tooEarly = ids(yield* sql("SELECT id FROM items"))
    const later = yield* fix.session
    yield* run(later, "BEGIN; INSERT INTO items VALUES (103)")
    yield* run(writer, "COMMIT")
    yield* Fiber.join(settling) // a transaction that began later may still be open
    const snapshot = ids(yield* sql("SELECT id FROM items"))
    yield* run(later, "COMMIT")
    yield* sql("INSERT INTO items VALUES (104)")
    const stream = yield* streamed
    const all = [101, 102, 103, 104]
    assert.deepStrictEqual([...new Set([...snapshot, ...stream])].toSorted(), all)
    assert.notDeepEqual([...new Set([...tooEarly, ...stream])].toSorted(), all, "the wait was needed")
    assert.includeMembers([...stream], [103, 104])
  })

describe("a table is settled when", () => {
  it.live("every transaction has ended that wrote to it before it was published", () =>
    Effect.flatMap(fixture(), openAcross)
  )

  it.live("nobody was writing to it: at once", () =>
    Effect.gen(function* () {
      const { publication, items } = yield* fixture()
      yield* publication.publish(items).pipe(Effect.timeout(1000))
    })
  )

  it.live("others write elsewhere, only read it, or began to write later", () =>
    Effect.gen(function* () {
      const { publication, items, session } = yield* fixture()
      const [elsewhere, reader, later] = [yield* session, yield* session, yield* session]
      yield* run(elsewhere, "BEGIN; INSERT INTO other VALUES (1)")
      yield* run(
        reader,
        "BEGIN; SELECT * FROM items; INSERT INTO other VALUES (2); SELECT * FROM items FOR UPDATE"
      )
      yield* publication.ensureTable(items)
      yield* run(later, "BEGIN; INSERT INTO items VALUES (1)")
      yield* publication.settle(items).pipe(Effect.timeout(1000))
    })
  )

  it.live("it is a partitioned table and writers of its partitions have ended", () =>
    Effect.gen(function* () {
      const { publication, sql, session, database } = yield* fixture()
      yield* sql(`
        CREATE TABLE logs (id int) PARTITION BY RANGE (id);
        CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (10);
        ALTER TABLE logs_1 REPLICA IDENTITY FULL;
      `)
      const pool = yield* makeAdminPool(targetOf(database), plainConfig, 4)
      const [logs] = (yield* describeByName(pool, { schema: "public", name: "logs" })).tables
      if (logs === undefined) return assert.fail("logs is there")
      const writer = yield* session
      yield* run(writer, "BEGIN; INSERT INTO logs_1 VALUES (1)")
      const publishing = yield* Effect.forkScoped(publication.publish(logs))
      assert.isTrue(yield* isPending(publishing))
      yield* run(writer, "ROLLBACK")
      yield* Fiber.join(publishing)
    })
  )

  it.live("its first user in a new process has waited for those who write, unless it is trusted", () =>
    Effect.gen(function* () {
      const { publication, restarted, items, session } = yield* fixture()
      const writer = yield* session
      yield* run(writer, "BEGIN; INSERT INTO items VALUES (1)")
      yield* publication.ensureTable(items)
      // The process is killed here and starts again: the table is a member already, who knows since when.
      const next = yield* restarted
      assert.deepStrictEqual(yield* next.ensureTable(items), { altered: false })
      const error = yield* Effect.flip(next.settle(items, 100))
      assert.deepStrictEqual([error.kind, error.reason], ["unavailable", "openTransaction"])
      const trusting = yield* restarted
      trusting.trust([items.oid])
      yield* trusting.publish(items).pipe(Effect.timeout(1000))
      yield* run(writer, "COMMIT")
      yield* next.settle(items)
    })
  )

  it.live("it was removed and published again, and the wait has begun anew", () =>
    Effect.gen(function* () {
      const { publication, items, session, sql, database } = yield* fixture()
      yield* publication.publish(items)
      yield* sql(`ALTER PUBLICATION ${database.publicationName} DROP TABLE items`)
      const writer = yield* session
      yield* run(writer, "BEGIN; INSERT INTO items VALUES (1)")
      yield* publication.ensureTable(items)
      assert.strictEqual((yield* Effect.flip(publication.settle(items, 100))).reason, "openTransaction")
      yield* run(writer, "COMMIT")
      yield* publication.settle(items)
    })
  )
})

describe("an instance that takes over again", () => {
  it.live("does not go by what it knew before another one had its turn", () =>
    Effect.gen(function* () {
      const { publication, items, session, sql, database } = yield* fixture()
      yield* publication.publish(items)
      const writer = yield* session
      yield* sql(`ALTER PUBLICATION ${database.publicationName} DROP TABLE items`)
      yield* run(writer, "BEGIN; INSERT INTO items VALUES (1)")
      yield* sql(`ALTER PUBLICATION ${database.publicationName} ADD TABLE items`)
      yield* publication.ensureExists
      assert.deepStrictEqual(yield* publication.ensureTable(items), { altered: false })
      assert.strictEqual((yield* Effect.flip(publication.settle(items, 100))).reason, "openTransaction")
      yield* run(writer, "COMMIT")
    })
  )
})

describe("Postgres 14", () => {
  it.live("waits by the same rule, for prepared transactions too", () =>
    Effect.gen(function* () {
      const cluster = yield* Effect.acquireRelease(
        Effect.promise(() =>
          startCluster({ version: 14, settings: { fsync: "off", max_prepared_transactions: "4" } })
        ),
        (started) => Effect.promise(() => started.destroy())
      )
      yield* Effect.scoped(Effect.flatMap(fixture(cluster), openAcross))

      const { publication, items, session, streamed, sql } = yield* fixture(cluster)
      const writer = yield* session
      yield* run(writer, "BEGIN; INSERT INTO items VALUES (201)")
      yield* publication.ensureTable(items)
      const settling = yield* Effect.forkScoped(publication.settle(items))
      assert.isTrue(yield* isPending(settling))
      yield* run(writer, "PREPARE TRANSACTION 'across'")
      assert.isTrue(yield* isPending(settling))
      yield* run(writer, "COMMIT PREPARED 'across'")
      yield* Fiber.join(settling)
      assert.deepStrictEqual(ids(yield* sql("SELECT id FROM items")), [201])
      assert.deepStrictEqual(yield* streamed, [])
    })
  )
})
