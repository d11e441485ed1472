import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { standardLimits, type Limits } from "../../src/config/Limits.ts"
import { tupleOf, type Tuple } from "../../src/postgres/Tuple.ts"
import { Burst } from "../../src/where/index/Costs.ts"
import {
  clearMatchList,
  compileWhere,
  evaluate,
  FilterIndex,
  loadParser,
  makeMatchList,
  makeRunnable,
  type RunnableClause,
  type Verdict
} from "../../src/where/index.ts"
import { replacedParsers } from "../../src/where/parse/parser.ts"
import { allow, spend, stepsLeft } from "../../src/where/values/work.ts"
import { createDatabase, type TestDatabase } from "../support/database.ts"
import { HeavyGenerator, heavyRows, heavyTable, tryHeavy } from "./support/heavy.ts"
import { oracleOver, type Oracle } from "./support/oracle.ts"
import { Random } from "./support/random.ts"
import { patient } from "../../scripts/support/Load.ts"

const titleRow = (title: string): Tuple =>
  tupleOf(["1", title, "x", ...Array.from({ length: 11 }, () => null)])

const letters = (seed: number, count: number): string => {
  const random = new Random(seed)
  return Array.from({ length: count }, () => (random.chance(0.5) ? "a" : "b")).join("")
}

const terms = (count: number, term: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => term(i)).join(" OR ")

/** Conditions that would hold the process up for seconds, and the title that they meet. */
const stalls: ReadonlyArray<readonly [string, string, Verdict["kind"]]> = [
  [terms(150, (i) => `lpad(title,${66_000_000 + i},'ab')='x'`), "one ordinary row", "undecided"],
  ["rpad(title, 60000000, 'ab') = 'x'", "x", "undecided"],
  ["reverse(repeat(title, 20000000)) = 'x'", "abc", "undecided"],
  ["array_length(string_to_array(repeat(title, 900000), NULL), 1) > 1", "x", "undecided"],
  [
    `array_length(${Array.from({ length: 10 }, () => "string_to_array(repeat(title, 90000), NULL)").join(" || ")}, 1) > 1`,
    "x",
    "undecided"
  ],
  ["title ~ '(a|b)*a((a|b){200}){8}c'", letters(1, 200_000), "undecided"],
  ["title ~ '((((){255}){255}){255}){255}'", "x", "undecided"],
  ["title ~ '(a+)+$'", `${"a".repeat(200_000)}!`, "false"],
  [`title LIKE '%b${"a".repeat(3000)}%'`, "a".repeat(1_000_000), "false"],
  [`title LIKE '%${"a".repeat(3000)}b%'`, "a".repeat(1_000_000), "undecided"],
  [`title LIKE '%${"_a".repeat(1000)}c%'`, "a".repeat(200_000), "undecided"],
  [`position('${"a".repeat(3000)}b' in title) > 0`, "a".repeat(1_000_000), "undecided"],
  ["translate(repeat(title, 900000), 'a', 'b') = ''", "a", "undecided"],
  [`${Array.from({ length: 100 }, () => "repeat(title, 900000)").join(" || ")} = 'x'`, "a", "undecided"],
  ["length(title) * 1e16000 * 1e16000 * 1e16000 > 1", "x", "undecided"],
  [`${Array.from({ length: 300 }, () => "(length(title) + 1e900)").join(" * ")} > 1`, "x", "undecided"],
  ["(repeat('[', 900) || repeat(']', 900))::jsonb = to_jsonb(title)", "x", "undecided"],
  [`(${"9".repeat(3000)} / 7.0)::text = title`, "x", "false"],
  ["title::interval > '1 day'", "1s ".repeat(20_000), "undecided"],
  ["title::char(10000000) = 'x'", "x", "undecided"]
]

