import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { Clock, Effect, Fiber, type Scope } from "effect"
import type pg from "pg"
import { describeByName } from "../../src/postgres/catalogue/DescribeTables.ts"
import { makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import {
  makePublication,
  type Publication,
  type PublicationOptions
} from "../../src/postgres/publication/Publication.ts"
import {
  addToPublication,
  losesChangesOfAddedTables
} from "../../src/postgres/publication/AlterPublication.ts"
import type { PublicationReport } from "../../src/postgres/publication/PublicationReport.ts"
import type { SessionPool } from "../../src/postgres/connection/SessionPool.ts"
import type { TableInfo } from "../../src/postgres/catalogue/TableInfo.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { plainConfig, targetOf } from "./connection.ts"
import { eventually } from "./eventually.ts"
import { patient } from "../../testing/Load.ts"

const file = databaseForFile()
let fixtures = 0

interface Fixture {
  readonly publicationName: string
  readonly pool: SessionPool
  readonly publication: Publication["Service"]
  /** What the publication has sent outside transactions. */
  readonly sent: ReadonlyArray<string>
  readonly sql: (
    text: string,
    params?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Record<string, unknown>>>
  readonly table: (name: string) => Effect.Effect<TableInfo>
  /** Names of the members, `!` behind those without full replica identity. */
  readonly members: Effect.Effect<ReadonlyArray<string>>
  /** A session of its own. */
  readonly session: Effect.Effect<pg.Client, never, Scope.Scope>
  readonly another: (
    changes: Partial<PublicationOptions>,
    user?: { name: string; password: string }
  ) => Effect.Effect<Publication["Service"], never, Scope.Scope>
}

const fixture = (changes: Partial<PublicationOptions> = {}): Effect.Effect<Fixture, never, Scope.Scope> =>
  Effect.gen(function* () {
    const database = file()
    const publicationName = `publication_${++fixtures}`
    yield* Effect.addFinalizer(() =>
      Effect.promise(() =>
        database.query(
          `DROP PUBLICATION IF EXISTS ${publicationName}; DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC`
        )
      )
    )
    const sent: Array<string> = []
    const unheard = yield* makeAdminPool(targetOf(database), plainConfig, 20)
    const pool: SessionPool = {
      ...unheard,
      query: (text, params) => {
        sent.push(text)
        return unheard.query(text, params)
      }
    }
    const sql: Fixture["sql"] = (text, params) => Effect.promise(() => database.query(text, params))
    const another: Fixture["another"] = (more, user) =>
      Effect.gen(function* () {
        const own =
          user === undefined
            ? pool
            : yield* makeAdminPool(
                targetOf({ ...database, user: user.name, password: user.password }),
                plainConfig,
                20
              )
        return yield* makePublication(own, {
          publicationName,
          manualTablePublishing: false,
          publicationAlterDebounceMillis: 0,
          publicationRefreshMillis: 60_000,
          lockTimeoutMillis: patient(300),
          ...changes,
          ...more
        })
      })
    return {
      publicationName,
      pool,
      sent,
      sql,
      another,
      publication: yield* another({}),
      table: (name) =>
        Effect.map(Effect.orDie(describeByName(pool, { schema: "public", name })), (found) => {
          const [table] = found.tables
          return table ?? assert.fail(`${name} is there`)
        }),
      members: Effect.map(
        sql(
          `SELECT c.relname || CASE WHEN c.relreplident = 'f' OR c.relkind = 'p' THEN '' ELSE '!' END AS name
           FROM pg_publication_rel JOIN pg_class c ON c.oid = prrelid ORDER BY 1`
        ),
        (rows) => rows.map((row) => String(row["name"]))
      ),
      session: Effect.acquireRelease(
        Effect.promise(() => database.connect()),
        (client) => Effect.promise(() => client.end())
      )
    }
  })

const query = (client: pg.Client, text: string) => Effect.promise(() => client.query(text))

/** At a later time than it is. */
const at = <A, E, R>(laterMillis: number, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (machine) => {
    const nanos = () => machine.monotonicTimeNanosUnsafe() + BigInt(laterMillis) * 1_000_000n
    return Effect.provideService(work, Clock.Clock, {
      currentTimeMillisUnsafe: () => machine.currentTimeMillisUnsafe(),
      currentTimeMillis: machine.currentTimeMillis,
      currentTimeNanosUnsafe: () => machine.currentTimeNanosUnsafe(),
      currentTimeNanos: machine.currentTimeNanos,
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) => machine.sleep(duration)
    })
  })

/** Something in this database waits for a lock. Other tests use the cluster too. */
const isBlocked = (sql: Fixture["sql"]) =>
  Effect.map(
    sql("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"),
    (rows) => rows.length > 0
  )

/** A role of its own, in a cluster that tests share. */
const role = ({ sql }: Fixture, name: string) =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const user = { name: `${name}_${file().name}_${fixtures}`, password: "p" }
      return Effect.as(sql(`CREATE ROLE ${user.name} LOGIN PASSWORD 'p'`), user)
    }),
    (user) => Effect.asVoid(sql(`DROP OWNED BY ${user.name}; DROP ROLE ${user.name}`))
  )

