import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { compileOrderBy, compileWhere, loadParser } from "../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { oracleOver, type Oracle } from "./support/oracle.ts"
import { shopTable } from "./support/shop.ts"
import { column, table as tableOf } from "../../testing/postgres/TableInfos.ts"

/** Clause and the message clients get. */
const refused: ReadonlyArray<readonly [string, string]> = [
  ["quantity >", "At location 25: syntax error at end of input"],
  ["quantity > )", 'At location 26: syntax error at or near ")"'],
  ["(quantity = 1", "At location 28: syntax error at end of input"],
  ["id = 1; DROP TABLE orders", 'unescaped ";" causing statement split'],
  ["id = 1; id = 2", 'At location 23: syntax error at or near "id"'],
  ["id = 1 ORDER BY id", "malformed query ending with SQL clauses"],
  ["id = 1 GROUP BY id", "malformed query ending with SQL clauses"],
  ["id = 1 LIMIT 1", "malformed query ending with SQL clauses"],
  ["id = 1 OFFSET 1", "malformed query ending with SQL clauses"],
  ["id = 1 UNION SELECT 1", "malformed query ending with SQL clauses"],
  ["id = 1 FOR UPDATE", "malformed query ending with SQL clauses"],
  ["nosuch = 1", "At location 0: unknown reference nosuch"],
  ["orders.id = 1", "At location 0: unknown reference orders.id"],
  ['"Id" = 1', 'At location 0: unknown reference "Id"'],
  ["ctid = '(0,1)'", "At location 0: unknown reference ctid"],
  ["id = 'abc'", "At location 5: invalid syntax for type int4: abc"],
  ["numbers = '{1,x}'", "At location 10: invalid syntax for type int4[]: {1,x}"],
  ["status = 'zz'", "At location 9: invalid syntax for type enum order_status: zz"],
  ["'abc'::int = id", 'At location 0: could not cast value "abc" from text to int4'],
  ["title = 5", "At location 6: Could not select an operator overload"],
  ["done = 1", "At location 5: Could not select an operator overload"],
  ["'1' + '1' = 2", "At location 4: Could not select an operator overload"],
  ["title @#@ 'x'", 'At location 6: unknown binary operator "@#@"'],
  ["nosuch(id) = 1", "At location 0: unknown or unsupported function nosuch/1"],
  ["lower(id) = 'x'", "At location 0: Could not select a function overload for lower(int4)"],
  ["count(*) > 1", "At location 0: aggregation is not supported in this context"],
  ["count(id) > 1", "At location 0: aggregation is not supported in this context"],
  ["sum(id) OVER () > 1", "At location 0: aggregation is not supported in this context"],
  ["id AND done", "At location 0: reference id of type int4 is not castable to bool"],
  ["id IS TRUE", "At location 3: argument of IS TRUE must be bool, not int4"],
  ["id = ANY(title)", "At location 9: argument of ANY must be an array"],
  ["id", "WHERE clause must return a boolean"],
  ["title", "WHERE clause must return a boolean"],
  ["id = $1", "At location 5: parameter $1 was not provided"],
  ["id = 1/0", "At location 6: Failed to apply function to constant arguments: division by zero"],
  ["id::nosuch = 1", "At location 2: unsupported type nosuch"],
  ["meta::date IS NULL", "At location 4: unknown cast from type jsonb to type date"],
  ["EXISTS (SELECT 1)", "At location 0: only `value IN (SELECT ...)` sublinks are supported right now"],
  ["id = (SELECT 1)", "At location 5: only `value IN (SELECT ...)` sublinks are supported right now"],
  ["current_date > due", "At location 0: SQLValueFunction is not supported in this context"],
  ["é = 1 AND nosuch = 2", 'At location 0: unknown reference "é"'],
  ["title = 'é' AND nosuch = 2", "At location 16: unknown reference nosuch"],
  ["ARRAY[1, 'x'::text] = numbers", "At location 12: ARRAY types int4 and text cannot be matched"]
]

/** Texts that cost little to parse and much to write, or to resolve, and the limit that refuses them. */
const large: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, string]> = [
  [
    Array.from({ length: 20 }, () => "title = $1").join(" OR "),
    { 1: "x".repeat(60_000) },
    "A condition as it is written for Postgres is above the limit of 1000000 bytes (BATON_MAX_CLAUSE_SQL)"
  ]
]

const notImmutable = [
  "created_at > now()",
  "random() < 0.5",
  "pg_sleep(1) IS NULL",
  "nextval('x') = 1",
  "current_setting('port') = '1'",
  "pg_read_file('/etc/passwd') = ''",
  "age(created_at) > interval '1 day'",
  "to_tsvector(title) @@ to_tsquery('english', 'x')",
  "txid_current() > 0",
  "clock_timestamp() > created_at",
  "created_at > 'now'",
  "due = 'today'",
  "has_table_privilege('orders', 'select')",
  "lo_import('/etc/passwd') > 0",
  "set_config('role', 'postgres', false) = ''"
]