describe("what a condition may cost", () => {
  let database: TestDatabase
  let heavy: Oracle
  const clauseOf = (sql: string, params: Record<string, string> = {}): RunnableClause => {
    const result = compileWhere({ sql, params, table: heavy.table.info, catalogue: heavy.catalogue })
    if (Result.isFailure(result)) throw new Error(`${sql.slice(0, 100)}: ${result.failure.message}`)
    return makeRunnable(result.success, heavy.table.columns)
  }
  const costly = (count: number, limits: Limits, now: () => number) => {
    const index = new FilterIndex(heavy.table.columns, limits, new Burst(limits, now))
    for (let i = 0; i < count; i++) index.add(i, clauseOf(`reverse(repeat(title, ${10_000 + i})) = 'x'`))
    for (let i = 0; i < count; i++) index.add(10_000 + i, clauseOf(`title LIKE '%y${i}'`))
    return index
  }

  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    heavy = await oracleOver(database, "heavy", heavyTable)
  })
  afterAll(() => database.drop())

  it.for(stalls)("%s", ([sql, title, expected]) => {
    const clause = clauseOf(sql)
    const row = titleRow(title)
    const before = process.threadCpuUsage()
    assert.strictEqual(evaluate(clause, row).kind, expected)
    const { user, system } = process.threadCpuUsage(before)
    assert.isBelow((user + system) / 1000, 500)
  })

  it("is not counted for what costs no more than a comparison", () => {
    allow(10, 10)
    for (const sql of [
      "id = 1 AND n IS NULL",
      "id IN (1, 2, 3)",
      "n > 1.5 OR f < 2",
      "title = 'one' OR title > 'x' COLLATE \"C\""
    ]) {
      assert.notStrictEqual(
        evaluate(clauseOf(sql), titleRow("x".repeat(500)), { ...standardLimits, clauseSteps: 0 }).kind,
        "undecided",
        sql
      )
    }
  })

  it("is set by the limits: below them the same rows are decided here", () => {
    const clause = clauseOf("lpad(title, 5000, 'ab') = 'x' OR title ~ '(a|b)*a(a|b){8}c'")
    const row = titleRow(letters(2, 2000))
    const kind = (limits: Partial<Limits>): string =>
      evaluate(clause, row, { ...standardLimits, ...limits }).kind
    assert.strictEqual(kind({}), "false")
    assert.strictEqual(kind({ clauseSteps: 1000 }), "undecided")
    assert.strictEqual(kind({ clauseValueLength: 4999 }), "undecided")
  })

  it("leaves nothing behind: afterwards work is free again", () => {
    evaluate(clauseOf("lpad(title, 66000000, 'ab') = 'x'"), titleRow("x"))
    assert.strictEqual(stepsLeft(), Infinity)
    compileWhere({
      sql: "title = repeat('x', 60000000)",
      params: {},
      table: heavy.table.info,
      catalogue: heavy.catalogue
    })
    assert.strictEqual(stepsLeft(), Infinity)
    spend(1e12)
  })

  it("folds no constants that are larger than what they were made of", () => {
    const result = compileWhere({
      sql: "title = repeat('x', 900000)",
      params: {},
      table: heavy.table.info,
      catalogue: heavy.catalogue
    })
    assert.isTrue(Result.isSuccess(result))
    assert.isBelow(JSON.stringify(result).length, 2000)
  })

  describe("for all shapes of a table", () => {
    it("a row costs no more than its steps; cheap conditions are decided all the same", () => {
      const index = costly(200, { ...standardLimits, burstSteps: 1e12 }, () => 0)
      const out = makeMatchList()
      const steps = index.match(titleRow("some text, xy7"), out)
      assert.isAtMost(steps, standardLimits.rowSteps)
      assert.isAbove(out.undecided.length, 100)
      assert.isTrue(out.undecided.every((id) => id < 10_000))
      assert.deepStrictEqual([...out.ids.subarray(0, out.count)], [10_007])
    })

    it("the costliest have to go when they take too much of the time, and only they", () => {
      let now = 0
      const limits = { ...standardLimits, burstSteps: 20_000_000 }
      const index = costly(2, limits, () => now)
      index.add(77, clauseOf("repeat(title, 500) = 'x'"))
      const out = makeMatchList()
      const gone = new Set<number>()
      let rows = 0
      for (; gone.size === 0 && rows < 1000; rows++) {
        clearMatchList(out)
        index.match(titleRow("abcdefghij"), out)
        for (const { shapeId, message } of out.costly) {
          assert.match(message, /limit of 20000000 \(BATON_MAX_BURST_STEPS\)/)
          gone.add(shapeId)
        }
      }
      assert.isAbove(rows, 10)
      assert.isBelow(rows, 100)
      assert.isTrue([...gone].every((id) => id < 2))
      // At a pace at which they take less than their share of the time, they stay.
      const slow = costly(2, limits, () => now)
      for (let i = 0; i < 40; i++) {
        now += 200
        clearMatchList(out)
        slow.match(titleRow("abcdefghij"), out)
        assert.strictEqual(out.costly.length, 0)
      }
    })
  })

  it("nothing takes long in some hundred random heavy clauses", { timeout: patient(120_000) }, () => {
    const seed = Date.now() % 1_000_000
    const rows = heavyRows(new Random(seed), 0.2)
    const on = { ...heavy.table, table: heavy.table.info, catalogue: heavy.catalogue }
    let undecided = 0
    for (let i = 0; i < 600; i++) {
      const generator = new HeavyGenerator(new Random(seed + i))
      const sql = generator.clause()
      const attempt = () => tryHeavy(on, rows, sql, generator.params)
      let outcome = attempt()
      // The collector of garbage works on the same thread.
      for (let n = 0; n < 2 && Math.max(outcome.compileMillis, outcome.rowMillis) > 500; n++)
        outcome = attempt()
      const shown = `seed ${seed + i}: ${sql.slice(0, 500)}`
      assert.isBelow(outcome.rowMillis, 500, shown)
      assert.isBelow(outcome.compileMillis, 1000, shown)
      undecided += outcome.verdicts.filter((verdict) => verdict === "undecided").length
    }
    assert.isAbove(undecided, 100)
    assert.strictEqual(replacedParsers(), 0)
  })
})
