import { assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { databaseForTest, serviceForTest, storageForTest, untilLooked } from "./support/faults.ts"

const ask = async (url: string, parameters: Readonly<Record<string, string>>) => {
  const response = await fetch(`${url}/v1/shape?${new URLSearchParams({ table: "t", ...parameters })}`)
  const body: unknown = await response.json()
  const messages = Array.isArray(body)
    ? (body as ReadonlyArray<{ readonly value?: { readonly id?: unknown } }>)
    : []
  return {
    status: response.status,
    handle: response.headers.get("electric-handle") ?? "",
    ids: messages.flatMap(({ value }) => (value === undefined ? [] : [value.id])).toSorted()
  }
}

const setUp = `
  CREATE TYPE mood AS ENUM ('sad', 'happy');
  CREATE TABLE t (id int PRIMARY KEY, v mood); INSERT INTO t VALUES (1, 'sad'), (2, 'happy');
  CREATE FUNCTION wanted(id int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT id = 1';
  CREATE FUNCTION deep(id int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT id';
  CREATE FUNCTION outermost(id int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN Deep(id); END';
  CREATE FUNCTION alike(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 = $2';
  CREATE FUNCTION unlike(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 <> $2';
  CREATE OPERATOR === (FUNCTION = alike, LEFTARG = int, RIGHTARG = int);
  CREATE FUNCTION one(mood) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT CASE $1 WHEN ''sad'' THEN 1 ELSE 2 END';
  CREATE FUNCTION two(mood) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT CASE $1 WHEN ''sad'' THEN 2 ELSE 1 END';
  CREATE CAST (mood AS int) WITH FUNCTION one(mood);
  CREATE FUNCTION steady(id int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT id = 1';
  CREATE FUNCTION unused(id int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT id = 1'`

/** By condition, each of which holds for row 1 before, and for row 2 afterwards. */
const altered = ["wanted(id)", "outermost(id) = 1", "id === 1", "v::int = 1"]
const alteration = `
  CREATE OR REPLACE FUNCTION wanted(id int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT id = 2';
  CREATE OR REPLACE FUNCTION deep(id int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 3 - id';
  DROP OPERATOR === (int, int); CREATE OPERATOR === (FUNCTION = unlike, LEFTARG = int, RIGHTARG = int);
  DROP CAST (mood AS int); CREATE CAST (mood AS int) WITH FUNCTION two(mood);`
const steady = ["steady(id)", "id = 1", "v = 'sad'", "v::text ILIKE 's%'"]
const nothingForThem = `
  CREATE OR REPLACE FUNCTION steady(id int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT id = 1';
  GRANT EXECUTE ON FUNCTION steady(int) TO PUBLIC; ALTER FUNCTION steady(int) COST 7;
  CREATE OR REPLACE FUNCTION unused(id int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT id = 2';
  ALTER TYPE mood ADD VALUE 'calm'`

const prepare = async () => {
  const database = await databaseForTest()
  const storageDir = storageForTest()
  await database.query(setUp)
  const start = () => serviceForTest({ database, storageDir })
  const service = await start()
  const handles = new Map<string, string>()
  for (const where of [...altered, ...steady]) {
    const { handle, ids, status } = await ask(service.url, { where, offset: "-1" })
    assert.deepStrictEqual([status, ids], [200, ["1"]], where)
    handles.set(where, handle)
  }
  const expectNews = async (url: string) => {
    for (const where of altered)
      await eventually(`the shape with ${where} is fetched again`, async () => {
        const handle = handles.get(where) ?? ""
        assert.strictEqual((await ask(url, { where, handle, offset: "0_0" })).status, 409)
        assert.deepStrictEqual((await ask(url, { where, offset: "-1" })).ids, ["2"])
        return true
      })
    const settled = await Promise.all(altered.map((where) => ask(url, { where, offset: "-1" })))
    await untilLooked(database)
    const later = await Promise.all(altered.map((where) => ask(url, { where, offset: "-1" })))
    assert.deepStrictEqual(later, settled)
    for (const where of steady)
      assert.strictEqual((await ask(url, { where, offset: "-1" })).handle, handles.get(where), where)
  }
  return { database, service, start, expectNews }
}

describe("functions, operators and casts of the database's own that conditions use", () => {
  it("cost the shapes that use them when they become others, and nobody else anything", async () => {
    const { database, expectNews, service } = await prepare()
    await database.query(alteration)
    await database.query(nothingForThem)
    await expectNews(service.url)
    assert.match(service.logs(), /the function public\.wanted, which its condition uses, is not what it was/)
  })

  it("do so when that was while nobody was there to see", async () => {
    const { database, expectNews, service, start } = await prepare()
    await service.stop("SIGKILL")
    await database.query(alteration)
    await database.query(nothingForThem)
    const next = await start()
    await expectNews(next.url)
  })

  it("cost a client nothing that has been given nothing yet", async () => {
    const { database, service } = await prepare()
    const holder = await database.connect()
    await holder.query("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    // Its rows wait for the lock, until the function is found to be another one.
    const asked = ask(service.url, { where: "wanted(id) AND id > 0", offset: "-1" })
    await eventually("the first rows wait for the lock", async () => {
      const waiting = await database.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
      )
      return waiting.length > 0
    })
    await database.query(alteration)
    await eventually("the alteration is noticed", () =>
      service.logs().includes("the function public.wanted, which its condition uses, is not what it was")
    )
    await holder.query("COMMIT")
    const { ids, status } = await asked
    assert.deepStrictEqual([status, ids], [200, ["2"]])
  })
})
