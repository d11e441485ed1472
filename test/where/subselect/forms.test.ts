import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { CompileAside, compileWhere, loadParser, narrowing, tableKey } from "../../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import {
  compileOver,
  type Database,
  readDatabase,
  verdictsOf,
  verdictsOfPostgres
} from "../support/members.ts"

const schema = `
CREATE SCHEMA "Other Place";
CREATE TABLE issues (id int PRIMARY KEY, project_id int, owner_id bigint, title text, state varchar(10), code char(4), at date, flag boolean);
CREATE TABLE projects (id bigint PRIMARY KEY, name text, owner_id int, active boolean, code char(6), at timestamp);
CREATE TABLE members (id int PRIMARY KEY, project_id int, user_id int, role text);
CREATE TABLE "Other Place"."Odd ""Name" (id int PRIMARY KEY, "Value" text, "select" int);
INSERT INTO issues VALUES (1, 1, 1, 'a', 'open', 'x', '2024-01-01', true), (2, 2, 2, 'b', 'done', 'y', NULL, false),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (4, 3, 1, 'one', 'open', 'x', '2024-01-02', NULL), (5, 4, 3, 'b', 'x', 'z', NULL, true);
INSERT INTO projects VALUES (1, 'one', 1, true, 'x', '2024-01-01'), (2, 'two', 2, false, 'y', NULL), (3, NULL, NULL, true, NULL, NULL),
  (4, 'b', 1, NULL, 'z', NULL);
INSERT INTO members VALUES (1, 1, 1, 'admin'), (2, 2, 1, 'guest'), (3, 3, 2, NULL), (4, NULL, 3, 'admin'), (5, 1, NULL, 'guest');
INSERT INTO "Other Place"."Odd ""Name" VALUES (1, 'a', 1), (2, NULL, 2)`

const names = ["issues", "projects", "members", `"Other Place"."Odd ""Name"`]

