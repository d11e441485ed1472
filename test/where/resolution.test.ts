import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { compileWhere, loadParser } from "../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { makeOracle, type Oracle } from "./support/oracle.ts"
import { Random } from "./support/random.ts"
import { columnName, edgeValues, oracleTypes, type OracleType } from "./support/values.ts"
import { patient } from "../../testing/Load.ts"

const firstSeed = Number(process.env["WHERE_SEED"] ?? 7)

const operators = [
  "=",
  "<>",
  "<",
  ">=",
  "+",
  "-",
  "*",
  "/",
  "%",
  "||",
  "~~",
  "~",
  "@>",
  "<@",
  "&&",
  "->",
  "->>",
  "?",
  "<<",
  "|",
  "&",
  "^@",
  "-|-",
  "#>>"
]
const functions = [
  "lower",
  "length",
  "abs",
  "round",
  "coalesce",
  "concat",
  "greatest",
  "array_length",
  "cardinality",
  "substr",
  "left",
  "date_trunc",
  "mod",
  "upper",
  "int4",
  "text",
  "date",
  "array_append",
  "array_position",
  "nullif",
  "isfinite",
  "int4range",
  "replace",
  "to_char",
  "jsonb_typeof",
  "starts_with",
  "extract",
  "power",
  "host",
  "make_date",
  "timezone",
  "lpad",
  "array_cat",
  "text_pattern_lt",
  "btrim",
  "numeric"
]

/** Combines operands of any types, so that about half of the results make no sense. */
class Combiner {
  private readonly random: Random
  constructor(random: Random) {
    this.random = random
  }

  operand(depth: number): string {
    const { random } = this
    const type: OracleType = random.pick(oracleTypes)
    const value = random.pick<string>(edgeValues[type]).replaceAll("'", "''")
    if (depth > 0 && random.chance(0.4)) return this.expression(depth - 1)
    return random.pick([
      () => `"${columnName(type, random.pick([1, 2]))}"`,
      () => `"${columnName(type, random.pick([1, 2]))}"`,
      () => `'${value}'`,
      () => random.pick(["1", "2.5", "NULL", "true", "3000000000", "-7"]),
      () => `"${columnName(type, 1)}"::${random.pick(oracleTypes)}`
    ])()
  }

  expression(depth: number): string {
    const { random } = this
    const o = (): string => this.operand(depth)
    return random.pick([
      () => `(${o()} ${random.pick(operators)} ${o()})`,
      () => `(${o()} ${random.pick(operators)} ${o()})`,
      () => `${random.pick(functions)}(${Array.from({ length: 1 + random.below(3) }, o).join(", ")})`,
      () => `(${o()} IN (${o()}, ${o()}))`,
      () => `(${o()} ${random.pick(["=", "<", "@>", "~~"])} ANY (${o()}))`,
      () => `ARRAY[${o()}, ${o()}]`,
      () => `CASE WHEN ${o()} THEN ${o()} ELSE ${o()} END`,
      () => `(${o()} IS DISTINCT FROM ${o()})`,
      () => `(${o()})[1]`,
      () => `(${random.pick(["-", "~", "@", "NOT "])}${o()})`,
      () => `(${o()} BETWEEN ${o()} AND ${o()})`
    ])()
  }
}

/** Refusals that are ours, each documented in docs/where-clauses.md. */
const ours =
  /it is (?:stable|volatile)|Failed to apply function|could not cast value|invalid syntax for type|depends on the time|not supported in this context|cannot subscript type (?:name|point)/

/** What chance has found before. */
const found = ["NULL BETWEEN 'a' AND pair_2", "pair_1 >= NULL", "'{a}' IS DISTINCT FROM mood_arr_1"]

describe("what is accepted", () => {
  let database: TestDatabase
  let oracle: Oracle
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    oracle = await makeOracle(database)
    await database.queryText(`
      CREATE FUNCTION is_condition(clause text) RETURNS text LANGUAGE plpgsql AS $$
      BEGIN
        EXECUTE 'CREATE TEMP VIEW probe AS SELECT 1 AS x FROM oracle WHERE ' || clause;
        DROP VIEW probe;
        RETURN '';
      EXCEPTION WHEN others THEN RETURN SQLSTATE || ' ' || SQLERRM;
      END $$`)
  })
  afterAll(() => database.drop())

  it("is what Postgres accepts, with the same types", { timeout: patient(120_000) }, async () => {
    let accepted = 0
    let refused = 0
    const differences: Array<string> = []
    for (let seed = firstSeed - found.length; seed < firstSeed + 1500 && differences.length < 10; seed++) {
      const random = new Random(seed)
      const clause = `(${found[firstSeed - 1 - seed] ?? new Combiner(random).expression(random.below(3))}) IS NOT NULL`
      const verdict =
        (await oracle.session.queryText("SELECT is_condition($1) AS v", [clause]))[0]?.["v"] ?? ""
      const result = compileWhere({
        sql: clause,
        params: {},
        table: oracle.table.info,
        catalogue: oracle.catalogue
      })
      const message = Result.isFailure(result) ? result.failure.message : ""
      if (Result.isSuccess(result)) {
        accepted++
        const again = (
          await oracle.session.queryText("SELECT is_condition($1) AS v", [result.success.sql])
        )[0]?.["v"]
        // Literals in unusual forms are left to Postgres to read: it may refuse them later.
        if (verdict.startsWith("22") && seed >= firstSeed) continue
        if (verdict !== "") differences.push(`seed ${seed}: ${clause}: Postgres refuses: ${verdict}`)
        else if (again !== "")
          differences.push(`seed ${seed}: ${clause}: normalised to ${result.success.sql}: ${again}`)
      } else {
        refused++
        if (verdict === "" && !ours.test(message))
          differences.push(`seed ${seed}: ${clause}: we refuse: ${message}`)
      }
    }
    assert.deepStrictEqual(differences, [])
    assert.isAbove(accepted, 50)
    assert.isAbove(refused, 200)
  })
})
