import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { Effect, Layer, Ref } from "effect"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { Inspector } from "../../src/postgres/catalogue/Inspector.ts"
import { ownPgError } from "../../src/postgres/errors/PgError.ts"
import { AdminPool, makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import { runSchemaReconciler } from "../../src/postgres/catalogue/SchemaReconciler.ts"
import type { SessionPool } from "../../src/postgres/connection/SessionPool.ts"
import type { TableChange } from "../../src/postgres/catalogue/TableChange.ts"
import { createDatabase, databaseForFile } from "../../testing/postgres/Database.ts"
import { plainConfig, targetOf } from "./connection.ts"
import { eventually } from "./eventually.ts"

/** There are none before version 18. */
const virtual = inject("pg").majorVersion < 18 ? "STORED" : "VIRTUAL"

const database = databaseForFile(async (db) => {
  await db.query(`
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN age AS int CHECK (VALUE >= 0);
    CREATE DOMAIN young_age AS age;
    CREATE TYPE pair AS (a int, b text);
    CREATE SCHEMA "App x";
    CREATE TABLE items (id bigserial PRIMARY KEY, name varchar(10) NOT NULL, dropped int, price numeric(10, 2));
    ALTER TABLE items DROP COLUMN dropped;
    CREATE TABLE "App x"."We""ird" (z int, "A b" text, y int, PRIMARY KEY (y, z) INCLUDE ("A b"));
    CREATE TABLE kinds (
      m mood, ms mood[], a age, y young_age, ys young_age[], p pair, r int4range, rs int4multirange, j jsonb,
      v int2vector, grid int[][], c text COLLATE "C", s text GENERATED ALWAYS AS ('x' || c) STORED,
      w int GENERATED ALWAYS AS (1 + 1) ${virtual}
    );
    CREATE TABLE derived AS SELECT ARRAY[1, 2] AS numbers;
    CREATE VIEW a_view AS SELECT 1 AS one;
    CREATE MATERIALIZED VIEW a_matview AS SELECT 1 AS one;
    CREATE TABLE empty_table ();
    CREATE TABLE logs (id int, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE logs_2024 PARTITION OF logs FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY RANGE (day);
    CREATE TABLE logs_2024_a PARTITION OF logs_2024 FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
    CREATE TABLE logs_2025 (id int, day date NOT NULL, PRIMARY KEY (id, day));
    INSERT INTO logs_2025 VALUES (1, '2025-02-02');
    ALTER TABLE logs ATTACH PARTITION logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child () INHERITS (parent);
  `)
})

const sql = (text: string) => Effect.promise(() => database().query(text))
const oidOf = (name: string) =>
  Effect.map(
    Effect.promise(() => database().query<{ oid: number }>("SELECT $1::regclass::oid AS oid", [name])),
    ([row]) => row?.oid ?? 0
  )

/** The pool of the file's database, with a count of its statements and a switch that cuts it off. */
interface Wire {
  readonly statements: Ref.Ref<number>
  readonly isDown: Ref.Ref<boolean>
}

const withInspector = <A, E>(
  work: (inspector: Inspector["Service"], wire: Wire) => Effect.Effect<A, E, Inspector>
): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    const wire: Wire = { statements: yield* Ref.make(0), isDown: yield* Ref.make(false) }
    const pool = yield* makeAdminPool(targetOf(database()), plainConfig, 20)
    const counted: SessionPool = {
      ...pool,
      query: (text, params) =>
        Effect.gen(function* () {
          yield* Ref.update(wire.statements, (n) => n + 1)
          if (yield* Ref.get(wire.isDown)) return yield* ownPgError("connection_refused", "down")
          return yield* pool.query(text, params)
        }) as ReturnType<typeof pool.query<never>>
    }
    return yield* Effect.gen(function* () {
      return yield* work(yield* Inspector, wire)
    }).pipe(Effect.provide(Inspector.layer.pipe(Layer.provide(Layer.succeed(AdminPool, counted)))))
  }).pipe(Effect.scoped)

