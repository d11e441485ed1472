import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Probe, probesOf } from "../../../src/registry/moves/Probes.ts"
import { type Reach, reachesOf } from "../../../src/registry/moves/Reach.ts"
import { isStoredExpression, loadParser, type Plan } from "../../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import { compileOver, type Database, readDatabase } from "../../where/support/members.ts"

const schema = `
CREATE TABLE issues (id int PRIMARY KEY, project int, owner int, status text, due date);
CREATE TABLE projects (id int PRIMARY KEY, org int, kind text, starts timestamp);
CREATE TABLE members (id int PRIMARY KEY, project int, usr int);
CREATE TABLE orgs (id int PRIMARY KEY, owner int)`

/** What is known of a row of `issues` at the places of a condition. */
interface Known {
  readonly probes: ReadonlyArray<Probe>
  readonly reaches: ReadonlyArray<Reach>
}

const tableOf = ({ kind }: Probe) => kind.plan.table.name

/**
 * What becomes of a table that a condition reads is to concern rows that are equal to it in some value, and not all. No rows are asked
 * for where nothing is known of them.
 */
describe("rows that are gone through", () => {
  let database: TestDatabase
  let known: Database
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    known = await readDatabase(database, schema, ["issues", "projects", "members", "orgs"])
  })
  afterAll(() => database.drop())

  const read = (sql: string): Known => {
    const compiled = compileOver(known, sql, {}, false)
    if (Result.isFailure(compiled)) return assert.fail(compiled.failure.message)
    const { expression } = compiled.success
    if (!isStoredExpression(expression)) return assert.fail("no stored expression")
    const plan = JSON.parse(expression.plan) as Plan
    assert.include(expression.plan, '"loop"')
    return {
      probes: probesOf(plan, expression.constants, expression.moves),
      reaches: reachesOf(plan, expression.constants)
    }
  }

  it.each([
    // A circle of tables, of which one is tied to the row, and the others are reached by way of it.
    [
      "EXISTS (SELECT 1 FROM members m, projects p, orgs o WHERE m.usr = issues.owner AND p.id = m.project AND o.id = p.org AND o.owner = m.id)",
      ["members"],
      ["projects<members", "orgs<projects"]
    ],
    // The same values, all the way.
    [
      "EXISTS (SELECT 1 FROM members m, projects p, orgs o WHERE m.project = issues.project AND p.id = m.project AND o.id = p.org AND o.owner = m.usr)",
      ["members", "projects"],
      ["orgs<projects"]
    ],
    [
      "project IN (SELECT p.id FROM projects p JOIN members m ON m.project = p.id JOIN orgs o ON o.id = p.org AND o.owner = m.usr)",
      ["members", "projects"],
      ["orgs<projects"]
    ],
    [
      "(status, owner) IN (SELECT p.kind, m.usr FROM projects p JOIN members m ON m.project = p.id)",
      ["members", "projects"],
      []
    ],
    [
      "owner = (SELECT o.owner FROM projects p JOIN orgs o ON o.id = p.org WHERE p.id = issues.project)",
      ["projects"],
      ["orgs<projects"]
    ],
    [
      "EXISTS (SELECT 1 FROM members m WHERE m.project = issues.project AND NOT EXISTS (SELECT 1 FROM orgs o WHERE o.owner = m.usr AND o.id = issues.owner))",
      ["members", "orgs"],
      []
    ]
  ])("%s", (sql, tied, reached) => {
    const { probes, reaches } = read(sql)
    assert.deepStrictEqual([...new Set(probes.map(tableOf))].toSorted(), tied)
    for (const probe of probes) {
      const values = [...probe.group, ...probe.probe].length
      assert.isAbove(probe.known === undefined ? values : probe.known.length, 0, tableOf(probe))
      assert.isTrue(
        [...(probe.sql?.group ?? []), ...(probe.sql?.probe ?? [])].some((side) => side !== null),
        "Postgres finds them by a value"
      )
    }
    const ways = reaches.map(({ from, to }) => `${from.plan.table.name}<${to.plan.table.name}`)
    assert.deepStrictEqual(ways, reached)
  })
})
