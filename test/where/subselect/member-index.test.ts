import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { noMembership, type Membership, useMembership } from "../../../src/where/evaluate/Membership.ts"
import {
  FilterIndex,
  loadParser,
  makeMatchList,
  clearMatchList,
  makeRunnable
} from "../../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import { standardLimits } from "../../../src/config/Limits.ts"
import { compileOver, type Database, readDatabase, verdictsOf } from "../support/members.ts"
import { naiveMembership } from "../support/naiveMembership.ts"
import { Random } from "../support/random.ts"

const seed = Number(process.env["WHERE_SEED"] ?? Date.now() % 1_000_000)

const schema = `
CREATE TABLE issues (id int PRIMARY KEY, project_id int, owner_id bigint, title text);
CREATE TABLE projects (id bigint PRIMARY KEY, name text, owner_id int, active boolean);
CREATE TABLE members (id int PRIMARY KEY, project_id int, user_id int, role text);
INSERT INTO issues SELECT n, NULLIF(n % 7, 0), NULLIF(n % 5, 0), 't' || n % 3 FROM generate_series(1, 60) n;
INSERT INTO projects SELECT n, 't' || n % 4, NULLIF(n % 3, 0), n % 2 = 0 FROM generate_series(1, 6) n;
INSERT INTO members SELECT n, NULLIF(n % 6, 0), NULLIF(n % 9, 0), NULLIF('r' || n % 3, 'r2') FROM generate_series(1, 30) n`

const knows = (expression: unknown, text: string, constants: string): boolean => {
  const { plan, constants: values } = expression as { plan: string; constants: ReadonlyArray<string> }
  return plan.includes(text) && values.includes(constants)
}

const templates: ReadonlyArray<(n: number) => string> = [
  (n) => `project_id IN (SELECT project_id FROM members WHERE user_id = ${n})`,
  (n) => `project_id IN (SELECT project_id FROM members WHERE user_id = ${n}) AND title <> 't1'`,
  (n) => `project_id IN (SELECT project_id FROM members WHERE user_id = ${n}) OR owner_id = ${n}`,
  (n) =>
    `EXISTS (SELECT 1 FROM members m WHERE m.project_id = issues.project_id AND m.user_id = issues.owner_id AND role = 'r${n % 3}')`,
  (n) => `owner_id IN (SELECT user_id FROM members m WHERE m.project_id = issues.project_id AND m.id > ${n})`,
  (n) =>
    `project_id IN (SELECT id FROM projects WHERE active AND id IN (SELECT project_id FROM members WHERE user_id = ${n}))`,
  (n) => `project_id NOT IN (SELECT project_id FROM members WHERE user_id = ${n} AND project_id IS NOT NULL)`,
  (n) => `EXISTS (SELECT 1 FROM members WHERE user_id = ${n}) AND owner_id = 2`,
  (n) => `project_id + ${n} IN (SELECT id FROM projects)`,
  (n) => `lower(title) IN (SELECT name FROM projects WHERE owner_id = ${n})`,
  (n) =>
    `EXISTS (SELECT 1 FROM members m, projects p, issues i WHERE m.user_id = ${n} AND m.project_id = issues.project_id AND p.owner_id = m.project_id AND p.name = i.title AND i.owner_id = m.user_id)`,
  (n) =>
    `owner_id IN (SELECT m.user_id FROM members m, projects p, issues i WHERE m.role = 'r${n % 3}' AND p.owner_id = m.project_id AND p.name = i.title AND i.owner_id = m.user_id AND i.id > ${n})`
]

