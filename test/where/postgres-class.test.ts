import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { columnText, type Tuple } from "../../src/postgres/Tuple.ts"
import {
  askPostgres,
  compileWhere,
  loadParser,
  type RowTexts,
  type WhereClause
} from "../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { oracleOver, type Oracle } from "./support/oracle.ts"
import { shopTable } from "./support/shop.ts"

class QueryFailed {
  readonly message: string
  readonly code: string
  constructor(message: string, code: string) {
    this.message = message
    this.code = code
  }
}

const clauses = [
  "to_tsvector('english', title) @@ to_tsquery('english', 'hello')",
  "jsonb_path_exists(meta, '$.seats ? (@ > 3)')",
  "shout(title) = 'HELLO!'",
  "title COLLATE ordered < 'hello'",
  "span > '1.5 weeks'",
  "power(id, 2) > 8",
  "regexp_replace(title, '[aeiou]', '', 'g') = 'Hll Wrld'",
  "to_char(created_at, 'YYYY') = '2020'",
  "(period + '[2020-01-01,2020-01-02)'::daterange) @> due",
  "mail::text ~ '^[a-z]@' AND similarity_of(title) > 3",
  "id / quantity = 0"
]

describe("clauses that only Postgres evaluates", () => {
  let database: TestDatabase
  let oracle: Oracle

  const textsOf = (row: Tuple): RowTexts =>
    Object.fromEntries(oracle.table.columns.map((column, i) => [column.name, columnText(row, i)]))

  const query = (sql: string, parameters: ReadonlyArray<ReadonlyArray<string | null>>) =>
    Effect.tryPromise({
      try: () => oracle.session.queryText(sql, parameters),
      catch: (error) => {
        const { message, code } = error as { readonly message: string; readonly code: string }
        return new QueryFailed(message, code)
      }
    })
  const ask = (
    asked: ReadonlyArray<WhereClause>,
    rows: ReadonlyArray<RowTexts>,
    isAsked?: (row: number, clause: number) => boolean
  ) =>
    Effect.result(
      askPostgres(
        {
          table: oracle.table.info,
          catalogue: oracle.catalogue,
          clauses: asked,
          rows,
          ...(isAsked === undefined ? {} : { isAsked })
        },
        query
      )
    )
  const compiled = (sql: string) => {
    const result = compileWhere({ sql, params: {}, table: oracle.table.info, catalogue: oracle.catalogue })
    if (!Result.isSuccess(result)) throw new Error(result.failure.message)
    return result.success
  }
  const expected = async (sql: string) =>
    (await oracle.session.queryText("SELECT verdicts('orders', $1) AS v", [sql]))[0]?.["v"] ?? ""

  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    oracle = await oracleOver(
      database,
      "orders",
      `${shopTable};
CREATE FUNCTION shout(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(t) || ''!''';
CREATE FUNCTION similarity_of(t text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN length(t); END';
CREATE COLLATION ordered (provider = icu, locale = 'en-u-ks-level2', deterministic = false)`
    )
  })
  afterAll(() => database.drop())

  it.for(clauses)("%s: the answers are those of a query over the table", async (sql) => {
    const clause = compiled(sql)
    if (!sql.includes("/ quantity")) assert.strictEqual(clause.classification, "postgres")
    let found = ""
    for (const row of oracle.rows) {
      const answer = await Effect.runPromise(ask([clause], [textsOf(row)]))
      found += answer._tag === "Failure" ? "e" : answer.success(0, 0) ? "t" : "."
    }
    assert.strictEqual(found, (await expected(sql)).replaceAll(/[fn]/g, "."))
  })

  it("all clauses for all rows are one statement, and none is evaluated for a row that it is not asked about", async () => {
    const verdicts = await Promise.all(clauses.map(expected))
    const isAsked = (row: number, clause: number) =>
      (row + clause) % 3 !== 0 && verdicts[clause]?.[row] !== "e"
    const answer = await Effect.runPromise(ask(clauses.map(compiled), oracle.rows.map(textsOf), isAsked))
    if (answer._tag === "Failure") throw new Error(answer.failure.message)
    for (const [clause, sql] of clauses.entries()) {
      const wanted = oracle.rows.map((_, row) => isAsked(row, clause) && verdicts[clause]?.[row] === "t")
      assert.deepStrictEqual(
        oracle.rows.map((_, row) => answer.success(row, clause)),
        wanted,
        sql
      )
    }
  })

  it("see the collation of the column", async () => {
    await oracle.session.queryText("CREATE TABLE collated (id int PRIMARY KEY, t text COLLATE ordered)")
    await oracle.session.queryText("INSERT INTO collated VALUES (1, 'ABC'), (2, 'abd')")
    const collated = await oracleOver(database, "collated", "")
    const result = compileWhere({
      sql: "t = 'abc'",
      params: {},
      table: collated.table.info,
      catalogue: collated.catalogue
    })
    if (!Result.isSuccess(result)) throw new Error(result.failure.message)
    assert.strictEqual(result.success.classification, "postgres")
    const isTrue = await Effect.runPromise(
      askPostgres(
        {
          table: collated.table.info,
          catalogue: collated.catalogue,
          clauses: [result.success],
          rows: ["ABC", "abd"].map((t) => ({ t }))
        },
        query
      )
    )
    assert.deepStrictEqual([isTrue(0, 0), isTrue(1, 0)], [true, false])
  })
})
