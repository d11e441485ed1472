import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { standardLimits, type Limits } from "../../src/config/Limits.ts"
import type { Tuple } from "../../src/postgres/Tuple.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
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
import { replacedParsers } from "../../src/where/parse/Parser.ts"
import { allow, spend, stepsLeft } from "../../src/where/values/Work.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { isSmall } from "../../src/where/aside/IsSmall.ts"
import { HeavyGenerator, heavyRows, heavyTable, tryHeavy } from "./support/heavy.ts"
import { oracleOver, type Oracle } from "./support/oracle.ts"
import { Random } from "./support/random.ts"
import { patient } from "../../testing/Load.ts"

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
  [terms(150, (i) => `lpad(title,${66_000_000 + i}+length(title),'ab')='x'`), "one ordinary row", "failed"],
  ["rpad(title, length(title) * 60000000, 'ab') = 'x'", "x", "failed"],
  ["reverse(repeat(title, length(title) * 7000000)) = 'x'", "abc", "failed"],
  ["reverse(repeat(title, 900000)) = 'x'", "abc", "failed"],
  ["reverse(repeat(title, 15)) = 'x'", "x".repeat(100_000), "undecided"],
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
  [
    `${Array.from({ length: 100 }, () => "repeat(title, length(title) * 900000)").join(" || ")} = 'x'`,
    "a",
    "failed"
  ],
  ["length(title) * 1e16000 * 1e16000 * 1e16000 > 1", "x", "undecided"],
  [`${Array.from({ length: 300 }, () => "(length(title) + 1e900)").join(" * ")} > 1`, "x", "undecided"],
  ["(repeat('[', 900) || repeat(']', 900))::jsonb = to_jsonb(title)", "x", "undecided"],
  [`(${"9".repeat(3000)} / 7.0)::text = title`, "x", "false"],
  ["title::interval > '1 day'", "1s ".repeat(20_000), "undecided"],
  ["title::char(1000000) = 'x'", "x", "undecided"]
]

/** Conditions whose constants alone make values that nobody is to compute, and where that is. */
const large: ReadonlyArray<readonly [string, number]> = [
  [terms(150, (i) => `lpad(title,${66_000_000 + i},'ab')='x'`), 0],
  ["id = 1 OR rpad(title, 60000000) = 'x'", 10],
  ["reverse(repeat(title, 20000000)) = 'x'", 8],
  ["repeat(title, 20000 * 1000) = 'x'", 0],
  ["repeat(title, length(lpad('x', 900)) * 2000) = 'x'", 0],
  ["repeat('abcdefghij', 200000) = title", 0],
  ["repeat(upper(repeat(title, 1000)), 2000) = 'x'", 0],
  ["CASE WHEN id > 1 THEN repeat(title, 2000000) ELSE '' END = 'x'", 22],
  ["coalesce(title, lpad('', 2000000)) = 'x'", 16],
  ["title LIKE lpad('%', 2000000)", 11],
  ["title IN ('x', repeat(title, 2000000))", 15],
  ["title::char(10000000) = 'x'", 5],
  ["pg_catalog.bpchar(title, 10000000, true) = 'x'", 0],
  ["id::bit(80000000) = B'1'", 2],
  ["ARRAY[title]::char(5000000)[] = ARRAY['x'::char(5)]", 12],
  ["array_length(array_fill(id, ARRAY[1000, 1000]), 1) = 1", 13],
  ["format('%1000001s', title) = 'x'", 0],
  ["format('%-600000s%2$600000s', title, title) = 'x'", 0],
  ["format('%*s', 2000000, title) = 'x'", 0],
  ["npoints(polygon(100000, circle(point(id, 1), 2))) = 1", 8],
  [`${Array.from({ length: 2 }, () => "repeat(title, 900000)").join(" || ")} = 'x'`, 22]
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

  it.for(large)("is refused where constants alone exceed it: %s", ([sql, position]) => {
    for (const onlyInQueries of [false, true]) {
      const { catalogue, table } = heavy
      const result = compileWhere({ sql, params: {}, table: table.info, catalogue, onlyInQueries })
      if (Result.isSuccess(result)) return assert.fail(sql)
      assert.match(result.failure.message, /limit of 1000000 bytes \(BATON_MAX_CLAUSE_VALUE\)$/)
      assert.strictEqual(result.failure.position, position)
    }
    return undefined
  })

  it("is refused where constants make many values that are too much together, and not below", () => {
    const { catalogue, table } = heavy
    const [fitting, result] = [35, 36].map((count) => {
      const sql = terms(count, (i) => `lpad(title, ${900_000 + i}) = 'x'`)
      return compileWhere({ sql, params: {}, table: table.info, catalogue })
    })
    assert.isTrue(fitting !== undefined && Result.isSuccess(fitting))
    assert.match(
      result !== undefined && Result.isFailure(result) ? result.failure.message : "",
      /BATON_MAX_CLAUSE_MEMORY/
    )
    for (const sql of [
      "lpad(title, 1000000, 'ab') = 'x'",
      "lpad(title, 66000000, '') = 'x'",
      "repeat(title, -66000000) = ''",
      "left(repeat(title, 900000), 5) || repeat(title, 900000) = 'x'",
      "title::varchar(10000000) = 'x'",
      "to_char(id, '999,999') = '1'",
      "format('%10s', title) = 'x'"
    ])
      assert.doesNotThrow(() => clauseOf(sql), sql)
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
    evaluate(clauseOf("lpad(title, length(title) * 66000000, 'ab') = 'x'"), titleRow("x"))
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

  it("a long parameter that is used many times is read once, or not at all", () => {
    const params = { "1": `[${"1,".repeat(20_000)}1]` }
    const rows = heavyRows(new Random(1), 0.2)
    const on = { ...heavy.table, table: heavy.table.info, catalogue: heavy.catalogue }
    for (const [part, join] of [
      ["doc @> $1::jsonb", " OR "],
      ["($1::jsonb)::text", " || "],
      ["($1::jsonb)::text <> title", " OR "]
    ] as const)
      for (const count of [3, 11]) {
        const all = Array.from({ length: count }, () => part).join(join)
        const sql = join === " || " ? `${all} = 'x'` : all
        assert.strictEqual(isSmall({ sql, params }), false, "a thread checks it")
        const { refused, rowMillis } = tryHeavy(on, rows, sql, params)
        if (refused !== undefined) assert.match(refused, /BATON_MAX_|too large/)
        assert.isBelow(rowMillis, 500, sql.slice(0, 100))
      }
    // The same parameter of 2 kB is small once and not forty times.
    const short = { "1": "x".repeat(2000) }
    assert.isTrue(isSmall({ sql: "title = $1", params: short }))
    assert.isFalse(
      isSmall({ sql: Array.from({ length: 40 }, () => "title = $1").join(" OR "), params: short })
    )
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
      for (
        let n = 0;
        n < 2 && Math.max(outcome.hereMillis, outcome.asideMillis, outcome.rowMillis) > 500;
        n++
      )
        outcome = attempt()
      const shown = `seed ${seed + i}: ${sql.slice(0, 500)}`
      assert.isBelow(outcome.rowMillis, 500, shown)
      assert.isBelow(outcome.hereMillis, 500, shown)
      assert.isBelow(outcome.asideMillis, 2000, shown)
      undecided += outcome.verdicts.filter((verdict) => verdict === "undecided").length
    }
    assert.isAbove(undecided, 100)
    assert.strictEqual(replacedParsers(), 0)
  })
})