const clauses = [
  "project_id IN (SELECT id FROM projects)",
  "project_id IN (SELECT id FROM projects WHERE active)",
  "project_id NOT IN (SELECT id FROM projects WHERE active)",
  "NOT project_id IN (SELECT id FROM projects WHERE active)",
  "project_id IN (SELECT project_id FROM members WHERE user_id = 1)",
  "project_id NOT IN (SELECT project_id FROM members)",
  "project_id NOT IN (SELECT project_id FROM members WHERE role = 'nobody')",
  "title IN (SELECT name FROM projects)",
  "title NOT IN (SELECT name FROM projects WHERE id < 3)",
  "state IN (SELECT name FROM projects) OR title = 'a'",
  "code IN (SELECT code FROM projects)",
  "code::text IN (SELECT code FROM projects)",
  "EXISTS (SELECT 1 FROM projects)",
  "EXISTS (SELECT * FROM projects WHERE name = 'nothing')",
  "NOT EXISTS (SELECT FROM members WHERE members.project_id = issues.project_id)",
  "EXISTS (SELECT m.* FROM members m WHERE m.project_id = issues.project_id AND m.user_id = owner_id)",
  "EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id AND p.active)",
  "EXISTS (SELECT 1 FROM projects p WHERE public.issues.project_id = p.id AND (p.active AND p.owner_id = 1) LIMIT 1)",
  "owner_id IN (SELECT user_id FROM members m WHERE m.project_id = issues.project_id)",
  "owner_id NOT IN (SELECT user_id FROM members m WHERE m.project_id = issues.project_id)",
  "project_id IN (SELECT id FROM projects WHERE owner_id IN (SELECT user_id FROM members WHERE role = 'admin'))",
  "project_id IN (SELECT id FROM projects p WHERE EXISTS (SELECT 1 FROM members m WHERE m.project_id = p.id AND role IS NOT NULL))",
  "project_id IN (SELECT id FROM projects WHERE active) AND owner_id IN (SELECT user_id FROM members) OR title = 'b'",
  "id IN (SELECT project_id FROM issues i WHERE i.title = 'b')",
  "id IN (SELECT i.id FROM issues AS i WHERE i.project_id = issues.id)",
  `title IN (SELECT "Value" FROM "Other Place"."Odd ""Name" WHERE "select" > 0)`,
  `EXISTS (SELECT FROM "Other Place"."Odd ""Name" o (key, val) WHERE o.val = title)`,
  "project_id = ANY (SELECT id FROM projects WHERE active)",
  "project_id <> ALL (SELECT id FROM projects WHERE active)",
  "project_id IN (SELECT id FROM projects WHERE active) IS TRUE",
  "(project_id IN (SELECT id FROM projects WHERE name <> 'one')) IS NULL",
  "project_id IN (SELECT project_id FROM members ORDER BY user_id) = flag",
  "CASE WHEN project_id IN (SELECT id FROM projects WHERE active) THEN flag ELSE title = 'b' END",
  "coalesce(owner_id NOT IN (SELECT user_id FROM members), true)",
  "EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id AND issues.flag)",
  "owner_id IN (SELECT owner_id FROM projects WHERE issues.title = 'b')",
  "2 IN (SELECT user_id FROM members WHERE project_id = issues.project_id)",
  "project_id + 1 IN (SELECT id FROM projects)",
  "lower(title) IN (SELECT lower(name) FROM projects)",
  "project_id IN (SELECT id - 1 FROM projects)",
  "'one' IN (SELECT name FROM projects WHERE id = project_id)",
  "NULL IN (SELECT name FROM projects WHERE id = project_id)",
  // Rows are gone through
  "EXISTS (SELECT 1 FROM projects p, members m, issues i WHERE p.id = m.project_id AND m.user_id = i.owner_id AND i.title = p.name)",
  "project_id IN (SELECT p.id FROM projects p JOIN members m ON m.project_id = p.id AND m.user_id = p.owner_id)",
  "(title, owner_id) NOT IN (SELECT p.name, m.user_id FROM projects p JOIN members m ON m.project_id = p.id)",
  "owner_id = (SELECT m.user_id FROM projects p JOIN members m ON m.project_id = p.id WHERE p.id = issues.project_id AND m.role = 'admin')",
  "EXISTS (SELECT 1 FROM projects p WHERE p.id = project_id AND NOT EXISTS (SELECT 1 FROM members m WHERE m.project_id = p.id AND m.user_id = issues.owner_id))",
  "EXISTS (SELECT 1 FROM projects p WHERE p.active OR EXISTS (SELECT 1 FROM members m WHERE m.role = p.name AND m.user_id = issues.owner_id))",
  "owner_id IN (SELECT user_id FROM members WHERE project_id = (SELECT id FROM projects WHERE name = title))",
  "project_id + (SELECT owner_id FROM projects WHERE id = 1) IN (SELECT id FROM projects)",
  "project_id NOT IN (SELECT (SELECT p.owner_id FROM projects p WHERE p.id = m.project_id) FROM members m)",
  "(SELECT p.id FROM projects p WHERE p.id = issues.project_id) = ANY (SELECT project_id FROM members)",
  "'one' = (SELECT p.name FROM projects p WHERE p.id = (SELECT min_one.project_id FROM members min_one WHERE min_one.id = issues.id))",
  // A day and the moment at which it begins
  "at IN (SELECT at FROM projects)",
  "at NOT IN (SELECT at FROM projects WHERE at IS NOT NULL)",
  "EXISTS (SELECT 1 FROM projects p WHERE issues.at = p.at AND p.id = issues.project_id)",
  "'2024-01-01'::timestamptz IN (SELECT i.at FROM issues i WHERE i.id = issues.id)",
  // Rows
  "(project_id, owner_id) IN (SELECT project_id, user_id FROM members)",
  "(owner_id, project_id) IN (SELECT user_id, project_id FROM members WHERE role = 'guest')",
  "(project_id, owner_id) NOT IN (SELECT project_id, user_id FROM members)",
  "(project_id, owner_id) = ANY (SELECT project_id, user_id FROM members)",
  "ROW(project_id, owner_id, title) <> ALL (SELECT id, owner_id, name FROM projects)",
  "(title, 1) IN (SELECT name, owner_id FROM projects)",
  "(project_id, owner_id) IN (SELECT project_id, user_id FROM members WHERE role IS NOT NULL) IS NOT TRUE",
  // Values
  "owner_id = (SELECT owner_id FROM projects WHERE id = project_id)",
  "owner_id < (SELECT owner_id FROM projects p WHERE p.id = issues.project_id AND active)",
  "(SELECT active FROM projects p WHERE p.id = project_id)",
  "NOT (SELECT active FROM projects p WHERE p.id = project_id)",
  "(SELECT name FROM projects p WHERE p.id = project_id) IS NULL",
  "coalesce((SELECT name FROM projects p WHERE p.id = project_id), 'b') = title",
  "title || '!' = (SELECT name || '!' FROM projects p WHERE p.id = project_id)",
  "length((SELECT name FROM projects p WHERE p.id = project_id)) > id - 3",
  "owner_id = (SELECT id FROM projects WHERE name = 'one')",
  "owner_id BETWEEN 1 AND (SELECT id FROM projects WHERE name = 'two')",
  "(SELECT at FROM projects p WHERE p.id = project_id) >= at",
  "owner_id IN (1, (SELECT id FROM projects WHERE name = 'two'))",
  "1 = (SELECT DISTINCT user_id FROM members WHERE user_id = 1)",
  "owner_id = (SELECT user_id FROM members WHERE project_id = issues.project_id AND role = 'guest' AND issues.flag)",
  "owner_id = ANY ((SELECT ARRAY[id, 5] FROM projects p WHERE p.id = project_id)::bigint[])",
  // Joins
  "project_id IN (SELECT p.id FROM projects p, members m WHERE m.project_id = p.id AND m.user_id = 1 AND p.active)",
  "project_id IN (SELECT m.project_id FROM projects p JOIN members m ON m.project_id = p.id WHERE m.user_id = 1 AND p.active)",
  "project_id NOT IN (SELECT m.project_id FROM projects p JOIN members m ON m.project_id = p.id AND p.active WHERE role = 'admin')",
  "EXISTS (SELECT 1 FROM projects p JOIN members m ON m.project_id = p.id WHERE p.id = issues.project_id AND m.role = 'admin')",
  "EXISTS (SELECT 1 FROM projects p JOIN members m ON m.project_id = p.id WHERE m.user_id = p.owner_id AND p.id = issues.project_id)",
  "EXISTS (SELECT 1 FROM projects p, members m WHERE p.id = issues.project_id AND m.user_id = issues.owner_id)",
  "title IN (SELECT name FROM projects p, members m WHERE p.id = issues.project_id AND m.user_id = issues.owner_id)",
  "id IN (SELECT a.id FROM issues a JOIN projects USING (id, code) )",
  "EXISTS (SELECT FROM issues a JOIN projects p USING (id) WHERE id = issues.id AND a.owner_id = p.owner_id)",
  "project_id IN (SELECT m.project_id FROM members m JOIN projects p ON p.id = m.project_id JOIN issues i ON i.project_id = p.id AND i.owner_id = m.user_id)",
  "title = (SELECT DISTINCT p.name FROM projects p JOIN members m ON m.project_id = p.id WHERE p.id = issues.project_id)",
  "owner_id IN (SELECT user_id FROM members, projects)",
  "owner_id NOT IN (SELECT user_id FROM members JOIN projects ON name = 'nobody')",
  // A value of the row around two levels, by one that is equal to it
  "EXISTS (SELECT 1 FROM projects p WHERE p.id = issues.project_id AND EXISTS (SELECT 1 FROM members m WHERE m.user_id = p.owner_id AND m.project_id = issues.project_id))",
  "EXISTS (SELECT 1 FROM projects p WHERE p.id = issues.project_id AND issues.owner_id IN (SELECT user_id FROM members))",
  "EXISTS (SELECT 1 FROM projects p WHERE p.id = issues.project_id AND p.owner_id NOT IN (SELECT user_id FROM members m WHERE m.project_id = issues.project_id))"
]