describe("what is refused", () => {
  let database: TestDatabase
  let oracle: Oracle
  const compile = (sql: string, params: Record<string, string> = {}) =>
    compileWhere({ sql, params, table: oracle.table.info, catalogue: oracle.catalogue })

  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    oracle = await oracleOver(database, "orders", shopTable)
  })
  afterAll(() => database.drop())

  it.for(large)("names the limit: %s", ([sql, params, message]) => {
    const result = compile(sql, params)
    assert.strictEqual(Result.isFailure(result) ? result.failure.message : "accepted", message)
  })

  it.for(refused)("%s", ([sql, message]) => {
    const result = compile(sql)
    assert.isTrue(Result.isFailure(result))
    if (Result.isFailure(result)) assert.strictEqual(result.failure.message, message)
  })

  it.for(notImmutable)("%s, whose result does not follow from the row", (sql) => {
    const result = compile(sql)
    assert.isTrue(Result.isFailure(result), sql)
  })

  it("parameters that are no numbers, have gaps, or hold what Postgres has no text for, under their own key", () => {
    const cases: ReadonlyArray<readonly [Record<string, string>, string]> = [
      [{ a: "1" }, "Parameters can only use numbers as keys"],
      [{ "2": "1" }, "Parameters must be numbered sequentially, starting from 1"],
      [{ "1": "1", "3": "1" }, "Parameters must be numbered sequentially, starting from 1"],
      [{ "0": "1" }, "Parameters must be numbered sequentially, starting from 1"],
      [{ "1": "{a,b\0}" }, "parameter $1: a NUL character is not allowed"],
      [{ "1": "a\ud800" }, "parameter $1 is not valid Unicode"]
    ]
    for (const [params, message] of cases) {
      const result = compile("id = 1", params)
      assert.isTrue(Result.isFailure(result))
      if (Result.isFailure(result)) {
        assert.strictEqual(result.failure.parameter, "params")
        assert.strictEqual(result.failure.message, message)
      }
    }
  })

  it("a parameter that would need two types", () => {
    assert.isTrue(Result.isFailure(compile("id = $1 AND title = $1", { "1": "5" })))
  })

  it("columns outside the allowed ones, as if they did not exist", () => {
    const result = compileWhere({
      sql: "title = 'x'",
      params: {},
      table: oracle.table.info,
      catalogue: oracle.catalogue,
      queryableColumns: ["id"]
    })
    assert.isTrue(Result.isFailure(result))
    if (Result.isFailure(result)) assert.include(result.failure.message, "unknown reference title")
  })

  it("nothing that Postgres accepts as immutable, apart from what the documentation names", async () => {
    const accepted = [
      "to_tsvector('english', title) @@ to_tsquery('english', 'hello')",
      "title COLLATE \"C\" < 'x'",
      "meta @? '$.plan'",
      "jsonb_path_exists(meta, '$.seats ? (@ > 3)')",
      "regexp_replace(title, 'a', 'b') = 'x'",
      "b'101' = b'101'",
      "point '(1,2)' <-> point '(0,0)' > 1",
      "span > '1 week ago'",
      "due > 'January 8, 1999'",
      "sqrt(price) > 2 AND power(rating, 2) > 3",
      "md5(title) = 'x' AND encode(sha256(blob), 'hex') <> ''",
      "isfinite(due)",
      "to_char(created_at, 'YYYY') = '2024'"
    ]
    for (const sql of accepted) {
      const result = compile(sql)
      assert.isTrue(
        Result.isSuccess(result),
        `${sql}: ${Result.isFailure(result) ? result.failure.message : ""}`
      )
      if (Result.isSuccess(result))
        await oracle.session.queryText(`SELECT ${result.success.sql} FROM orders WHERE false`)
    }
  })
})

describe("ORDER BY lists", () => {
  const table = tableOf(
    ["id", "Name", "user"].map((name) => column(name, { typeOid: 23, typeName: "int4" })),
    { primaryKey: ["id"] }
  )
  beforeAll(() => Effect.runPromise(loadParser))

  it("are written anew", () => {
    const accepted: ReadonlyArray<readonly [string, string]> = [
      ["id", "id"],
      ['"Name" desc nulls first, id asc', '"Name" DESC NULLS FIRST, id ASC'],
      ['"user" NULLS LAST', '"user" NULLS LAST'],
      ["id, 1", "id, (1)::integer"]
    ]
    for (const [text, expected] of accepted) {
      const result = compileOrderBy(text, table)
      assert.deepStrictEqual(result, Result.succeed(expected))
    }
  })

  it("refuse everything that is no column", () => {
    const cases: ReadonlyArray<readonly [string, string]> = [
      ["nosuch", "At location 0: unknown reference nosuch"],
      ["lower(id)", "At location 0: FuncCall expressions are not allowed in ORDER BY clauses"],
      ["id::text", "At location 2: TypeCast expressions are not allowed in ORDER BY clauses"],
      ["(SELECT 1)", "At location 0: SubLink expressions are not allowed in ORDER BY clauses"],
      ["$1", "At location 0: parameter $1 is not supported in ORDER BY clauses"],
      ["id; DROP TABLE t", "Unexpected `;` in order by"],
      ["id LIMIT 1", "malformed query ending with SQL clauses"]
    ]
    for (const [text, message] of cases) {
      const result = compileOrderBy(text, table)
      assert.isTrue(Result.isFailure(result), text)
      if (Result.isFailure(result)) {
        assert.strictEqual(result.failure.message, message)
        assert.strictEqual(result.failure.parameter, "order_by")
      }
    }
    assert.isTrue(Result.isFailure(compileOrderBy('"Name"', table, ["id"])))
  })

  it("have no more columns than a table may have: they are counted before they are parsed", () => {
    const of = (count: number) => compileOrderBy(Array.from({ length: count }, () => "id").join(), table)
    assert.isTrue(Result.isSuccess(of(1600)))
    const result = of(9900)
    assert.strictEqual(
      Result.isFailure(result) ? result.failure.message : "",
      "The number of columns in an order is 9900, above the limit of 1600 (BATON_MAX_ORDER_ITEMS)"
    )
    // A comma in a name is none.
    const quoted = compileOrderBy(`"a${",".repeat(2000)}b"`, table)
    assert.match(Result.isFailure(quoted) ? quoted.failure.message : "", /unknown reference/)
  })
})
