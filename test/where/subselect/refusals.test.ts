import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { compileWhere, loadParser, type StoredExpression } from "../../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import { compileOver, type Database, readDatabase, verdictsOf } from "../support/members.ts"

const schema = `
CREATE TABLE issues (id int PRIMARY KEY, project_id int, owner_id int, title text, at date, doc json, fold text, made int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE projects (id int PRIMARY KEY, name text, owner_id int, at timestamp, doc json, body tsvector, made int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE members (id int PRIMARY KEY, project_id int, user_id int);
CREATE TABLE parted (id int, project_id int) PARTITION BY LIST (id);
CREATE TABLE part PARTITION OF parted DEFAULT;
CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
ALTER TABLE issues ALTER fold TYPE text COLLATE folded;
INSERT INTO issues VALUES (1, 1, 1), (2, 2, NULL);
INSERT INTO projects VALUES (1, 'a', 1), (2, 'b', 2);
INSERT INTO members VALUES (1, 1, 1), (2, 2, 2);
INSERT INTO parted VALUES (1, 1)`

/** A clause, and what its refusal says. */
const refusals: ReadonlyArray<readonly [string, string, string?]> = [
  [
    "project_id IN (SELECT id FROM projects LIMIT 5)",
    "At location 11: LIMIT is not supported in a sub-select: which rows it leaves away depends on all others; write a condition into WHERE"
  ],
  [
    "EXISTS (SELECT id FROM projects LIMIT 0)",
    "At location 0: LIMIT is not supported in a sub-select: which rows it leaves away depends on all others; write a condition into WHERE"
  ],
  [
    "owner_id = (SELECT id FROM projects LIMIT 1)",
    "At location 11: LIMIT is not supported in a sub-select: a sub-select that is compared with = must have one row at most by its condition"
  ],
  [
    "project_id IN (SELECT id FROM projects OFFSET 1)",
    "At location 11: OFFSET is not supported in a sub-select: which rows it leaves away depends on all others; write a condition into WHERE"
  ],
  [
    "project_id IN (SELECT owner_id FROM projects GROUP BY owner_id)",
    "At location 11: GROUP BY is not supported in a sub-select: leave it away, the same value may be selected many times"
  ],
  [
    "EXISTS (SELECT 1 FROM projects HAVING true)",
    "At location 0: HAVING is not supported in a sub-select: write a condition on single rows into WHERE"
  ],
  [
    "EXISTS (SELECT count(*) FROM projects)",
    "At location 15: aggregates are not supported in a sub-select: ask for single rows, as in EXISTS (SELECT 1 FROM ... WHERE ...)"
  ],
  [
    "project_id = (SELECT max(id) FROM projects)",
    "At location 21: aggregates are not supported in a sub-select: ask for single rows, as in EXISTS (SELECT 1 FROM ... WHERE ...)"
  ],
  [
    "project_id IN (SELECT row_number() OVER () FROM projects)",
    "At location 22: aggregates are not supported in a sub-select: ask for single rows, as in EXISTS (SELECT 1 FROM ... WHERE ...)"
  ],
  [
    "project_id IN (SELECT id FROM projects UNION SELECT project_id FROM members)",
    "At location 11: UNION is not supported in a sub-select: join two sub-selects with OR"
  ],
  [
    "project_id IN (SELECT id FROM projects INTERSECT SELECT project_id FROM members)",
    "At location 11: INTERSECT is not supported in a sub-select: join two sub-selects with AND"
  ],
  [
    "project_id IN (SELECT id FROM projects EXCEPT SELECT project_id FROM members)",
    "At location 11: EXCEPT is not supported in a sub-select: write value IN (SELECT ...) AND value NOT IN (SELECT ...)"
  ],
  [
    "project_id IN (WITH p AS (SELECT id FROM projects) SELECT id FROM p)",
    "At location 11: WITH is not supported in a sub-select: put its condition into the sub-select, as value IN (SELECT ...)"
  ],
  [
    "project_id IN (VALUES (1), (2))",
    "At location 11: VALUES is not supported in a sub-select: write value IN (1, 2) instead"
  ],
  [
    "project_id IN (SELECT 1)",
    "At location 11: SELECT without FROM is not supported in a sub-select: write the value or the condition itself"
  ],
  [
    "project_id IN (SELECT DISTINCT ON (owner_id) id FROM projects)",
    "At location 11: DISTINCT ON is not supported in a sub-select: leave it away, or write a condition into WHERE"
  ],
  [
    "project_id IN (SELECT id FROM projects FOR UPDATE)",
    "At location 11: FOR UPDATE or FOR SHARE is not supported in a sub-select: leave it away"
  ],
  [
    "EXISTS (SELECT 1 FROM projects p LEFT JOIN members m ON m.project_id = p.id)",
    "At location 0: an outer join in a sub-select is not supported: write JOIN for rows that have a partner, or NOT EXISTS (SELECT ...) for those that have none"
  ],
  [
    "EXISTS (SELECT 1 FROM projects NATURAL JOIN members)",
    "At location 0: NATURAL JOIN is not supported: name the columns, as in JOIN ... USING (id)"
  ],
  [
    "EXISTS (SELECT 1 FROM (SELECT id FROM projects) p)",
    "At location 0: a sub-select in FROM of a sub-select is not supported: name the table itself there"
  ],
  [
    "EXISTS (SELECT 1 FROM generate_series(1, 2) p)",
    "At location 0: a function in FROM of a sub-select is not supported: name the table itself there"
  ],
  [
    "EXISTS (SELECT 1 FROM projects TABLESAMPLE system (10))",
    "At location 0: TABLESAMPLE in FROM of a sub-select is not supported: name the table itself there"
  ],
  [
    "EXISTS (SELECT 1 FROM projects, projects)",
    "At location 0: table name projects is used twice in a sub-select: give one of them an alias"
  ],
  [
    "EXISTS (SELECT 1 FROM projects p JOIN members m ON m.user_id > p.owner_id)",
    "At location 61: the tables of a sub-select can only be joined by conditions of the form one.column = other.column, joined by AND: write another condition on a single table"
  ],
  [
    "EXISTS (SELECT 1 FROM ONLY parted)",
    "At location 27: ONLY leaves no rows of a partitioned table: leave it away"
  ],
  [
    "EXISTS (SELECT 1 FROM other.public.projects)",
    "At location 22: the name of a database in front of a table is not supported: leave it away"
  ],
  [
    "project_id < ANY (SELECT id FROM projects)",
    "At location 11: < ANY (SELECT ...) is not supported: only IN, = ANY and <> ALL compare with the values of a sub-select"
  ],
  [
    "project_id = ALL (SELECT id FROM projects)",
    "At location 11: = ALL (SELECT ...) is not supported: only IN, = ANY and <> ALL compare with the values of a sub-select"
  ],
  [
    "project_id = ANY (ARRAY(SELECT id FROM projects))",
    "At location 18: ARRAY(SELECT ...) is not supported: write value IN (SELECT ...) to ask whether a value is among those selected"
  ],
  [
    "project_id IN (SELECT * FROM projects)",
    "At location 22: * is only supported in EXISTS (SELECT * ...): name the columns"
  ],
  [
    "project_id IN (SELECT id, owner_id FROM projects)",
    "At location 11: the left side of IN (SELECT ...) has 1 value but 2 are selected"
  ],
  [
    "(project_id, owner_id) IN (SELECT id FROM projects)",
    "At location 23: the left side of IN (SELECT ...) has 2 values but 1 is selected"
  ],
  [
    "(project_id, owner_id) = (SELECT id, owner_id FROM projects)",
    "At location 25: a sub-select that is a value must select one column: write (a, b) IN (SELECT x, y ...) to compare several"
  ],
  [
    "EXISTS (SELECT 1 FROM projects p WHERE p.owner_id > issues.owner_id)",
    "At location 52: owner_id of the row around a sub-select can only be used in conditions of the form column = owner_id, joined by AND in its WHERE: write another condition on it outside the sub-select"
  ],
  [
    "EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id AND (issues.owner_id = 1 OR EXISTS (SELECT 1 FROM members m WHERE m.user_id = p.owner_id)))",
    "At location 62: owner_id of the row around a sub-select can only be used in conditions of the form column = owner_id, joined by AND in its WHERE: write another condition on it outside the sub-select"
  ],
  [
    "EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id OR p.name = 'a')",
    "At location 46: project_id of the row around a sub-select can only be used in conditions of the form column = project_id, joined by AND in its WHERE: write another condition on it outside the sub-select"
  ],
  [
    "owner_id IN (SELECT p.owner_id + issues.id FROM projects p)",
    "At location 31: the list of a SELECT inside a clause can only name columns of its own tables, not of the row around it: write such a comparison outside the sub-select"
  ],
  [
    "project_id IN (SELECT id FROM projects WHERE to_tsvector('english', name) @@ to_tsquery('english', 'a'))",
    "only Postgres evaluates function ts_match_vq, which cannot stand in one clause with a sub-select: store the value in a column of its own"
  ],
  [
    "project_id IN (SELECT id FROM projects) AND title COLLATE \"en-x-icu\" > 'a'",
    "only Postgres evaluates text_gt for these types or this collation, which cannot stand in one clause with a sub-select: store the value in a column of its own"
  ],
  [
    "project_id IN (SELECT id FROM projects WHERE random() > 0.5)",
    "At location 45: unknown or unsupported function random/0: it is volatile, a shape needs results that follow from the row alone"
  ],
  [
    "EXISTS (SELECT 1 FROM projects WHERE at > now())",
    "At location 42: unknown or unsupported function now/0: it is stable, a shape needs results that follow from the row alone"
  ],
  [
    "fold IN (SELECT name FROM projects)",
    'At location 5: values of a sub-select cannot be compared under a non-deterministic collation: add COLLATE "C"'
  ],
  [
    "project_id IN (SELECT made FROM projects)",
    "column made is generated and its values are not part of the replication stream"
  ],
  [
    "project_id IN (SELECT id FROM nothing)",
    'Table \\"public\\".\\"nothing\\" does not exist. If the table name contains capitals or special characters you must quote it.'.replaceAll(
      "\\",
      ""
    ),
    "table"
  ],
  [
    'project_id IN (SELECT id FROM "Else"."Where" w)',
    'Table "Else"."Where" does not exist. If the table name contains capitals or special characters you must quote it.',
    "table"
  ],
  [
    "project_id IN (SELECT nothing FROM projects)",
    "The following columns are not found on the table: nothing",
    "columns"
  ],
  ["project_id IN (SELECT id FROM projects WHERE nothing = 1)", "At location 45: unknown reference nothing"],
  [
    "project_id IN (SELECT p.id FROM projects p WHERE projects.id = 1)",
    "At location 49: unknown reference projects.id"
  ],
  [
    "project_id IN (SELECT id FROM projects p, members m WHERE p.id = m.id)",
    "At location 22: column reference id is ambiguous"
  ],
  ["issues.project_id IN (SELECT id FROM projects)", "At location 0: unknown reference issues.project_id"],
  ["project_id IN (SELECT id FROM projects WHERE name = $2)", "At location 52: parameter $2 was not provided"]
]

