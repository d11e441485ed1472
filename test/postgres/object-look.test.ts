import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, beforeAll } from "vitest"
import { describeObject, isAnother, lookAtObjects } from "../../src/postgres/ObjectLook.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"

describe("facts about an object", () => {
  it.each([
    ["nothing has happened", "a b", "a b", false],
    ["something came", "a b", "a c b", false],
    ["something is another one", "a b", "a c", true],
    ["it is gone", "a", "", true],
    ["nothing was known", "", "a", false]
  ] as const)("say whether it is another one when %s", (_, before, now, expected) => {
    assert.strictEqual(isAnother(before, now), expected)
  })
})

describe("a look at objects", () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createDatabase()
    await database.query(`
      CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TYPE pair AS (a int, b int); CREATE DOMAIN small AS int CHECK (VALUE < 10);
      CREATE COLLATION mine (provider = libc, locale = 'C');
      CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'`)
  })
  afterAll(() => database.drop())

  const objects = {
    f: '["f","public","f","23"]',
    mood: '["t","public","mood"]',
    pair: '["t","public","pair"]',
    small: '["t","public","small"]',
    mine: '["c","public","mine"]',
    database: '["d"]'
  }
  const take = async () => {
    const [version] = await database.query<{ readonly version: number }>(
      "SELECT current_setting('server_version_num')::int4 AS version"
    )
    const admin = {
      query: <Row extends object>(sql: string, params: ReadonlyArray<unknown> = []) =>
        Effect.promise(() => database.query<Row>(sql, params))
    }
    return Effect.runPromise(lookAtObjects(admin, Object.values(objects), version?.version ?? 0))
  }

  it("sees what has become another one, and nothing else", async () => {
    const cases: ReadonlyArray<readonly [sql: string, changed: ReadonlyArray<keyof typeof objects>]> = [
      ["CREATE TABLE other (id int)", []],
      ["CREATE OR REPLACE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'", []],
      ["DROP FUNCTION f; CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'", []],
      ["ALTER FUNCTION f(int) COST 3; COMMENT ON FUNCTION f(int) IS 'x'", []],
      ["CREATE FUNCTION f(text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'", []],
      ["ALTER FUNCTION f(int) STRICT", ["f"]],
      ["ALTER FUNCTION f(int) SET search_path = public", ["f"]],
      ["CREATE OR REPLACE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -$1'", ["f"]],
      ["ALTER TYPE mood ADD VALUE 'c' BEFORE 'a'", []],
      ["ALTER TYPE mood RENAME VALUE 'a' TO 'd'", ["mood"]],
      ["ALTER TYPE pair ADD ATTRIBUTE c int", ["pair"]],
      ["ALTER DOMAIN small ADD CONSTRAINT positive CHECK (VALUE > 0)", ["small"]],
      ["ALTER COLLATION mine RENAME TO yours", ["mine"]],
      ["DROP FUNCTION f(int)", ["f"]]
    ]
    for (const [sql, changed] of cases) {
      const before = await take()
      await database.query(sql)
      const now = await take()
      const found = Object.entries(objects).filter(([, key]) =>
        isAnother(before.get(key) ?? "", now.get(key) ?? "")
      )
      assert.deepStrictEqual(
        found.map(([name]) => name),
        [...changed],
        sql
      )
    }
    assert.notStrictEqual((await take()).get(objects.database), "")
  })

  it("names them", () => {
    assert.strictEqual(describeObject(objects.f), "the function public.f")
    assert.strictEqual(describeObject(objects.database), "the collation of the database")
    assert.strictEqual(describeObject('["x",1,23]'), "a cast")
  })
})
