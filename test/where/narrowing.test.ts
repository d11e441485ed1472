import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { compileWhere, loadParser, narrowing, type WhereClause } from "../../src/where/index.ts"
import { conjunctionOf } from "../../src/where/print/Conjunction.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { Generator } from "./support/generator.ts"
import { fillRows, makeOracle, oracleOver, type Oracle } from "./support/oracle.ts"
import { Random } from "./support/random.ts"

const seed = Number(process.env["WHERE_SEED"] ?? Date.now() % 1_000_000)

const compiled = (oracle: Oracle, sql: string, onlyInQueries: boolean): WhereClause => {
  const { catalogue, table } = oracle
  const result = compileWhere({ sql, params: {}, table: table.info, catalogue, onlyInQueries })
  if (Result.isFailure(result)) throw new Error(`${sql}: ${result.failure.message}`)
  return result.success
}

const clause = (sql: string, order?: string): WhereClause => ({
  sql,
  expression: null,
  ...(order === undefined ? {} : { order })
})

describe("clauses joined so that a later one can only narrow", () => {
  let database: TestDatabase
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
  })
  afterAll(() => database.drop())

  it("a normalised clause comes apart at its own ANDs", async () => {
    const oracle = await makeOracle(database)
    await fillRows(oracle, new Random(seed), 10)
    for (let i = 0; i < 200; i++) {
      const random = new Random(seed + i)
      const generator = new Generator(random)
      const parts = Array.from({ length: 2 + random.below(3) }, () =>
        generator.condition(1 + random.below(3))
      )
      const { catalogue, table } = oracle
      const result = compileWhere({
        sql: parts.join(" AND "),
        params: {},
        table: table.info,
        catalogue,
        onlyInQueries: true
      })
      if (Result.isFailure(result)) continue
      const { order = "", sql } = result.success
      const texts = conjunctionOf(sql)
      assert.strictEqual(texts.length, order.length, `seed ${seed + i}: ${sql}`)
      assert.strictEqual(texts.join(" AND ").replace(/[()]/g, ""), sql.replace(/[()]/g, ""))
      const joined = texts.map((text) => `(${text})`).join(" AND ")
      const [row] = await oracle.session.queryText(
        "SELECT verdicts('oracle', $1) AS one, verdicts('oracle', $2) AS other",
        [sql, joined]
      )
      assert.strictEqual(row?.["one"], row?.["other"], `seed ${seed + i}: ${sql}`)
    }
  })

  it("what cannot fail stands beside, for indexes; what can waits its turn", async () => {
    const oracle = await oracleOver(
      database,
      "people",
      `CREATE TABLE people (id int PRIMARY KEY, tenant int, age int, name text, email varchar(50), meta jsonb, tags text[],
         born date, price numeric, twice int GENERATED ALWAYS AS (100 / age) VIRTUAL);
       INSERT INTO people SELECT i, i % 10, 1 + i % 80, 'n' || i, 'n' || i || '@x.y', jsonb_build_object('k', i % 500),
         ARRAY['t' || i % 500], '2000-01-01'::date + i % 3000, i FROM generate_series(1, 20000) i;
       CREATE INDEX ON people (born);
       CREATE INDEX ON people (name text_pattern_ops);
       CREATE INDEX ON people (lower(email));
       CREATE INDEX ON people (price);
       CREATE INDEX ON people USING gin (meta);
       CREATE INDEX ON people USING gin (tags);
       ANALYZE people`
    )
    const shape = compiled(oracle, "tenant IN (1, 2, 3)", false)
    assert.isUndefined(shape.order)
    const indexed: ReadonlyArray<readonly [sql: string, tail: string]> = [
      ["id = 985", ""],
      ["id IN (1, 5, 9) AND 10 / age > 1", ""],
      ["born = '2001-05-05'", ""],
      ["price = 77", ""],
      ["price > 19990 AND age::int2 > 3", ""],
      ["name LIKE 'n199%'", ""],
      ["lower(email) = 'n7@x.y'", ""],
      [`meta @> '{"k": 5}' AND sqrt(age) > 2`, ""],
      ["tags @> '{t4}'", ""],
      ["tags && '{t4,t6}' AND born > '2001-01-01'", ""],
      ["age > 3", " ORDER BY id LIMIT 10"],
      ["100 / age > 3", " ORDER BY born DESC LIMIT 5"],
      ["(born, id) > ('2008-01-01', 5)", " ORDER BY born, id LIMIT 5"]
    ]
    for (const [sql, tail] of indexed) {
      const condition = narrowing([shape, compiled(oracle, sql, true)]) ?? ""
      const plan = await database.queryText(`EXPLAIN SELECT * FROM people WHERE ${condition}${tail}`)
      const text = plan.map((row) => row["QUERY PLAN"]).join("\n")
      assert.match(text, /Index/, `${sql}:\n${text}`)
      assert.notMatch(text, /Seq Scan/, `${sql}:\n${text}`)
    }
    const orders: ReadonlyArray<readonly [sql: string, order: string]> = [
      ["id = 1 AND 1 / age > 1 AND name = 'x'", "qrq"],
      ["twice = 1", "r"],
      ["name LIKE 'a\\'", "r"],
      ["name LIKE 'a%b'", "r"],
      ["name ILIKE '%urgent%' AND name LIKE email", "qr"],
      ["age + 1 = 2", "r"],
      ["name::int = 1", "r"],
      ["name ~ '(a|b)*c'", "r"],
      ["meta ->> 'k' = '1' AND (meta ->> 'k')::int = 1", "qr"],
      ["price = age AND born < '2020-01-01'::timestamptz", "qq"],
      ["CASE WHEN id = 1 THEN 1 / age ELSE 2 END = 3", "r"],
      ["id = 1 OR 1 / age = 1", "r"],
      ["age IS NOT NULL AND (name IS DISTINCT FROM email AND GREATEST(id, 1 / age) = 1)", "qqr"]
    ]
    for (const [sql, order] of orders) assert.strictEqual(compiled(oracle, sql, true).order, order, sql)
    assert.strictEqual(compiled(oracle, "id = 1 AND 1 / age > 1", false).order, "qr")
    assert.isUndefined(compiled(oracle, "1 / age > 1 AND id = 1", false).order)
  })

  it("takes the parts in order, and each but the last that may fail once more as a guard", () => {
    assert.isUndefined(narrowing([undefined, undefined]))
    assert.strictEqual(narrowing([clause("a OR b"), undefined]), "(a OR b)")
    assert.strictEqual(narrowing([undefined, clause("a OR b", "r")]), "(a OR b)")
    assert.strictEqual(narrowing([clause("a OR b"), clause("c = 1", "q")]), "(a OR b) AND (c = 1)")
    assert.strictEqual(
      narrowing([clause("a OR b"), clause("(c = 1) AND (1 / d = 2) AND (e = 'AND (''')", "qrq")]),
      "(a OR b) AND ((c = 1)) AND ((e = 'AND ('''))" +
        " AND CASE WHEN (a OR b) IS NOT TRUE THEN false WHEN ((c = 1)) IS NOT TRUE THEN false ELSE ((1 / d = 2)) END"
    )
    // From before clauses had an order: one part, which may fail.
    assert.strictEqual(
      narrowing([clause("a"), clause("b AND c")]),
      "(a) AND CASE WHEN (a) IS NOT TRUE THEN false ELSE (b AND c) END"
    )
  })
})