describe("a table in the catalogue", () => {
  it.live("is described with its columns, without dropped ones, and its key", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        const items = yield* inspector.table("public", "items")
        assert.deepStrictEqual(items?.primaryKey, ["id"])
        assert.deepStrictEqual(
          items?.columns.map((column) => [
            column.name,
            column.attnum,
            column.typeName,
            column.typeModifier,
            column.notNull,
            column.generated
          ]),
          [
            ["id", 1, "int8", -1, true, "no"],
            ["name", 2, "varchar", 14, true, "no"],
            ["price", 4, "numeric", 655366, false, "no"]
          ]
        )
        assert.deepStrictEqual(
          [items?.oid, items?.schema, items?.name, items?.kind, items?.ancestorOids, items?.leafOids],
          [yield* oidOf("items"), "public", "items", "table", [], []]
        )
        assert.deepStrictEqual(yield* inspector.tableByOid(items?.oid ?? 0), items)
        assert.isAtLeast(inspector.serverVersionNum(), inject("pg").majorVersion * 10_000)
      })
    )
  )

  it.live("may have any name, and a key in another order than its columns, without included ones", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        const weird = yield* inspector.table("App x", 'We"ird')
        assert.deepStrictEqual(weird?.primaryKey, ["y", "z"])
        assert.deepStrictEqual(
          weird?.columns.map((column) => column.name),
          ["z", "A b", "y"]
        )
      })
    )
  )

  it.live("tells enums, domains, composites, arrays, ranges, collations and generated columns", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        const kinds = yield* inspector.table("public", "kinds")
        const facts = Object.fromEntries(
          kinds?.columns.map((column) => [
            column.name,
            [
              column.typeName,
              column.typeKind,
              column.dimensions,
              column.element?.typeName,
              column.baseTypeOid,
              column.outputFunction,
              column.generated
            ]
          ]) ?? []
        )
        assert.deepStrictEqual(facts, {
          m: ["mood", "e", 0, undefined, undefined, "pg_catalog.enum_out", "no"],
          ms: ["_mood", "b", 1, "mood", undefined, "pg_catalog.array_out", "no"],
          a: ["age", "d", 0, undefined, 23, "pg_catalog.int4out", "no"],
          y: ["young_age", "d", 0, undefined, 23, "pg_catalog.int4out", "no"],
          ys: ["_young_age", "b", 1, "young_age", undefined, "pg_catalog.array_out", "no"],
          p: ["pair", "c", 0, undefined, undefined, "pg_catalog.record_out", "no"],
          r: ["int4range", "r", 0, undefined, undefined, "pg_catalog.range_out", "no"],
          rs: ["int4multirange", "m", 0, undefined, undefined, "pg_catalog.multirange_out", "no"],
          j: ["jsonb", "b", 0, undefined, undefined, "pg_catalog.jsonb_out", "no"],
          v: ["int2vector", "b", 0, undefined, undefined, "pg_catalog.int2vectorout", "no"],
          grid: ["_int4", "b", 2, "int4", undefined, "pg_catalog.array_out", "no"],
          c: ["text", "b", 0, undefined, undefined, "pg_catalog.textout", "no"],
          s: ["text", "b", 0, undefined, undefined, "pg_catalog.textout", "stored"],
          w: ["int4", "b", 0, undefined, undefined, "pg_catalog.int4out", virtual.toLowerCase()]
        })
        const collations = Object.fromEntries(
          kinds?.columns.map((column) => [column.name, column.collationOid]) ?? []
        )
        assert.strictEqual(collations["c"], 950)
        assert.strictEqual(collations["a"], 0)
        const schemas = new Set(kinds?.columns.map((column) => column.typeSchema))
        assert.deepStrictEqual([...schemas].toSorted(), ["pg_catalog", "public"])
      })
    )
  )

  it.live("knows its place in a tree of partitions, and which of them were attached", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        const [root, middle, leaf, attached] = yield* Effect.all(
          ["logs", "logs_2024", "logs_2024_a", "logs_2025"].map((name) => inspector.table("public", name))
        )
        if (root === undefined || middle === undefined || leaf === undefined || attached === undefined) {
          return assert.fail("all exist")
        }
        assert.deepStrictEqual(root.leafOids, [leaf.oid, attached.oid].toSorted())
        assert.deepStrictEqual(
          root.partitions?.toSorted((a, b) => a.oid - b.oid),
          [
            { oid: middle.oid, parentOid: root.oid, attached: false },
            { oid: leaf.oid, parentOid: middle.oid, attached: false },
            { oid: attached.oid, parentOid: root.oid, attached: true }
          ].toSorted((a, b) => a.oid - b.oid)
        )
        assert.deepStrictEqual([root.kind, middle.kind, leaf.kind], ["partitioned", "partitioned", "table"])
        assert.deepStrictEqual(middle.leafOids, [leaf.oid])
        assert.deepStrictEqual(leaf.ancestorOids, [middle.oid, root.oid])
        const inheriting = yield* inspector.table("public", "child")
        assert.deepStrictEqual(inheriting?.ancestorOids, [], "plain inheritance is no partitioning")
      })
    )
  )

  it.live.each<readonly [string, string]>([
    ["public", "nowhere"],
    ["public", "ITEMS"],
    ["nowhere", "items"],
    ["public", "a_view"],
    ["public", "a_matview"],
    ["public", "empty_table"],
    ["public", "items_pkey"],
    ["public", "items_id_seq"],
    ["pg_catalog", "pg_class"],
    ["information_schema", "sql_features"],
    ["public", "a\0b"],
    ["public", ""],
    ["public", "items' OR '1'='1"]
  ])("does not exist for %j.%j", ([schema, name]) =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        assert.isUndefined(yield* inspector.table(schema, name))
      })
    )
  )

  it.live("of one session only does not exist", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        yield* sql("CREATE TEMP TABLE passing (id int)")
        const [temporary] = yield* Effect.promise(() =>
          database().query<{ schema: string }>(
            "SELECT nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'passing'"
          )
        )
        assert.isUndefined(yield* inspector.table(temporary?.schema ?? "none", "passing"))
      })
    )
  )
})