describe("shapes found by what their sub-selects give", () => {
  let database: TestDatabase
  let known: Database
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    known = await readDatabase(database, schema, ["issues", "projects", "members"])
  })
  afterAll(() => database.drop())

  const compiled = (sql: string) => {
    const result = compileOver(known, sql, {}, false)
    return Result.isFailure(result) ? assert.fail(`${sql}: ${result.failure.message}`) : result.success
  }

  it("the index finds what evaluation finds, as shapes come and go", () => {
    const random = new Random(seed)
    const own = known.tables[0] ?? assert.fail()
    const clauses = Array.from({ length: 120 }, () => compiled(random.pick(templates)(random.below(10))))
    const all = clauses.map((clause) => naiveMembership(clause, known.tables))
    // Each clause has one of its own, which knows its sub-selects: the one that knows answers.
    const asked: Membership = {
      any: (kind, constants, ...rest) => one(kind.text, constants).any(kind, constants, ...rest),
      exists: (kind, constants, group) => one(kind.text, constants).exists(kind, constants, group),
      value: (kind, constants, group) => one(kind.text, constants).value(kind, constants, group),
      rows: (kind, constants, group) => one(kind.text, constants).rows(kind, constants, group),
      having: (kind, link) => new Set(all.flatMap((membership) => [...membership.having(kind, link)]))
    }
    const one = (text: string, constants: string): Membership => {
      const at = clauses.findIndex((clause) => knows(clause.expression, text, constants))
      return all[at] ?? assert.fail("nobody knows this sub-select")
    }
    const index = new FilterIndex(own.columns, standardLimits, undefined, undefined, asked)
    const verdicts = clauses.map((clause) => verdictsOf(known, clause))
    const present = new Set<number>()
    const list = makeMatchList()
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 40; i++) {
        const id = random.below(clauses.length)
        if (random.chance(0.6)) {
          index.add(id, makeRunnable(clauses[id] ?? assert.fail(), own.columns))
          present.add(id)
        } else {
          index.remove(id)
          present.delete(id)
        }
      }
      for (const [row, tuple] of own.rows.entries()) {
        clearMatchList(list)
        index.match(tuple, list)
        const found = [...list.ids.subarray(0, list.count)].toSorted((a, b) => a - b)
        const expected = [...present].filter((id) => verdicts[id]?.[row] === "t").toSorted((a, b) => a - b)
        assert.deepStrictEqual(found, expected, `WHERE_SEED=${seed}, row ${row + 1}`)
        assert.deepStrictEqual([list.errors.length, list.undecided.length], [0, 0])
      }
    }
    useMembership(noMembership)
  })

  it("a clause whose sub-select must give something is indexed", () => {
    const classes = templates.map((template) => {
      const { classification, reason } = compiled(template(1))
      return `${classification}: ${reason}`
    })
    assert.deepStrictEqual(classes, [
      "indexed: by membership of project_id in members",
      "indexed: by membership of project_id in members",
      "indexed: by membership of project_id in members or equality on owner_id",
      "indexed: by membership of project_id, owner_id in members",
      "indexed: by membership of project_id, owner_id in members",
      "indexed: by membership of project_id in projects",
      "evaluated: no sub-select that must give something for the row, and no comparison with a constant, is one that an index answers",
      "indexed: by equality on owner_id",
      "evaluated: no sub-select that must give something for the row, and no comparison with a constant, is one that an index answers",
      "indexed: by membership of an expression in projects",
      "indexed: by membership of project_id in members",
      "indexed: by membership of owner_id in members"
    ])
  })

  it("clauses that differ in constants only share one form, and one kind of sub-select", () => {
    const [one, other] = [compiled(templates[0]?.(1) ?? ""), compiled(templates[0]?.(2) ?? "")]
    const plans = [one, other].map(({ expression }) => (expression as { plan: string }).plan)
    assert.strictEqual(plans[0], plans[1])
    assert.notStrictEqual(one.sql, other.sql)
  })

  it("without a membership of its own it leaves what is in use", () => {
    const own = known.tables[0] ?? assert.fail()
    const clause = compiled("project_id IN (SELECT id FROM projects WHERE active)")
    const index = new FilterIndex(own.columns)
    index.add(1, makeRunnable(clause, own.columns))
    useMembership(naiveMembership(clause, known.tables))
    const list = makeMatchList()
    const verdicts = own.rows.map((row) => {
      clearMatchList(list)
      index.match(row, list)
      return list.count === 1 ? "t" : "-"
    })
    useMembership(noMembership)
    assert.strictEqual(verdicts.join(""), verdictsOf(known, clause).replaceAll(/[fn]/g, "-"))
  })
})
