import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { whyAbsent } from "../../src/postgres/catalogue/AbsentTable.ts"
import { describeByName } from "../../src/postgres/catalogue/DescribeTables.ts"
import { makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { plainConfig, targetOf } from "./connection.ts"

const database = databaseForFile((db) =>
  db.query(`
    CREATE TABLE items (id int PRIMARY KEY);
    CREATE VIEW a_view AS SELECT 1 AS one;
    CREATE MATERIALIZED VIEW a_matview AS SELECT 1 AS one;
    CREATE SEQUENCE a_sequence;
    CREATE TYPE a_composite AS (a int);
    CREATE TABLE no_columns ();
    CREATE UNLOGGED TABLE quick (id int);
    CREATE TEMPORARY TABLE passing (id int);
    CREATE FOREIGN DATA WRAPPER nothing;
    CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
    CREATE FOREIGN TABLE far (id int) SERVER nowhere
  `)
)

describe("what is no table to make shapes of", () => {
  it.live("is called what it is", () =>
    Effect.gen(function* () {
      const pool = yield* makeAdminPool(targetOf(database()), plainConfig, 4)
      const [row] = yield* Effect.promise(() =>
        database().query<{ schema: string }>(
          "SELECT relnamespace::regnamespace::text AS schema FROM pg_class WHERE relname = 'passing'"
        )
      )
      for (const [schema, name, what] of [
        [
          "public",
          "a_view",
          /^Table "public"\."a_view" is a view: only ordinary and partitioned tables have shapes/
        ],
        ["public", "a_matview", /is a materialized view/],
        ["public", "a_sequence", /is a sequence/],
        ["public", "a_composite", /is a composite type/],
        ["public", "items_pkey", /is an index/],
        ["public", "far", /is a foreign table/],
        ["public", "no_columns", /has no columns/],
        [row?.schema ?? "", "passing", /(is a temporary table|belongs to the system)/],
        ["pg_catalog", "pg_class", /^Table "pg_catalog"\."pg_class" belongs to the system/],
        ["information_schema", "tables", /belongs to the system/]
      ] as const) {
        assert.isEmpty((yield* describeByName(pool, { schema, name })).tables, name)
        assert.match((yield* whyAbsent(pool, { schema, name })) ?? "", what)
      }
      assert.isUndefined(yield* whyAbsent(pool, { schema: "public", name: "nobody" }))
      assert.isUndefined(yield* whyAbsent(pool, { schema: "public", name: "a\0b" }))
      // It is described, and refused when it is to be published.
      assert.lengthOf((yield* describeByName(pool, { schema: "public", name: "quick" })).tables, 1)
    })
  )

  for (const encoding of ["LATIN1", "EUC_JP", "SQL_ASCII"]) {
    it.live(`in a database of the encoding ${encoding}`, () =>
      Effect.gen(function* () {
        const name = `${database().name}_${encoding.toLowerCase()}`
        yield* Effect.acquireRelease(
          Effect.promise(() =>
            database().query(`CREATE DATABASE ${name} ENCODING '${encoding}' TEMPLATE template0 LOCALE 'C'`)
          ),
          () => Effect.promise(() => database().query(`DROP DATABASE ${name} WITH (FORCE)`))
        )
        const pool = yield* makeAdminPool(targetOf({ ...database(), name }), plainConfig, 4)
        for (const table of ["日本", "é€", "😀"]) {
          const found = yield* describeByName(pool, { schema: "public", name: table })
          assert.isEmpty(found.tables)
          assert.isUndefined(yield* whyAbsent(pool, { schema: "public", name: table }))
        }
        if (encoding !== "SQL_ASCII") return
        yield* pool.transaction((tx) =>
          Effect.andThen(
            tx.query("SET LOCAL client_encoding = 'SQL_ASCII'"),
            tx.query(`DO $$ BEGIN EXECUTE format('CREATE TABLE odd (id int, %I int)', E'caf\\xe9'); END $$`)
          )
        )
        assert.isEmpty((yield* describeByName(pool, { schema: "public", name: "odd" })).tables)
        assert.match(
          (yield* whyAbsent(pool, { schema: "public", name: "odd" })) ?? "",
          /"odd" has columns whose names are not valid UTF-8/
        )
      })
    )
  }
})