describe("the inspector's memory", () => {
  it.live("answers without asking again, until the table is called into question", () =>
    withInspector((inspector, wire) =>
      Effect.gen(function* () {
        yield* sql("CREATE TABLE changing (id int PRIMARY KEY)")
        const before = yield* inspector.table("public", "changing")
        yield* sql("ALTER TABLE changing ADD COLUMN added int")
        assert.strictEqual(yield* inspector.table("public", "changing"), before)
        assert.strictEqual(yield* inspector.tableByOid(before?.oid ?? 0), before)
        assert.strictEqual(yield* Ref.get(wire.statements), 1)
        inspector.invalidate(before?.oid ?? 0)
        assert.isFalse(inspector.isFresh(before?.oid ?? 0))
        assert.strictEqual(inspector.remembered("public", "changing"), before)
        assert.deepStrictEqual(
          (yield* inspector.table("public", "changing"))?.columns.map((column) => column.name),
          ["id", "added"]
        )
        assert.isTrue(inspector.isFresh(before?.oid ?? 0))
      })
    )
  )

  it.live("makes one statement of many requests for one table", () =>
    withInspector((inspector, wire) =>
      Effect.gen(function* () {
        const all = yield* Effect.all(
          Array.from({ length: 100 }, () => inspector.table("public", "items")),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(new Set(all).size, 1)
        assert.strictEqual(yield* Ref.get(wire.statements), 1)
      })
    )
  )

  it.live("goes on with a look that others wait for when its first requester leaves", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        const leaving = yield* Effect.forkScoped(inspector.table("public", "items"), {
          startImmediately: true
        })
        const staying = yield* Effect.forkScoped(inspector.table("public", "items"), {
          startImmediately: true
        })
        leaving.interruptUnsafe()
        yield* eventually(
          "the other is answered",
          Effect.sync(() => staying.pollUnsafe()?._tag === "Success")
        )
      }).pipe(Effect.scoped)
    )
  )

  it.live("remembers no absence: a table exists for it from the moment it is created", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        assert.isUndefined(yield* inspector.table("public", "late"))
        yield* sql("CREATE TABLE late (id int)")
        assert.isDefined(yield* inspector.table("public", "late"))
      })
    )
  )

  it.live("serves what it knows while the database is down, in question or not, and fails for the rest", () =>
    withInspector((inspector, wire) =>
      Effect.gen(function* () {
        const items = yield* inspector.table("public", "items")
        yield* Ref.set(wire.isDown, true)
        assert.strictEqual(yield* inspector.table("public", "items"), items)
        inspector.invalidate(items?.oid ?? 0)
        assert.strictEqual(yield* inspector.table("public", "items"), items)
        assert.strictEqual(yield* inspector.tableByOid(items?.oid ?? 0), items)
        assert.isFalse(inspector.isFresh(items?.oid ?? 0))
        const error = yield* Effect.flip(inspector.table("public", "kinds"))
        assert.strictEqual(error.kind, "connection_refused")
        assert.strictEqual((yield* Effect.flip(inspector.refresh)).kind, "connection_refused")
        yield* Ref.set(wire.isDown, false)
        assert.isDefined(yield* inspector.table("public", "kinds"))
      })
    )
  )

  it.live("can be taken over from an earlier run, as JSON, and is then in question", () =>
    Effect.gen(function* () {
      const stored = yield* withInspector((inspector) =>
        Effect.gen(function* () {
          yield* inspector.table("public", "items")
          yield* inspector.table("public", "kinds")
          return JSON.stringify(inspector.all())
        })
      )
      yield* withInspector((inspector, wire) =>
        Effect.gen(function* () {
          inspector.restore(JSON.parse(stored))
          yield* Ref.set(wire.isDown, true)
          const items = yield* inspector.table("public", "items")
          assert.strictEqual(items?.columns.length, 3)
          yield* Ref.set(wire.isDown, false)
          const changes = yield* inspector.refresh
          assert.deepStrictEqual(
            changes,
            [],
            "nothing has changed meanwhile, and JSON has lost nothing that counts"
          )
          assert.isTrue(inspector.isFresh(items?.oid ?? 0))
        })
      )
    })
  )
})

