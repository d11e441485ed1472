import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { columnText } from "../../src/postgres/Tuple.ts"
import {
  askPostgres,
  clearMatchList,
  compileWhere,
  FilterIndex,
  loadParser,
  makeMatchList,
  makeRunnable
} from "../../src/where/index.ts"
import { workedMillis } from "../../testing/Load.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { oracleOver, type Oracle } from "./support/oracle.ts"
import { shopTable } from "./support/shop.ts"

/**
 * Mistakes that filters of this kind have been seen to make, each with clauses that show it. All clauses of a
 * group are registered together; every one must find exactly the rows that Postgres selects.
 */
const groups: Readonly<Record<string, ReadonlyArray<string>>> = {
  "a constant that fails stands behind one that decides, which only Postgres folds": [
    "('{a}'::text[])::varchar(3)[] = '{b}' AND ('x'::text)::int = quantity",
    "CASE WHEN ('{a}'::text[])::varchar(3)[] = '{a}' THEN quantity = 3 ELSE ('x'::text)::int = 1 END",
    "COALESCE(NULLIF(('{a}'::text[])::varchar(3)[], '{b}'), (ARRAY['x']::text[])::int[]::text[]::varchar(3)[]) = '{a}'"
  ],
  "a list of constants that is cast as a whole is no constant": [
    "title::int > 0 OR 'a'::varchar IN ('a', 'b', NULL::varchar)",
    "(title::int > 0 AND 'a'::varchar NOT IN ('a', 'b', NULL::varchar)) IS NOT TRUE",
    "title::int > 0 OR 'b' = ANY (ARRAY['a', 'b']::varchar[]::text[])"
  ],
  "an integer literal misses float and numeric columns": [
    "price = 10",
    "rating = 0",
    "discount = 1",
    "price IN (1, 10)",
    "1 = ANY(amounts)",
    "5 = ANY(amounts)",
    "quantity = 3.0",
    "amounts @> '{1}'",
    "big = 5.0"
  ],
  "fractional seconds in timestamp equality": [
    "created_at = '2020-01-01T00:00:00.000Z'",
    "created_at = '2020-01-01 00:00:00+00'",
    "created_at = '2024-03-31 01:30:00.123456+00'",
    "created_at = '1999-12-31 23:59:59.9990+00'",
    "starts = '2020-01-01T10:00:00.000'",
    "opens = '12:30:00.50'"
  ],
  "one clause changes how another one's constants are compared": [
    "quantity = 3",
    "quantity::float8 = 4.5",
    "quantity::float8 = 3",
    "quantity::text = '3'",
    "quantity::numeric = 3.00"
  ],
  "types that are accepted but cannot be evaluated": [
    "meta IS NOT NULL",
    "blob IS NOT NULL",
    "status IS NOT NULL",
    "mail IS NULL",
    "rating IS NOT NULL",
    "rating = 'NaN'",
    "rating > 5",
    "rating < 0",
    "due = 'infinity'",
    "due < '0001-01-01'",
    "due = '0044-03-15 BC'",
    "starts > '9999-12-31'",
    "opens = '24:00'",
    "address IS NOT NULL",
    "id = 2 OR due > '2020-01-01'",
    "id = 4 OR rating = 1"
  ],
  "LIKE: escapes, characters of several bytes, line breaks": [
    "title LIKE 'a\\%c'",
    "body LIKE 'a\\\\b'",
    "body LIKE 'a\\\\%'",
    "title LIKE '_ber%'",
    "body LIKE '_t_'",
    "body LIKE '_ emoji'",
    "body LIKE 'first%second'",
    "body LIKE 'first_second'",
    "body LIKE 'first'",
    "title ILIKE 'ÜBER%'",
    "title ILIKE 'über COOL'",
    "title LIKE 'a!%c' ESCAPE '!'",
    "title NOT LIKE '%o%'"
  ],
  "no <> and IS DISTINCT FROM for dates and times": [
    "due <> '2020-01-01'",
    "opens <> '08:30'",
    "starts <> '2020-01-01 10:00:00'",
    "created_at <> '2020-01-01 00:00:00+00'",
    "created_at IS DISTINCT FROM '2020-01-01 00:00:00+00'",
    "due IS NOT DISTINCT FROM NULL"
  ],
  "timestamptz with interval, arrays of text, open slices": [
    "created_at + interval '1 day' = '2020-01-02 00:00:00+00'",
    "created_at - interval '1 day' < '2020-01-01'",
    "tags || 'x'::text = '{red,blue,x}'",
    "'x'::text || tags = '{x,blue}'",
    "numbers[2:] = '{2,3}'",
    "numbers[:1] = '{1}'",
    "numbers[:] = '{7}'"
  ],
  "exact numbers": [
    "big = 9007199254740993",
    "big = 9007199254740992",
    "12345678901234567891 = ANY(amounts)",
    "12345678901234567890 = ANY(amounts)",
    "0.1 + 0.2 = 0.3 AND id = 1",
    "price + 0.1 = 0.4",
    "big * 1.0 = 12345678901234567"
  ],
  "char(n), intervals, float4 literals, upper and lower case": [
    "country = 'DE'",
    "country = 'DE '",
    "country::text = 'DE'",
    "span = interval '24 hours'",
    "span = interval '1 mon'",
    "discount = 0.1",
    "discount::text = '0.1'",
    "upper(title) = 'ÜBER COOL'",
    "lower(title) = 'über cool'"
  ],
  "nested arrays and containment": [
    "numbers @> '{1}'",
    "numbers @> '{4,1}'",
    "numbers @> '{{1},{4}}'",
    "'{2,3}' <@ numbers",
    "3 = ANY(numbers)",
    "numbers && '{4,9}'",
    "numbers @> '{}'",
    "numbers @> '{NULL}'"
  ],
  "NULL elements under NOT": [
    "NOT ('blue' = ANY(tags))",
    "'blue' <> ALL(tags)",
    "NOT (5 <> ALL(amounts))",
    "quantity NOT IN (1, NULL)",
    "quantity IN (3, NULL)",
    "NOT (quantity IN (3, NULL))"
  ],
  "values as text": [
    "rating::text = '4.5'",
    "rating::text = '0'",
    "price::text = '0.30'",
    "done::text = 'true'",
    "starts::text = '2020-01-01 10:00:00'",
    "created_at::text = '2020-01-01 00:00:00+00'",
    "span::text = 'P1D'",
    "big::text = '5'",
    "tags::text = '{red,blue}'",
    "numbers::text[] = '{7}'",
    "meta::text = '{}'"
  ],
  "clauses that used to be answered with a server error": [
    "big = 3000000000 OR big > 1e3",
    "price > .5 AND price < 5e1",
    "price = 10.",
    "(id, tenant_id) = (1, 1)",
    "(id, tenant_id) IN ((1, 1), (5, 1))",
    "tags::text <> ''",
    "coalesce(status, 'draft') = 'draft'",
    "greatest(status, 'open') = 'open'"
  ],
  "ordering of booleans, intervals, enums and arrays": [
    "done > false",
    "span < interval '2 days'",
    "status >= 'open'",
    "numbers > '{2}'",
    "tags <= '{red}'",
    "user_id > 'b0000000-0000-0000-0000-000000000000'"
  ],
  "literals of dates, times and intervals": [
    "span = interval '1' day",
    "span < interval '30' hour",
    "opens = '12:00:00 AM'",
    "opens < '12:30:00 PM'",
    "created_at > 'epoch'",
    "span < interval '25:00:00'",
    "span < interval '25:00'",
    "span > interval '1-2'",
    "span >= interval '1 week ago'",
    "span < interval '1.5 DAYS'",
    "due = '20200101'",
    "due > 'Jan 8, 1999'",
    "created_at >= '2020-01-01'",
    "created_at >= '2020-01-01 01:00:00 Europe/Berlin'"
  ],
  "everyday features": [
    "status = 'open'",
    "mail = 'a@b.c'",
    "meta ->> 'plan' = 'pro'",
    "meta @> '{\"seats\": 5}'",
    "meta ? 'plan'",
    "title ~ '^[Hh]ello'",
    "CASE WHEN done THEN id ELSE 0 END = 1",
    "nullif(quantity, 3) IS NULL",
    "(id, title) = (1, 'Hello World')",
    "created_at::date = '2020-01-01'",
    "price::int = 20",
    "rating::numeric = 4.5",
    "quantity % 2 = 1",
    "length(title) = 5",
    "date_trunc('day', created_at) = '2020-01-01'",
    "created_at > '2020-06-01 00:00'"
  ],
  "combinations that an index should not lose": [
    "id IN (1, 2, 3) AND title <> 'z'",
    "(tenant_id = 1 OR tenant_id = 2) AND id < 4",
    "tenant_id = ANY('{1,2}')",
    "tenant_id = ANY('{1,NULL}') AND done",
    "title IS NULL OR tenant_id = 3",
    "done AND NOT (id = 1)",
    "id > 1 AND id <= 4 AND tenant_id = 1",
    "tenant_id = 1 AND (title = 'hello' OR title = 'a%c')"
  ]
}