describe("the publication", () => {
  it.live(
    "is created once, with stored generated columns, although another instance creates it at the same time",
    () =>
      Effect.gen(function* () {
        const { publication, another, sql, publicationName } = yield* fixture()
        const other = yield* another({})
        const results = yield* Effect.all(
          [publication.ensureExists, other.ensureExists, publication.ensureExists],
          {
            concurrency: "unbounded"
          }
        )
        assert.strictEqual(results.filter((result) => result.created).length, 1)
        assert.deepStrictEqual(yield* publication.ensureExists, { created: false, repaired: false })
        const [row] = yield* sql("SELECT * FROM pg_publication WHERE pubname = $1", [publicationName])
        assert.deepInclude(row, {
          puballtables: false,
          pubinsert: true,
          pubupdate: true,
          pubdelete: true,
          pubtruncate: true,
          pubviaroot: false,
          ...(inject("pg").majorVersion < 18 ? {} : { pubgencols: "s" })
        })
      })
  )

  it.live("is created in manual mode as well", () =>
    Effect.gen(function* () {
      const { publication } = yield* fixture({ manualTablePublishing: true })
      assert.deepStrictEqual(yield* publication.ensureExists, { created: true, repaired: false })
    })
  )

  it.live("is repaired when it lacks something, and that is said", () =>
    Effect.gen(function* () {
      const { publication, sql, publicationName } = yield* fixture()
      yield* sql(`CREATE PUBLICATION ${publicationName} WITH (publish = 'insert')`)
      assert.deepStrictEqual(yield* publication.ensureExists, { created: false, repaired: true })
      assert.deepStrictEqual(yield* publication.ensureExists, { created: false, repaired: false })
    })
  )

  it.live("that is missing or incomplete, and may not be altered, ends start-up", () =>
    Effect.gen(function* () {
      const fix = yield* fixture()
      const name = fix.publicationName
      const user = yield* role(fix, "reader")
      const publication = yield* fix.another({}, user)
      const missing = yield* Effect.flip(publication.ensureExists)
      assert.deepStrictEqual([missing.kind, missing.recovery], ["config_error", "fatal"])
      assert.include(missing.message, `Publication "${name}" not found in the database`)
      yield* fix.sql(`CREATE PUBLICATION ${name} WITH (publish = 'insert, update')`)
      const incomplete = yield* Effect.flip(publication.ensureExists)
      assert.include(
        incomplete.message,
        `Publication "${name}" does not publish all required operations: INSERT, UPDATE, DELETE, TRUNCATE`
      )
      const manual = yield* fix.another({ manualTablePublishing: true })
      assert.strictEqual((yield* Effect.flip(manual.ensureExists)).kind, "config_error")
      yield* fix.sql(`ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate')`)
      assert.deepStrictEqual(yield* publication.ensureExists, { created: false, repaired: false })
    })
  )
})