const collect = (inspector: Inspector["Service"]) =>
  Effect.gen(function* () {
    const changes: Array<TableChange> = []
    yield* inspector.onChange((change) => changes.push(change))
    return changes
  })

describe("a change in the catalogue", () => {
  it.live("is found when the tables are read again, all with one question", () =>
    withInspector((inspector, { statements }) =>
      Effect.gen(function* () {
        yield* sql("CREATE TABLE again (id int PRIMARY KEY); CREATE TABLE never_seen (id int PRIMARY KEY)")
        yield* inspector.table("public", "again")
        const oids = [yield* oidOf("again"), yield* oidOf("never_seen"), 1]
        const changes = yield* collect(inspector)
        yield* sql("ALTER TABLE again ADD COLUMN added int")
        const before = yield* Ref.get(statements)
        yield* inspector.readAgain(oids)
        assert.strictEqual((yield* Ref.get(statements)) - before, 1)
        assert.deepStrictEqual(
          changes.map((change) => change._tag === "Changed" && change.difference.columnsAdded),
          [["added"]]
        )
        assert.deepStrictEqual(oids.map(inspector.isFresh), [true, true, false])
        yield* inspector.readAgain([])
      }).pipe(Effect.scoped)
    )
  )

  it.live("is told once, whichever look finds it", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        const changes = yield* collect(inspector)
        yield* sql("CREATE TABLE watched (id int PRIMARY KEY)")
        const watched = yield* inspector.table("public", "watched")
        yield* sql("ALTER TABLE watched ADD COLUMN added int")
        inspector.invalidate(watched?.oid ?? 0)
        yield* inspector.table("public", "watched")
        assert.deepStrictEqual(
          changes.map((change) => change._tag === "Changed" && change.difference.columnsAdded),
          [["added"]]
        )
        assert.deepStrictEqual(yield* inspector.refresh, [])
        assert.strictEqual(changes.length, 1)
      }).pipe(Effect.scoped)
    )
  )

  it.live("such as a rename, a drop, a drop with a new table of that name, is found by a refresh", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        yield* sql("CREATE TABLE r1 (id int); CREATE TABLE r2 (id int); CREATE TABLE r3 (id int)")
        const [r1, r2, r3] = yield* Effect.all(
          ["r1", "r2", "r3"].map((name) => inspector.table("public", name))
        )
        yield* sql("ALTER TABLE r1 RENAME TO r1_new; DROP TABLE r2, r3; CREATE TABLE r3 (id int)")
        const changes = yield* inspector.refresh
        assert.deepStrictEqual(
          changes
            .map((change) => [
              change.before.oid,
              change._tag,
              change._tag === "Changed" && change.difference.renamed
            ])
            .toSorted(),
          [
            [r1?.oid, "Changed", true],
            [r2?.oid, "Vanished", false],
            [r3?.oid, "Vanished", false]
          ].toSorted()
        )
        assert.isUndefined(inspector.remembered("public", "r1"))
        assert.strictEqual(inspector.remembered("public", "r1_new")?.oid, r1?.oid)
        assert.isUndefined(yield* inspector.table("public", "r1"))
        assert.isUndefined(yield* inspector.tableByOid(r2?.oid ?? 0))
        assert.notStrictEqual((yield* inspector.table("public", "r3"))?.oid, r3?.oid)
      })
    )
  )

  it.live("that gave the name to another table is found by looking for the name", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        const changes = yield* collect(inspector)
        yield* sql("CREATE TABLE swapped (id int)")
        const old = yield* inspector.table("public", "swapped")
        yield* sql("DROP TABLE swapped; CREATE TABLE swapped (id int)")
        inspector.invalidate(old?.oid ?? 0)
        const now = yield* inspector.table("public", "swapped")
        assert.notStrictEqual(now?.oid, old?.oid)
        assert.deepStrictEqual(
          changes.map((change) => [change._tag, change.before.oid]),
          [["Vanished", old?.oid]]
        )
      }).pipe(Effect.scoped)
    )
  )

  it.live("of the partitions tells created ones, attached ones and lost ones apart", () =>
    withInspector((inspector) =>
      Effect.gen(function* () {
        yield* sql(`
          CREATE TABLE p (id int, t text NOT NULL DEFAULT 'x' CHECK (t <> 'z'), PRIMARY KEY (id)) PARTITION BY RANGE (id);
          CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        `)
        yield* inspector.table("public", "p")
        yield* sql("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)")
        yield* sql("ALTER TABLE p ADD COLUMN later int NOT NULL DEFAULT 1")
        yield* sql("CREATE TABLE p3 (LIKE p INCLUDING ALL)")
        yield* sql("ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30)")
        yield* sql(`
          CREATE TABLE p4 (LIKE p INCLUDING ALL);
          INSERT INTO p4 VALUES (31);
          ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM (30) TO (40);
        `)
        yield* sql(`
          CREATE TABLE p5 (LIKE p INCLUDING ALL) PARTITION BY RANGE (id);
          CREATE TABLE p5a PARTITION OF p5 FOR VALUES FROM (40) TO (45);
          ALTER TABLE p ATTACH PARTITION p5 FOR VALUES FROM (40) TO (50);
        `)
        yield* sql("CREATE TABLE p5b PARTITION OF p5 FOR VALUES FROM (45) TO (50)")
        yield* sql("ALTER TABLE p DETACH PARTITION p1")
        const [change] = yield* inspector.refresh
        assert.deepInclude(change?._tag === "Changed" ? change.difference : {}, {
          leavesCreated: [yield* oidOf("p2")],
          // p5b came with a tree that was attached: told with the others, to be on the safe side.
          leavesAttached: yield* Effect.all(["p3", "p4", "p5a", "p5b"].map(oidOf)),
          leavesRemoved: [yield* oidOf("p1")]
        })
        yield* sql("ALTER TABLE p5 DETACH PARTITION p5b")
        yield* sql("CREATE TABLE p5c PARTITION OF p5 FOR VALUES FROM (45) TO (50)")
        const [second] = yield* inspector.refresh
        assert.deepInclude(second?._tag === "Changed" ? second.difference : {}, {
          leavesCreated: [yield* oidOf("p5c")],
          leavesAttached: [],
          leavesRemoved: [yield* oidOf("p5b")]
        })
      })
    )
  )

  it.live("is found by the reconciler, in a real period, also after an outage", () =>
    withInspector((inspector, wire) =>
      Effect.gen(function* () {
        const changes = yield* collect(inspector)
        yield* sql("CREATE TABLE reconciled (id int)")
        yield* inspector.table("public", "reconciled")
        yield* Ref.set(wire.isDown, true)
        const before = yield* Ref.get(wire.statements)
        yield* Effect.forkScoped(runSchemaReconciler(20))
        yield* eventually(
          "it keeps trying",
          Effect.map(Ref.get(wire.statements), (n) => n > before + 2)
        )
        yield* Ref.set(wire.isDown, false)
        yield* sql("ALTER TABLE reconciled ADD COLUMN more text")
        yield* eventually(
          "it is found",
          Effect.sync(() => changes.length === 1)
        )
      }).pipe(Effect.scoped)
    )
  )
})

