import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { loadParser } from "../../../src/where/index.ts"
import { patient } from "../../../testing/Load.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import { compileOver, type Database, readDatabase } from "../support/members.ts"

const schema = `
CREATE TABLE issues (id int PRIMARY KEY, a int, b int);
CREATE TABLE others (id int PRIMARY KEY, a int, b int)`

const repeated = (times: number, part: (i: number) => string, between: string): string =>
  Array.from({ length: times }, (_, i) => part(i)).join(between)

const nested = (levels: number): string =>
  `${repeated(levels, () => "a IN (SELECT b FROM others WHERE ", "")}b = 3 AND id = 4${")".repeat(levels)}`

const chain = (tables: number): string =>
  `a IN (SELECT t0.a FROM ${repeated(tables, (i) => `others t${i}`, ", ")} WHERE ${repeated(tables - 1, (i) => `t${i}.b = t${i + 1}.a`, " AND ")})`

/** The tables of a sub-select in a circle, tied to each other and to the row so many times. */
const circle = (tables: number, times: number): string =>
  repeated(
    times,
    (n) =>
      repeated(tables, (i) => `t${i}.b + ${n} = t${(i + 1) % tables}.a + ${n}`, " AND ") +
      ` AND t0.a = issues.b + ${n}`,
    " AND "
  )
const others = (tables: number): string => repeated(tables, (i) => `others t${i}`, ", ")

/** Each uses the rows around all of them. */
const inward = (levels: number, link: string): string =>
  levels === 0
    ? "true"
    : `a ${link} (SELECT x${levels}.b FROM others x${levels}, others y${levels}, others z${levels} WHERE x${levels}.a = y${levels}.b AND y${levels}.a = z${levels}.b AND z${levels}.a = x${levels}.id AND x${levels}.id = issues.id AND x${levels}.${inward(levels - 1, link)})`

/** Clauses that take as much as they can; none of them for long. */
const clauses: ReadonlyArray<readonly [string, string]> = [
  ["many sub-selects", repeated(700, (i) => `a IN (SELECT b FROM others WHERE id = ${i})`, " OR ")],
  [
    "many correlations",
    `EXISTS (SELECT 1 FROM others o WHERE ${repeated(1500, (i) => `o.a = issues.b + ${i}`, " AND ")})`
  ],
  [
    "many correlations of a sub-select inside",
    `EXISTS (SELECT 1 FROM others o WHERE ${repeated(500, (i) => `o.a = issues.b + ${i}`, " AND ")} AND EXISTS (SELECT 1 FROM others p WHERE ${repeated(500, (i) => `p.a = issues.b + ${i}`, " AND ")}))`
  ],
  [
    "many joins of two tables",
    `EXISTS (SELECT 1 FROM others o, others p WHERE ${repeated(1500, (i) => `o.a + ${i} = p.b`, " AND ")})`
  ],
  ["one inside the other", nested(9)],
  ["one inside the other, many times", nested(150)],
  ["a chain of tables", chain(9)],
  ["a chain of many tables", chain(300)],
  [
    "many values",
    `(${repeated(900, () => "a", ", ")}) IN (SELECT ${repeated(900, () => "b", ", ")} FROM others)`
  ],
  ["a circle", `NOT EXISTS (SELECT 1 FROM ${others(10)} WHERE ${circle(10, 1)})`],
  ["a circle, many times", `NOT EXISTS (SELECT 1 FROM ${others(10)} WHERE ${circle(10, 100)})`],
  [
    "many values of a circle",
    `(${repeated(400, () => "a", ", ")}) NOT IN (SELECT ${repeated(400, (i) => `t${i % 3}.b`, ", ")} FROM ${others(3)} WHERE ${circle(3, 1)})`
  ],
  ["circles inside each other", inward(2, "NOT IN").replace("true)", "b = 1)")],
  ["many circles inside each other", inward(30, "NOT IN").replace("true)", "b = 1)")],
  [
    "many circles",
    repeated(
      120,
      (n) => `a NOT IN (SELECT t0.a FROM ${others(3)} WHERE ${circle(3, 1)} AND t2.a = ${n})`,
      " OR "
    )
  ]
]

describe("large conditions with sub-selects", () => {
  let database: TestDatabase
  let known: Database
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    known = await readDatabase(database, schema, ["issues", "others"])
  })
  afterAll(() => database.drop())

  it.each(clauses)("%s", (name, sql) => {
    const from = performance.now()
    const result = compileOver(known, sql)
    const took = performance.now() - from
    const size = Result.isSuccess(result) ? JSON.stringify(result.success).length : 0
    if (process.env["WHERE_VERBOSE"] !== undefined) console.log(name, sql.length, took, size)
    assert.isBelow(took, patient(3000))
    assert.isBelow(size, 100_000 + 20 * sql.length)
  })
})