describe("a table that a shape needs", () => {
  it.live("is added, with full replica identity, and then left alone", () =>
    Effect.gen(function* () {
      const { publication, sql, table, members } = yield* fixture()
      yield* publication.ensureExists
      yield* sql(
        'CREATE TABLE "My ""items""" (id int PRIMARY KEY); CREATE TABLE heir () INHERITS ("My ""items""")'
      )
      const items = yield* table('My "items"')
      assert.deepStrictEqual(yield* publication.ensureTable(items), { altered: true })
      assert.deepStrictEqual(yield* members, ['My "items"'], "and not the tables that inherit from it")
      const xmins = sql(
        "SELECT xmin::text FROM pg_class WHERE relname = 'My \"items\"' UNION ALL SELECT xmin::text FROM pg_publication_rel"
      )
      const before = yield* xmins
      assert.deepStrictEqual(yield* publication.ensureTable(items), { altered: false })
      assert.deepStrictEqual(yield* xmins, before)
    })
  )

  it.live("needs no lock when it is right already", () =>
    Effect.gen(function* () {
      const { publication, sql, table, session } = yield* fixture()
      yield* publication.ensureExists
      yield* sql("CREATE TABLE items (id int)")
      const items = yield* table("items")
      yield* publication.ensureTable(items)
      const holder = yield* session
      yield* query(holder, "BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
      assert.deepStrictEqual(yield* publication.ensureTable(items), { altered: false })
    })
  )

  it.live("is altered once for many shapes that need it at the same time", () =>
    Effect.gen(function* () {
      const { publication, sql, table, sent } = yield* fixture()
      yield* publication.ensureExists
      yield* sql("CREATE TABLE items (id int)")
      yield* sql(`
        CREATE TABLE alterations (command text);
        CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql
          AS $$ BEGIN INSERT INTO public.alterations VALUES (tg_tag); END $$;
        CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION note();
      `)
      const items = yield* table("items")
      const results = yield* Effect.all(
        Array.from({ length: 50 }, () => publication.ensureTable(items)),
        { concurrency: "unbounded" }
      )
      assert.isTrue(results.every((result) => result.altered))
      // Identity and membership; and one xid is used up, for the bound.
      assert.deepStrictEqual(yield* sql("SELECT command FROM alterations ORDER BY 1"), [
        { command: "ALTER PUBLICATION" },
        { command: "ALTER TABLE" }
      ])
      assert.strictEqual(sent.filter((text) => text.includes("pg_current_xact_id")).length, 1)
    })
  )

  it.live("if partitioned, is added as such, and its leaves get full replica identity, new ones too", () =>
    Effect.gen(function* () {
      const { publication, sql, table, members } = yield* fixture()
      yield* publication.ensureExists
      yield* sql(`
        CREATE TABLE logs (id int, day int) PARTITION BY RANGE (day);
        CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (1) TO (2);
        CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM (2) TO (4) PARTITION BY RANGE (day);
        CREATE TABLE logs_2a PARTITION OF logs_2 FOR VALUES FROM (2) TO (3);
      `)
      const logs = yield* table("logs")
      yield* publication.ensureTable(logs)
      assert.deepStrictEqual(yield* members, ["logs"])
      const identities = sql(
        "SELECT relname AS name, relreplident AS identity FROM pg_class WHERE relname LIKE 'logs%' AND relkind = 'r' ORDER BY 1"
      )
      assert.deepStrictEqual(yield* identities, [
        { name: "logs_1", identity: "f" },
        { name: "logs_2a", identity: "f" }
      ])
      yield* sql("CREATE TABLE logs_2b PARTITION OF logs_2 FOR VALUES FROM (3) TO (4)")
      const report = yield* publication.reconcile([logs.oid])
      assert.deepStrictEqual(
        report.tables.map(({ problem, repaired }) => [problem, repaired]),
        [["identityNotFull", true]]
      )
      assert.strictEqual((yield* identities).filter((row) => row["identity"] === "f").length, 3)
    })
  )

  it.live("that is locked fails alone, after a bounded wait, and can be had later", () =>
    Effect.gen(function* () {
      const { publication, sql, table, session, members } = yield* fixture()
      yield* publication.ensureExists
      yield* sql("CREATE TABLE locked (id int); CREATE TABLE open (id int)")
      const holder = yield* session
      yield* query(holder, "BEGIN; LOCK TABLE locked IN ACCESS SHARE MODE")
      const locked = yield* table("locked")
      const waiting = yield* Effect.forkScoped(Effect.flip(publication.ensureTable(locked)), {
        startImmediately: true
      })
      yield* publication.ensureTable(yield* table("open"))
      assert.isUndefined(waiting.pollUnsafe(), "the other is still waiting")
      const error = yield* Fiber.join(waiting)
      assert.deepStrictEqual(
        [error.kind, error.reason, error.message],
        ["unavailable", "lockTimeout", "Snapshot timed out while waiting for a table lock"]
      )
      yield* query(holder, "COMMIT")
      yield* publication.ensureTable(locked)
      assert.deepStrictEqual(yield* members, ["locked", "open"])
    })
  )

  it.live("has its wait behind another session's table without holding up the publication", () =>
    Effect.gen(function* () {
      const { publication, sql, table, session } = yield* fixture({ lockTimeoutMillis: patient(5000) })
      yield* publication.ensureExists
      yield* sql(
        "CREATE TABLE locked (id int); ALTER TABLE locked REPLICA IDENTITY FULL; CREATE TABLE open (id int)"
      )
      const holder = yield* session
      yield* query(holder, "BEGIN; LOCK TABLE locked IN SHARE UPDATE EXCLUSIVE MODE")
      const waiting = yield* Effect.forkScoped(publication.ensureTable(yield* table("locked")), {
        startImmediately: true
      })
      yield* eventually("it waits for the table", isBlocked(sql))
      yield* publication.ensureTable(yield* table("open"))
      assert.isUndefined(waiting.pollUnsafe())
      yield* query(holder, "COMMIT")
      yield* Fiber.join(waiting)
    })
  )

  it.live("without primary key can be updated at every moment of its being published", () =>
    Effect.gen(function* () {
      const { publication, sql, table, session, publicationName } = yield* fixture({
        lockTimeoutMillis: patient(5000)
      })
      yield* publication.ensureExists
      yield* sql("CREATE TABLE items (id int); INSERT INTO items VALUES (1)")
      // The last step waits for another session that alters the publication: all steps before are done.
      const admin = yield* session
      yield* query(
        admin,
        `CREATE TABLE other (id int); BEGIN; ALTER PUBLICATION ${publicationName} ADD TABLE other`
      )
      const items = yield* table("items")
      const publishing = yield* Effect.forkScoped(publication.ensureTable(items), { startImmediately: true })
      yield* eventually(
        "it waits for the publication",
        Effect.map(
          sql(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'ALTER PUBLICATION%items%' AND wait_event_type = 'Lock'"
          ),
          (rows) => rows.length === 1
        )
      )
      yield* sql("UPDATE items SET id = 2")
      yield* query(admin, "COMMIT")
      yield* Fiber.join(publishing)
      yield* sql("UPDATE items SET id = 3")
    })
  )

  it.live("that was replaced or renamed since it was looked up is a changed schema", () =>
    Effect.gen(function* () {
      const { publication, sql, table, members } = yield* fixture()
      yield* publication.ensureExists
      yield* sql("CREATE TABLE items (id int); CREATE TABLE renamed (id int)")
      const before = [yield* table("items"), yield* table("renamed")]
      yield* sql("DROP TABLE items; CREATE TABLE items (id int); ALTER TABLE renamed RENAME TO other")
      for (const stale of before) {
        const error = yield* Effect.flip(publication.ensureTable(stale))
        assert.deepStrictEqual([error.kind, error.reason], ["schemaChanged", "tableChanged"])
      }
      assert.deepStrictEqual(yield* members, [])
      yield* publication.ensureTable(yield* table("items"))
      assert.deepStrictEqual(yield* members, ["items"])
    })
  )

  it.live("that is not in the WAL is refused for good, and left as it was", () =>
    Effect.gen(function* () {
      const { publication, sql, table } = yield* fixture()
      yield* publication.ensureExists
      yield* sql("CREATE UNLOGGED TABLE quick (id int)")
      const error = yield* Effect.flip(publication.ensureTable(yield* table("quick")))
      assert.deepStrictEqual([error.kind, error.reason], ["refused", "unlogged"])
      assert.include(error.message, 'ALTER TABLE "public"."quick" SET LOGGED;')
      const [row] = yield* sql("SELECT relreplident AS identity FROM pg_class WHERE relname = 'quick'")
      assert.deepStrictEqual(row, { identity: "d" })
    })
  )

  it.live("is left alone in manual mode, and the operator is told what to do", () =>
    Effect.gen(function* () {
      const { publication, sql, table, members, publicationName } = yield* fixture({
        manualTablePublishing: true
      })
      const name = publicationName
      yield* publication.ensureExists
      yield* sql("CREATE TABLE items (id int)")
      const items = yield* table("items")
      const missing = yield* Effect.flip(publication.ensureTable(items))
      assert.deepStrictEqual(
        [missing.kind, missing.reason, missing.message],
        [
          "unavailable",
          "notPublished",
          `Database table "public.items" is missing from the publication "${name}" and the ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it`
        ]
      )
      yield* sql(`ALTER PUBLICATION ${name} ADD TABLE items`)
      const identity = yield* Effect.flip(publication.ensureTable(items))
      assert.strictEqual(
        identity.message,
        'Database table "public.items" does not have its replica identity set to FULL'
      )
      yield* sql("ALTER TABLE items REPLICA IDENTITY FULL")
      assert.deepStrictEqual(yield* publication.ensureTable(items), { altered: false })
      yield* sql(`ALTER PUBLICATION ${name} DROP TABLE items`)
      const report = yield* publication.reconcile([items.oid])
      assert.deepStrictEqual(
        report.tables.map(({ problem, repaired }) => [problem, repaired]),
        [["notPublished", false]]
      )
      assert.deepStrictEqual(yield* members, [])
    })
  )

  it.live("may be published by its schema, by its root, or with all tables", () =>
    Effect.gen(function* () {
      const { publication, sql, table, publicationName } = yield* fixture({ manualTablePublishing: true })
      const name = publicationName
      yield* sql(`
        CREATE TABLE items (id int);
        CREATE TABLE root (id int) PARTITION BY RANGE (id);
        CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
        ALTER TABLE items REPLICA IDENTITY FULL;
        ALTER TABLE leaf REPLICA IDENTITY FULL;
      `)
      const items = yield* table("items")
      const leaf = yield* table("leaf")
      const isPublished = (info: TableInfo) =>
        Effect.match(publication.ensureTable(info), {
          onFailure: (error) => error.reason,
          onSuccess: () => "published"
        })
      if (inject("pg").majorVersion >= 15) {
        yield* sql(`CREATE PUBLICATION ${name} FOR TABLES IN SCHEMA public`)
        assert.strictEqual(yield* isPublished(items), "published")
        yield* sql(`DROP PUBLICATION ${name}`)
      }
      yield* sql(`CREATE PUBLICATION ${name} FOR ALL TABLES`)
      assert.strictEqual(yield* isPublished(items), "published")
      yield* sql(`DROP PUBLICATION ${name}; CREATE PUBLICATION ${name} FOR TABLE root`)
      assert.strictEqual(yield* isPublished(leaf), "published")
      assert.strictEqual(yield* isPublished(items), "notPublished")
      yield* sql(`ALTER PUBLICATION ${name} SET (publish_via_partition_root = true)`)
      assert.strictEqual(yield* isPublished(leaf), "publishedAsRoot")
      // Nothing tells that one of its partitions was truncated.
      assert.strictEqual(yield* isPublished(yield* table("root")), "publishedAsRoot")
      yield* sql(`ALTER PUBLICATION ${name} SET (publish_via_partition_root = false)`)
      assert.strictEqual(yield* isPublished(yield* table("root")), "published")
    })
  )

  it.live("is not taken with a partition that is a foreign table", () =>
    Effect.gen(function* () {
      const { publication, sql, table, publicationName } = yield* fixture()
      yield* sql(
        `CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER there FOREIGN DATA WRAPPER elsewhere;
         CREATE TABLE root (id int) PARTITION BY RANGE (id);
         CREATE TABLE near PARTITION OF root FOR VALUES FROM (0) TO (10);
         CREATE FOREIGN TABLE far PARTITION OF root FOR VALUES FROM (10) TO (20) SERVER there;
         CREATE PUBLICATION ${publicationName}`
      )
      const error = yield* Effect.flip(publication.ensureTable(yield* table("root")))
      assert.deepStrictEqual([error.reason, error.kind], ["foreignPartition", "refused"])
      assert.include(error.message, "far")
      yield* publication.ensureTable(yield* table("near"))
    })
  )

  it.live.skipIf(inject("pg").majorVersion < 15)("is not taken with a row filter or a column list", () =>
    Effect.gen(function* () {
      const { publication, sql, table, publicationName } = yield* fixture()
      yield* sql("CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE b (id int PRIMARY KEY, t text)")
      yield* sql(`CREATE PUBLICATION ${publicationName} FOR TABLE a WHERE (id > 1), b (id)`)
      for (const name of ["a", "b"]) {
        const error = yield* Effect.flip(publication.ensureTable(yield* table(name)))
        assert.deepStrictEqual([error.reason, error.kind], ["filtered", "unavailable"])
      }
    })
  )

  const since18 = it.live.skipIf(inject("pg").majorVersion < 18)
  since18("with generated columns in the shape needs a publication that carries them", () =>
    Effect.gen(function* () {
      const { publication, another, sql, table, publicationName } = yield* fixture()
      const name = publicationName
      yield* sql(
        `CREATE TABLE items (id int, twice int GENERATED ALWAYS AS (id * 2) STORED); CREATE PUBLICATION ${name}`
      )
      const items = yield* table("items")
      const error = yield* Effect.flip(publication.ensureTable(items, { generatedColumns: true }))
      assert.strictEqual(error.reason, "generatedColumns")
      assert.include(error.message, "does not publish generated columns")
      // Nor may it be published without them: Postgres would refuse updates then.
      assert.strictEqual((yield* Effect.flip(publication.ensureTable(items))).reason, "writesRefused")
      const manual = yield* another({ manualTablePublishing: true })
      assert.isTrue((yield* manual.reconcile([items.oid])).generatedColumnsLost)
      assert.isFalse((yield* manual.reconcile([items.oid])).generatedColumnsLost, "that is told once")
      const report = yield* publication.reconcile([items.oid])
      assert.deepStrictEqual([report.generatedColumnsLost, report.repaired], [true, true])
      yield* publication.ensureTable(items, { generatedColumns: true })
    })
  )

  it.live("of somebody else, or a publication of somebody else, is a privilege that lacks", () =>
    Effect.gen(function* () {
      const fix = yield* fixture()
      const name = fix.publicationName
      const user = yield* role(fix, "owner")
      yield* fix.sql(`CREATE TABLE items (id int); CREATE PUBLICATION ${name}`)
      const items = yield* fix.table("items")
      const publication = yield* fix.another({}, user)
      const notOurs = yield* Effect.flip(publication.ensureTable(items))
      assert.deepStrictEqual(
        [notOurs.reason, notOurs.message],
        [
          "notPublished",
          `Database table "public.items" is missing from the publication "${name}" and Electric lacks privileges to add it`
        ]
      )
      yield* fix.sql(
        `GRANT CREATE ON DATABASE ${file().name} TO ${user.name}; ALTER PUBLICATION ${name} OWNER TO ${user.name}`
      )
      const notOwner = yield* Effect.flip(publication.ensureTable(items))
      assert.deepStrictEqual(
        [notOwner.kind, notOwner.reason, notOwner.message],
        ["unavailable", "permission", "Unable to create initial snapshot: must be owner of table items"]
      )
    })
  )

  it.live("of a publication that is gone is unavailable", () =>
    Effect.gen(function* () {
      const { publication, sql, table, publicationName } = yield* fixture()
      yield* sql("CREATE TABLE items (id int)")
      const items = yield* table("items")
      const error = yield* Effect.flip(publication.ensureTable(items))
      assert.deepStrictEqual(
        [error.reason, error.message],
        ["publication", `Publication "${publicationName}" not found in the database`]
      )
    })
  )
})

const isOwn = (name: string) => Number(name.slice(1)) % 4 !== 2

describe("tables that are asked for at the same time", () => {
  it.live(
    "share transactions, and one that is locked or cannot be altered keeps none of the others waiting",
    () =>
      Effect.gen(function* () {
        const { publication, sql, table, session, members } = yield* fixture({
          lockTimeoutMillis: patient(60_000)
        })
        yield* publication.ensureExists
        const plain = Array.from({ length: 90 }, (_, i) => `plain_${i}`)
        const locked = Array.from({ length: 5 }, (_, i) => `locked_${i}`)
        yield* sql(
          [...plain, ...locked, "replaced", "indexed"]
            .map((name) => `CREATE TABLE ${name} (id int NOT NULL UNIQUE);`)
            .join(" ") +
            `ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_id_key;
           CREATE UNLOGGED TABLE quick (id int);
           CREATE TABLE root (id int) PARTITION BY RANGE (id);
           CREATE TABLE free_leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
           CREATE TABLE locked_leaf PARTITION OF root FOR VALUES FROM (10) TO (20);
           CREATE TABLE alterations (command text);
           CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql
             AS $$ BEGIN INSERT INTO public.alterations VALUES (tg_tag); END $$;
           CREATE EVENT TRIGGER noted ON ddl_command_end WHEN tag IN ('ALTER PUBLICATION') EXECUTE FUNCTION note()`
        )
        const infos = new Map<string, TableInfo>()
        for (const name of [...plain, ...locked, "replaced", "indexed", "quick", "root"])
          infos.set(name, yield* table(name))
        yield* sql("DROP TABLE replaced; CREATE TABLE replaced (id int)")
        const holder = yield* session
        yield* query(
          holder,
          `BEGIN; LOCK TABLE ${[...locked, "locked_leaf"].join(", ")} IN ACCESS SHARE MODE`
        )
        const asking = new Map<string, Fiber.Fiber<string>>()
        for (const [name, info] of [...infos].toSorted(() => Math.random() - 0.5))
          asking.set(
            name,
            yield* Effect.forkScoped(
              Effect.match(publication.ensureTable(info), {
                onSuccess: ({ altered }) => `altered ${altered}`,
                onFailure: ({ reason }) => reason
              }),
              { startImmediately: true }
            )
          )
        const outcome = (name: string) => Fiber.join(asking.get(name) ?? assert.fail(`${name} was asked for`))
        for (const name of [...plain, "indexed"])
          assert.strictEqual(yield* outcome(name), "altered true", name)
        assert.strictEqual(yield* outcome("replaced"), "tableChanged")
        assert.strictEqual(yield* outcome("quick"), "unlogged")
        for (const name of [...locked, "root"]) assert.isUndefined(asking.get(name)?.pollUnsafe(), name)
        assert.sameMembers([...(yield* members)], [...plain, "indexed"])
        const alterations = yield* sql("SELECT count(*)::int AS made FROM alterations")
        // The first asks alone, and halves are tried where somebody has come in between.
        assert.isBelow(Number(alterations[0]?.["made"]), 20)
        yield* query(holder, "COMMIT")
        for (const name of [...locked, "root"]) assert.strictEqual(yield* outcome(name), "altered true", name)
        assert.sameMembers([...(yield* members)], [...plain, ...locked, "indexed", "root"])
      })
  )

  it.live("are altered by themselves where the role may not alter all of them", () =>
    Effect.gen(function* () {
      const fix = yield* fixture()
      const user = yield* role(fix, "some")
      yield* fix.sql(
        `GRANT CREATE ON DATABASE ${file().name} TO ${user.name}; CREATE PUBLICATION ${fix.publicationName};
         ALTER PUBLICATION ${fix.publicationName} OWNER TO ${user.name}`
      )
      const names = Array.from({ length: 12 }, (_, i) => `t${i}`)
      for (const name of names)
        yield* fix.sql(
          `CREATE TABLE ${name} (id int)${isOwn(name) ? `; ALTER TABLE ${name} OWNER TO ${user.name}` : ""}`
        )
      const publication = yield* fix.another({}, user)
      const outcomes = yield* Effect.forEach(
        names,
        (name) =>
          Effect.flatMap(fix.table(name), (info) =>
            Effect.match(publication.publish(info), {
              onSuccess: () => "published",
              onFailure: ({ reason }) => reason
            })
          ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        outcomes,
        names.map((name) => (isOwn(name) ? "published" : "permission"))
      )
      assert.sameMembers([...(yield* fix.members)], names.filter(isOwn))
    })
  )
})

const summary = (report: PublicationReport) =>
  report.tables.map(({ problem, repaired }) => `${problem} ${repaired}`)

describe("a server that loses changes of tables added under writers", () => {
  it.each([
    [140017, true],
    [140018, false],
    [150012, true],
    [150013, false],
    [160008, true],
    [160009, false],
    [170000, true],
    [170004, true],
    [170005, false],
    [180000, false],
    [190001, false]
  ])("%i: %s", (version, expected) => {
    assert.strictEqual(losesChangesOfAddedTables(version), expected)
  })

  it.live("is given a lock that keeps writers out", () =>
    Effect.gen(function* () {
      const { publication, sql, table, pool, publicationName, session } = yield* fixture()
      yield* publication.ensureExists
      yield* sql("CREATE TABLE root (id int) PARTITION BY RANGE (id)")
      yield* sql("CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10)")
      const root = yield* table("root")
      const writer = yield* session
      yield* query(writer, "BEGIN; INSERT INTO leaf VALUES (1)")
      const add = addToPublication({ pool, publicationName, lockTimeoutMillis: patient(200) }, root, 170004)
      assert.strictEqual((yield* Effect.flip(add)).reason, "lockTimeout")
      yield* query(writer, "COMMIT")
      yield* add
    })
  )
})

describe("reconciliation", () => {
  it.live("finds nothing when all is well, and repairs what was undone", () =>
    Effect.gen(function* () {
      const { publication, sql, table, members, publicationName } = yield* fixture()
      yield* publication.ensureExists
      yield* sql(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int)"
      )
      const oids: Array<number> = []
      for (const name of ["a", "b", "c"]) {
        const info = yield* table(name)
        oids.push(info.oid)
        yield* publication.publish(info)
      }
      const quiet = yield* publication.reconcile(oids)
      assert.deepStrictEqual(quiet, {
        isMissing: false,
        operationsLost: [],
        generatedColumnsLost: false,
        repaired: true,
        tables: [],
        removed: []
      })
      yield* sql(`ALTER PUBLICATION ${publicationName} DROP TABLE a`)
      yield* sql("ALTER TABLE b REPLICA IDENTITY DEFAULT; DROP TABLE c")
      yield* sql(`ALTER PUBLICATION ${publicationName} SET (publish = 'insert, delete')`)
      const report = yield* publication.reconcile(oids)
      assert.deepStrictEqual(report.operationsLost, ["update", "truncate"])
      assert.isTrue(report.repaired)
      assert.deepStrictEqual(summary(report).toSorted(), [
        "identityNotFull true",
        "notPublished true",
        "vanished false"
      ])
      assert.deepStrictEqual(yield* members, ["a", "b"])
      assert.deepStrictEqual((yield* publication.reconcile(oids.slice(0, 2))).tables, [])
    })
  )

  it.live("leaves a table alone that is just being published", () =>
    Effect.gen(function* () {
      const { publication, sql, table, session } = yield* fixture({ lockTimeoutMillis: patient(5000) })
      yield* publication.ensureExists
      yield* sql("CREATE TABLE items (id int)")
      const items = yield* table("items")
      const holder = yield* session
      yield* query(holder, "BEGIN; LOCK TABLE items IN ACCESS SHARE MODE")
      const publishing = yield* Effect.forkScoped(publication.ensureTable(items), { startImmediately: true })
      yield* eventually("it waits for the table", isBlocked(sql))
      assert.deepStrictEqual((yield* publication.reconcile([items.oid])).tables, [])
      yield* query(holder, "COMMIT")
      yield* Fiber.join(publishing)
      assert.deepStrictEqual((yield* publication.reconcile([items.oid])).tables, [])
    })
  )

  it.live("says that the publication is gone", () =>
    Effect.gen(function* () {
      const { publication, sql, publicationName } = yield* fixture()
      yield* publication.ensureExists
      yield* sql(`DROP PUBLICATION ${publicationName}`)
      assert.isTrue((yield* publication.reconcile([])).isMissing)
    })
  )

  it.live("reports what it could not repair, and goes on with the other tables", () =>
    Effect.gen(function* () {
      const { publication, sql, table, session, members, publicationName } = yield* fixture()
      yield* publication.ensureExists
      yield* sql("CREATE TABLE a (id int); CREATE TABLE b (id int)")
      const [a, b] = [yield* table("a"), yield* table("b")]
      yield* publication.ensureTable(a)
      yield* publication.ensureTable(b)
      yield* sql(`ALTER PUBLICATION ${publicationName} DROP TABLE a, b`)
      const holder = yield* session
      yield* query(holder, "BEGIN; LOCK TABLE a IN ACCESS EXCLUSIVE MODE")
      const report = yield* publication.reconcile([a.oid, b.oid])
      assert.deepStrictEqual(summary(report), ["notPublished false", "notPublished true"])
      assert.include(report.tables[0]?.message, "waiting for a table lock")
      assert.deepStrictEqual(yield* members, ["b"])
      yield* query(holder, "ROLLBACK")
    })
  )

  it.live("removes tables that no shape has used for the grace period, and only then", () =>
    Effect.gen(function* () {
      const { publication, sql, table, members } = yield* fixture({ removalGraceMillis: 60_000 })
      yield* publication.ensureExists
      yield* sql(
        "CREATE TABLE kept (id int); CREATE TABLE left_alone (id int); CREATE TABLE wanted_again (id int)"
      )
      const [kept, left, again] = [
        yield* table("kept"),
        yield* table("left_alone"),
        yield* table("wanted_again")
      ]
      for (const info of [kept, left, again]) yield* publication.ensureTable(info)
      const reconcileAfter = (millis: number) => at(millis, publication.reconcile([kept.oid]))
      assert.deepStrictEqual((yield* reconcileAfter(0)).removed, [])
      yield* publication.ensureTable(again)
      assert.deepStrictEqual((yield* reconcileAfter(30_000)).removed, [])
      assert.deepStrictEqual((yield* reconcileAfter(60_000)).removed, [left.oid])
      assert.deepStrictEqual(yield* members, ["kept", "wanted_again"])
      assert.deepStrictEqual(yield* publication.ensureTable(left), { altered: true })
    })
  )

  it.live("never removes a table in manual mode", () =>
    Effect.gen(function* () {
      const { publication, sql, members, publicationName } = yield* fixture({
        removalGraceMillis: 0,
        manualTablePublishing: true
      })
      yield* sql(`CREATE TABLE items (id int); CREATE PUBLICATION ${publicationName} FOR TABLE items`)
      yield* publication.reconcile([])
      assert.deepStrictEqual((yield* publication.reconcile([])).removed, [])
      assert.deepStrictEqual(yield* members, ["items!"])
    })
  )

  it.live(
    "looks at no table again as long as the catalogue is what it was, and at all of them when it is not",
    () =>
      Effect.gen(function* () {
        const { another, sent, sql, table } = yield* fixture()
        const publication = yield* another({ publicationRefreshMillis: 20 })
        yield* publication.ensureExists
        yield* sql("CREATE TABLE items (id int); CREATE TABLE passing (id int)")
        const items = yield* table("items")
        yield* publication.publish(items)
        const oids = [items.oid]
        const reports: Array<PublicationReport> = []
        const times = (what: string) => sent.filter((text) => text.includes(what)).length
        const begun = times("'isMember'")
        yield* Effect.forkScoped(
          publication.run({
            tablesInUse: () => oids,
            onReport: (report) => Effect.sync(() => void reports.push(report))
          })
        )
        const periods = (count: number) => {
          const before = times("AS digest")
          return eventually(
            "periods go by",
            Effect.sync(() => times("AS digest") >= before + count)
          )
        }
        yield* periods(4)
        assert.strictEqual(times("'isMember'") - begun, 1)
        // Rows are none of its business.
        yield* sql("INSERT INTO items VALUES (1); CREATE TEMPORARY TABLE aside (id int)")
        yield* periods(4)
        assert.strictEqual(times("'isMember'") - begun, 1)
        yield* sql("ALTER TABLE items REPLICA IDENTITY DEFAULT")
        yield* eventually(
          "it is noticed",
          Effect.sync(() => reports.length === 1)
        )
        assert.deepStrictEqual(reports.flatMap(summary), ["identityNotFull true"])
        // What has been mended is looked at once more.
        yield* periods(4)
        assert.isAtMost(times("'isMember'") - begun, 3)
        yield* sql("DROP TABLE items")
        yield* eventually(
          "it is noticed",
          Effect.sync(() => reports.length > 1)
        )
        assert.deepStrictEqual(reports.slice(1, 2).flatMap(summary), ["vanished false"])
      })
  )

  it.live("runs in a real period, however busy the tables are", () =>
    Effect.gen(function* () {
      const { another, sql, table, publicationName } = yield* fixture()
      const publication = yield* another({ publicationRefreshMillis: 50 })
      yield* publication.ensureExists
      yield* sql("CREATE TABLE items (id int); CREATE TABLE busy (id int)")
      const [items, busy] = [yield* table("items"), yield* table("busy")]
      yield* publication.publish(items)
      const reports: Array<PublicationReport> = []
      yield* Effect.forkScoped(
        publication.run({
          tablesInUse: () => [items.oid, busy.oid],
          onReport: (report) => Effect.sync(() => void reports.push(report))
        })
      )
      yield* Effect.forkScoped(Effect.forever(publication.ensureTable(busy)))
      for (let round = 1; round <= 3; round++) {
        yield* sql(`ALTER PUBLICATION ${publicationName} DROP TABLE items`)
        yield* eventually(
          "it is noticed",
          Effect.sync(() => reports.length >= round)
        )
      }
      assert.isTrue(reports.every((report) => report.tables[0]?.repaired))
    })
  )
})