describe("conditions with sub-selects", () => {
  let database: TestDatabase
  let known: Database
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    known = await readDatabase(database, schema, names)
  })
  afterAll(() => database.drop())

  it.each(clauses)("%s", async (sql) => {
    const expected = await verdictsOfPostgres(known, sql)
    const result = compileOver(known, sql)
    if (Result.isFailure(result)) return assert.fail(result.failure.message)
    assert.strictEqual(await verdictsOfPostgres(known, result.success.sql), expected, result.success.sql)
    assert.strictEqual(verdictsOf(known, result.success), expected, result.success.sql)
  })

  it.each(clauses)("before the condition of a subset: %s", async (sql) => {
    const [shape, subset] = [sql, `(${sql}) AND 10 / id > 2`].map((one) => {
      const result = compileOver(known, one)
      return Result.isFailure(result) ? assert.fail(result.failure.message) : result.success
    })
    const condition = narrowing([shape, subset]) ?? "true"
    const rows = await database.queryText(`SELECT id FROM ONLY issues WHERE ${condition} ORDER BY id`)
    const expected = Array.from((await verdictsOfPostgres(known, sql)) ?? "", (verdict, i) => [
      verdict,
      i + 1
    ])
    assert.deepStrictEqual(
      rows.map((row) => Number(row["id"])),
      expected.flatMap(([verdict, id]) => (verdict === "t" && Number(id) < 4 ? [Number(id)] : []))
    )
  })

  it("a large one is compiled in a thread, to the same", async () => {
    const [own] = known.tables
    const sql = clauses.map((one) => `(${one})`).join(" OR ")
    const request = {
      sql,
      params: {},
      table: own?.info ?? assert.fail(),
      catalogue: known.catalogue,
      tables: new Map(known.tables.map(({ info }) => [tableKey(info), info]))
    }
    const there = await Effect.runPromise(
      Effect.scoped(Effect.flatMap(CompileAside.make, (aside) => aside.compile(request)))
    )
    assert.deepStrictEqual(there, compileWhere(request))
    assert.isTrue(Result.isSuccess(there))
  })
})
