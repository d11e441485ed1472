import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { compileWhere, loadParser } from "../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { compareClause, oracleOver, type Oracle } from "./support/oracle.ts"
import { shopTable } from "./support/shop.ts"

/** Clauses as application developers write them. */
const everyday = [
  "tenant_id = 1",
  "tenant_id = 1 AND status = 'open'",
  "status IN ('open', 'shipped')",
  "status <> 'cancelled'",
  "status > 'draft'",
  "status::text LIKE 'o%'",
  "done",
  "NOT done",
  "done IS NOT TRUE",
  "quantity IS NULL",
  "quantity IS NOT NULL AND quantity > 0",
  "price > 10",
  "price = 10",
  "price BETWEEN 0.3 AND 20",
  "price * quantity > 25",
  "rating >= 2.5",
  "discount = 0.5",
  "id % 2 = 1",
  "big = 9007199254740993",
  "big > 3000000000",
  "title = 'Hello World'",
  "title ILIKE '%hello%'",
  "title LIKE 'a\\%c'",
  "lower(title) = 'hello'",
  "title ~* '^hello'",
  "length(title) > 3",
  "title || '-' || id = 'hello-2'",
  "coalesce(title, '') = ''",
  "trim(country) = 'DE'",
  "country = 'DE'",
  "code LIKE 'AB-%'",
  "left(code, 2) = 'AB'",
  "split_part(code, '-', 2) = '1'",
  "starts_with(title, 'He')",
  "user_id = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
  "user_id IS DISTINCT FROM 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
  "created_at >= '2020-01-01T00:00:00.000Z'",
  "created_at = '2020-01-01T00:00:00.000Z'",
  "created_at < '2024-04-01' AND created_at >= '2024-03-01'",
  "created_at + interval '1 month' > '2024-04-30'",
  "created_at::date = '2020-01-01'",
  "date_trunc('month', created_at) = '2024-03-01'",
  "extract(year from created_at) = 2024",
  "created_at AT TIME ZONE 'Europe/Berlin' >= '2024-03-31 03:00'",
  "due <> '2020-01-01'",
  "due - 7 < '2024-02-25'",
  "due > '2024-01-01' OR due IS NULL",
  "span >= interval '1 day'",
  "'red' = ANY(tags)",
  "tags @> '{red}'",
  "tags && ARRAY['blue', 'green']",
  "NOT ('red' = ANY(tags))",
  "cardinality(tags) = 0",
  "array_length(tags, 1) = 2",
  "numbers @> '{1}'",
  "numbers[1] = 1",
  "1 = ANY(amounts)",
  "meta ->> 'plan' = 'pro'",
  'meta @> \'{"plan": "pro"}\'',
  "meta ? 'seats'",
  "(meta ->> 'seats')::int > 4",
  "meta -> 'flags' ->> 'beta' = 'true'",
  "meta #>> '{flags,beta}' = 'true'",
  "jsonb_typeof(meta) = 'object'",
  "meta IS NOT NULL",
  "raw ->> 'a' = '1'",
  "(tenant_id, id) = (1, 2)",
  "(tenant_id, id) > (1, 2)",
  "(tenant_id, id) IN ((1, 1), (2, 3))",
  "CASE WHEN done THEN price > 5 ELSE quantity = 0 END",
  "nullif(title, '') IS NULL",
  "ip << '10.0.0.0/8'",
  "period @> '2020-01-15'::date",
  "mail = 'a@b.c'",
  "(address).city = 'Berlin'",
  "blob = '\\x00ff'",
  "abs(quantity) = 7",
  "round(price) = 20",
  "tenant_id = 1 AND (status = 'open' OR quantity > 100) AND title ILIKE '%o%'",
  "id IN (1, 2, 3) AND NOT (status = 'draft')",
  "position('o' in title) > 0",
  "substring(title from 1 for 2) = 'He'",
  "greatest(quantity, 2) = 3",
  "true"
]

describe("the clauses that applications use", () => {
  let database: TestDatabase
  let oracle: Oracle

  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    oracle = await oracleOver(database, "orders", shopTable)
  })
  afterAll(() => database.drop())

  it.for(everyday)("%s", async (clause) => {
    const comparison = await compareClause(oracle, clause)
    assert.strictEqual(comparison.difference, "")
    assert.strictEqual(comparison.refused, undefined)
    assert.strictEqual(comparison.undecided, 0, "must be decided here")
  })

  it("accept parameters wherever a literal may stand", () => {
    const cases: ReadonlyArray<readonly [string, Record<string, string>, string]> = [
      ["tenant_id = $1", { "1": "1" }, "tenant_id = 1"],
      ["tenant_id = $1 AND big = $1", { "1": "5" }, "(tenant_id = 5) AND (big = 5)"],
      ["tenant_id = ANY($1)", { "1": "{1,2}" }, "tenant_id = ANY ('{1,2}'::integer[])"],
      [
        "title = $2 AND tenant_id = $1",
        { "1": "7", "2": "it's" },
        "(title = 'it''s'::text) AND (tenant_id = 7)"
      ],
      ["title ILIKE $1", { "1": "%x%" }, "title ~~* '%x%'::text"],
      [
        "created_at > $1",
        { "1": "2024-01-01T00:00:00Z" },
        "created_at > '2024-01-01 00:00:00+00'::timestamp with time zone"
      ]
    ]
    for (const [sql, params, expected] of cases) {
      const result = compileWhere({ sql, params, table: oracle.table.info, catalogue: oracle.catalogue })
      assert.isTrue(Result.isSuccess(result), sql)
      if (Result.isSuccess(result)) assert.strictEqual(result.success.sql, expected)
    }
  })

  it("have one normal form however they are written", () => {
    const same = [
      ["tenant_id=1", "tenant_id = 1", "( tenant_id )=(1) -- all", "orders_id IS NULL"].slice(0, 3),
      ["status != 'open'", "status <> 'open'"],
      ["tenant_id IN (1,2)", "tenant_id  in ( 1 , 2 )"],
      ["created_at > '2024-01-01 00:00:00+00'", "created_at > '2024-01-01T01:00:00+01:00'"]
    ]
    for (const group of same) {
      const forms = group.map((sql) => {
        const result = compileWhere({
          sql,
          params: {},
          table: oracle.table.info,
          catalogue: oracle.catalogue
        })
        return Result.isSuccess(result) ? result.success.sql : result.failure.message
      })
      assert.strictEqual(new Set(forms).size, 1, forms.join(" | "))
    }
  })
})