describe("Postgres 14", () => {
  it.live("has a catalogue that is read just as well", () =>
    Effect.gen(function* () {
      const cluster = yield* Effect.acquireRelease(
        Effect.promise(() => startCluster({ version: 14, settings: { fsync: "off" } })),
        (started) => Effect.promise(() => started.destroy())
      )
      const old = yield* Effect.promise(() => createDatabase(cluster))
      yield* Effect.promise(() =>
        old.query(
          "CREATE TABLE t (id int PRIMARY KEY, tags text[], twice int GENERATED ALWAYS AS (id * 2) STORED)"
        )
      )
      const pool = yield* makeAdminPool(targetOf(old), plainConfig, 4)
      const [table, version] = yield* Effect.gen(function* () {
        const inspector = yield* Inspector
        return [yield* inspector.table("public", "t"), inspector.serverVersionNum()] as const
      }).pipe(Effect.provide(Inspector.layer.pipe(Layer.provide(Layer.succeed(AdminPool, pool)))))
      assert.deepStrictEqual(
        table?.columns.map((column) => [column.name, column.typeName, column.generated]),
        [
          ["id", "int4", "no"],
          ["tags", "_text", "no"],
          ["twice", "int4", "stored"]
        ]
      )
      assert.strictEqual(Math.floor(version / 10000), 14)
      yield* Effect.promise(() => old.drop())
    })
  )
})
