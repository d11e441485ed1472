import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { columnText, type Tuple } from "../../src/postgres/Tuple.ts"
import {
  compileWhere,
  evaluateInPostgres,
  loadParser,
  type Question,
  type RowTexts
} from "../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../support/database.ts"
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

  const options = (timeoutMillis = 5000) => ({
    table: oracle.table.info,
    catalogue: oracle.catalogue,
    timeoutMillis,
    isDataError: (error: QueryFailed) => error.code !== "57014",
    messageOf: (error: QueryFailed) => error.message,
    query: (sql: string, parameters: ReadonlyArray<ReadonlyArray<string | null>>, limit: number) =>
      Effect.tryPromise({
        try: async () => {
          await oracle.session.queryText(`SET statement_timeout = ${limit}`)
          try {
            return await oracle.session.queryText(sql, parameters)
          } finally {
            await oracle.session.queryText("SET statement_timeout = 0")
          }
        },
        catch: (error) => {
          const { message, code } = error as { readonly message: string; readonly code: string }
          return new QueryFailed(message, code)
        }
      })
  })

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
    const result = compileWhere({ sql, params: {}, table: oracle.table.info, catalogue: oracle.catalogue })
    assert.isTrue(Result.isSuccess(result), Result.isFailure(result) ? result.failure.message : "")
    if (!Result.isSuccess(result)) return
    if (!sql.includes("/ quantity")) assert.strictEqual(result.success.classification, "postgres")
    const questions: ReadonlyArray<Question> = oracle.rows.map((row) => ({
      row: textsOf(row),
      clause: result.success
    }))
    const answers = await Effect.runPromise(evaluateInPostgres(questions, options()))
    const expected = (await oracle.session.queryText("SELECT verdicts('orders', $1) AS v", [sql]))[0]?.["v"]
    // NULL and false are the same to a query, which may stop at either.
    const letters = { true: "t", false: "f", null: "f", failed: "e" }
    assert.strictEqual(answers.map((answer) => letters[answer.kind]).join(""), expected?.replaceAll("n", "f"))
  })

  it("fail as a whole only when Postgres cannot be asked", async () => {
    const sql = "length(title) > 2 AND repeat(title, 3000000) ~ '(x+x+)+y' AND shout(title) <> ''"
    const result = compileWhere({ sql, params: {}, table: oracle.table.info, catalogue: oracle.catalogue })
    if (!Result.isSuccess(result)) throw new Error("refused")
    const row = {
      ...Object.fromEntries(oracle.table.columns.map((column) => [column.name, null])),
      title: "xxxxxxx"
    }
    const outcome = await Effect.runPromise(
      Effect.result(evaluateInPostgres([{ row, clause: result.success }], options(20)))
    )
    assert.strictEqual(outcome._tag, "Failure")
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
    const questions = ["ABC", "abd"].map((t) => ({ row: { t }, clause: result.success }))
    const answers = await Effect.runPromise(
      evaluateInPostgres(questions, {
        ...options(),
        table: collated.table.info,
        catalogue: collated.catalogue
      })
    )
    assert.deepStrictEqual(
      answers.map((answer) => answer.kind),
      ["true", "false"]
    )
  })
})