const accepts = (oracle: Oracle, sql: string, params: Record<string, string>): boolean =>
  Result.isSuccess(compileWhere({ sql, params, table: oracle.table.info, catalogue: oracle.catalogue }))

describe("mistakes that are not made here", () => {
  let database: TestDatabase
  let oracle: Oracle

  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    oracle = await oracleOver(database, "orders", shopTable)
  })
  afterAll(() => database.drop())

  it.for(Object.entries(groups))("%s", async ([, clauses]) => {
    const { table, catalogue, rows, session } = oracle
    const index = new FilterIndex(table.columns)
    const compiled = clauses.map((sql, id) => {
      const result = compileWhere({ sql, params: {}, table: table.info, catalogue })
      if (Result.isFailure(result)) throw new Error(`${sql}: ${result.failure.message}`)
      index.add(id, makeRunnable(result.success, table.columns))
      return result.success
    })
    const found = clauses.map(() => "")
    const out = makeMatchList()
    for (const row of rows) {
      clearMatchList(out)
      index.match(row, out)
      assert.deepStrictEqual(out.errors, [])
      const ids = new Set(out.ids.subarray(0, out.count))
      const texts = Object.fromEntries(table.columns.map((column, i) => [column.name, columnText(row, i)]))
      for (const id of out.undecided) {
        const clause = compiled[id]
        if (clause === undefined) continue
        const isTrue = await Effect.runPromise(
          askPostgres({ table: table.info, catalogue, clauses: [clause], rows: [texts] }, (sql, parameters) =>
            Effect.promise(() => session.queryText(sql, parameters))
          )
        )
        if (isTrue(0, 0)) ids.add(id)
      }
      for (const id of clauses.keys()) found[id] += ids.has(id) ? "t" : "."
    }
    for (const [id, sql] of clauses.entries()) {
      const verdicts = (await session.queryText("SELECT verdicts('orders', $1) AS v", [sql]))[0]?.["v"] ?? ""
      assert.strictEqual(found[id], verdicts.replaceAll(/[fn]/g, "."), sql)
    }
  })

  it("a lone parameter, or one of no use, is no server error", () => {
    assert.isTrue(accepts(oracle, "$1", { "1": "true" }))
    assert.isFalse(accepts(oracle, "$1", { "1": "maybe" }))
    assert.isTrue(accepts(oracle, "id = 1", { "1": "unused" }))
    assert.isTrue(accepts(oracle, "$1::numeric = price", { "1": "10" }))
    assert.isFalse(accepts(oracle, "ilike(title, 'x')", {}))
    assert.isFalse(accepts(oracle, "int4out(id) = '3'", {}))
  })

  it("long IN lists are compiled and registered quickly", () => {
    const sql = `id IN (${Array.from({ length: 2000 }, (_, i) => i).join(", ")}) AND title <> 'z'`
    const started = workedMillis()
    const result = compileWhere({ sql, params: {}, table: oracle.table.info, catalogue: oracle.catalogue })
    if (Result.isFailure(result)) throw new Error(result.failure.message)
    assert.strictEqual(result.success.classification, "indexed")
    const index = new FilterIndex(oracle.table.columns)
    index.add(1, makeRunnable(result.success, oracle.table.columns))
    assert.isBelow(workedMillis() - started, 500)
    index.remove(1)
    assert.strictEqual(index.size, 0)
  })

  it("columns that are not replicated are refused, and clauses notice when a column changes", () => {
    const generated = oracle.table.info.columns.map((column) =>
      column.name === "title" ? { ...column, generated: "stored" as const } : column
    )
    const table = { ...oracle.table.info, columns: generated }
    const request = { sql: "title = 'x'", params: {}, table, catalogue: oracle.catalogue }
    assert.isTrue(Result.isFailure(compileWhere(request)))
    assert.isTrue(Result.isSuccess(compileWhere({ ...request, generatedColumnsReplicated: true })))
    const result = compileWhere({ ...request, table: oracle.table.info })
    if (Result.isFailure(result)) throw new Error(result.failure.message)
    const changed = oracle.table.columns.map((column) =>
      column.name === "title" ? { ...column, typeOid: 23 } : column
    )
    assert.throws(() => makeRunnable(result.success, changed))
  })
})