describe("what a sub-select cannot have", () => {
  let database: TestDatabase
  let known: Database
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    known = await readDatabase(database, schema, ["issues", "projects", "members", "parted"])
  })
  afterAll(() => database.drop())

  it.each(refusals.map(([sql, message, parameter = "where"]) => ({ sql, message, parameter })))(
    "$sql",
    ({ message, parameter, sql }) => {
      const result = compileOver(known, sql)
      if (Result.isSuccess(result)) return assert.fail(`accepted as ${result.success.sql}`)
      assert.deepStrictEqual([result.failure.message, result.failure.parameter], [message, parameter])
    }
  )

  it("what changes nothing is allowed", () => {
    const forms = [
      "project_id IN (SELECT id FROM projects)",
      "project_id IN (SELECT DISTINCT id FROM projects)",
      "project_id IN (SELECT id FROM projects ORDER BY name)",
      "project_id IN (SELECT ALL p.id AS other FROM public.projects AS p LIMIT ALL)",
      "project_id = ANY (SELECT id FROM ONLY projects)"
    ].map((sql) => {
      const result = compileOver(known, sql)
      return Result.isSuccess(result) ? result.success.sql : result.failure.message
    })
    assert.deepStrictEqual(
      new Set(forms),
      new Set(["project_id IN (SELECT s1.id FROM ONLY public.projects AS s1)"])
    )
  })

  it("parameters are those of the clause, and have one type throughout", () => {
    const result = compileOver(
      known,
      "owner_id = $1 AND project_id IN (SELECT project_id FROM members WHERE user_id = $1 AND id = $2)",
      { "1": "1", "2": "1" }
    )
    if (Result.isFailure(result)) return assert.fail(result.failure.message)
    assert.strictEqual(verdictsOf(known, result.success), "tf")
    const wrong = compileOver(known, "title = $1 AND project_id IN (SELECT id FROM projects WHERE id = $1)", {
      "1": "x"
    })
    assert.isTrue(Result.isFailure(wrong))
  })

  it("a condition of a subset has no sub-selects, nor has one for which tables are not told", () => {
    const own = known.tables[0]?.info ?? assert.fail()
    const request = {
      sql: "project_id IN (SELECT id FROM projects)",
      params: {},
      table: own,
      catalogue: known.catalogue
    }
    const result = compileWhere(request)
    assert.strictEqual(
      Result.isFailure(result) ? result.failure.message : "",
      "At location 11: subqueries are not supported in where clauses yet"
    )
  })

  it("every table is told of once, with the columns that are read", () => {
    const result = compileOver(
      known,
      "project_id IN (SELECT id FROM projects WHERE owner_id IN (SELECT user_id FROM members)) OR EXISTS (SELECT name FROM projects p WHERE p.name = title AND p.owner_id = 3) OR EXISTS (SELECT FROM parted)"
    )
    if (Result.isFailure(result)) return assert.fail(result.failure.message)
    const { expression, members } = result.success
    assert.deepStrictEqual(
      members?.map(({ columns, table }) => [table.name, columns.map(({ name }) => name)]),
      [
        ["projects", ["id", "name", "owner_id"]],
        ["members", ["user_id"]],
        ["parted", []]
      ]
    )
    assert.deepStrictEqual((expression as StoredExpression).columns, ["project_id", "title"])
  })
})
