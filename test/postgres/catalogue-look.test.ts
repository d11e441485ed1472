import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, beforeAll, inject } from "vitest"
import {
  type CatalogueLook,
  type LookedAt,
  lookAtCatalogue,
  newsBetween
} from "../../src/postgres/catalogue/CatalogueLook.ts"
import { alteredAmong, mayHaveOtherValues } from "../../src/postgres/catalogue/RewriteLook.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"

const look = (
  tables: Readonly<Record<number, string>>,
  more: Partial<CatalogueLook> = {}
): CatalogueLook => ({
  snapshot: "1:1:",
  version: "",
  around: [],
  tables: new Map(
    Object.entries(tables).map(([oid, text]) => {
      const [definition = "", ...members] = text.split(" ")
      return [Number(oid), { definition, members, stored: "7.2.9" }]
    })
  ),
  types: new Map(),
  publication: "9/1:t",
  isComplete: true,
  ...more
})

const at = (tables: ReadonlyArray<number>, types: ReadonlyArray<number> = []): LookedAt => ({
  publicationName: "p",
  tables,
  types
})

describe("two looks at the catalogue", () => {
  it.each([
    ["nothing has happened", { 1: "a m" }, { 1: "a m" }, [], []],
    ["a table is new to the look", {}, { 1: "a m" }, [1], []],
    ["a table is not there", {}, {}, [1], []],
    ["a table went", { 1: "a m" }, {}, [1], []],
    ["a table was altered", { 1: "a m" }, { 1: "b m" }, [1], []],
    ["a table left the publication", { 1: "a m" }, { 1: "a" }, [], [1]],
    ["a table left the publication and came back", { 1: "a m" }, { 1: "a n" }, [], [1]],
    ["a table was published in another way as well", { 1: "a m" }, { 1: "a m n" }, [], []],
    ["a table is published in one way less", { 1: "a m n" }, { 1: "a n" }, [], []],
    ["a table came into the publication", { 1: "a" }, { 1: "a m" }, [], []]
  ] as const)("tell when %s", (_, before, now, tables, unpublished) => {
    const news = newsBetween(look(before), look(now), at([1]))
    assert.deepStrictEqual([...news.tables], [...tables])
    assert.deepStrictEqual([...news.unpublished], [...unpublished])
    assert.isFalse(news.publicationAltered)
  })

  it("take the first one for no news of the publication, and for news of everything else", () => {
    const news = newsBetween(undefined, look({ 1: "a m" }, { types: new Map([[5, "x"]]) }), at([1], [5, 6]))
    assert.deepStrictEqual([[...news.tables], [...news.types], news.altered], [[1], [5, 6], false])
    assert.isFalse(news.publicationAltered)
    const altered = newsBetween(look({}), look({}, { publication: "9/2:f", isComplete: false }), at([]))
    assert.deepStrictEqual([altered.publicationAltered, altered.publicationIsComplete], [true, false])
  })
})

describe("a look, and what is known from before it", () => {
  it.each([
    ["is as it was", "9/1:t", ["m"], [], false],
    ["left the publication and came back", "9/1:t", ["l"], [1], false],
    ["is in a publication that was altered", "9/0:t", ["m"], [], true],
    ["is in another publication of the name", "8/1:t", ["l"], [1], true],
    ["was never looked at", "", undefined, [], false],
    ["was published with all tables", "9/1:t", [], [], false]
  ] as const)("tell that a table %s", (_, publication, members, unpublished, isAltered) => {
    const before = { publication, membersOf: () => members, storedOf: () => undefined }
    for (const earlier of [undefined, look({ 1: "a m" })]) {
      const news = newsBetween(earlier, look({ 1: "a m" }), at([1]), before)
      assert.deepStrictEqual([[...news.unpublished], news.publicationAltered], [[...unpublished], isAltered])
    }
  })
})

describe("a look at the catalogue", () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createDatabase()
    await database.query(
      `CREATE TYPE mood AS ENUM ('a'); CREATE TYPE pair AS (a int); CREATE SCHEMA s; CREATE SCHEMA other;
       CREATE TABLE s.t (id int PRIMARY KEY, v text NOT NULL, m mood, p pair);
       CREATE TABLE s.tree (id int, v text) PARTITION BY RANGE (id);
       CREATE TABLE s.leaf PARTITION OF s.tree FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
       CREATE TABLE s.deep PARTITION OF s.leaf FOR VALUES FROM (0) TO (5);
       CREATE TABLE s.lone (id int, v text); CREATE PUBLICATION pub FOR TABLE s.tree, s.t`
    )
  })
  afterAll(() => database.drop())

  const oidOf = async (name: string, kind: "regclass" | "regtype" = "regclass") => {
    const [row] = await database.query<{ readonly oid: string }>(
      `SELECT '${name}'::${kind}::oid::text AS oid`
    )
    return Number(row?.oid)
  }

  const take = async (before?: CatalogueLook) => {
    const tables = [await oidOf("s.t"), await oidOf("s.tree"), await oidOf("s.deep")]
    const types = [await oidOf("mood", "regtype"), await oidOf("pair", "regtype")]
    const looked: LookedAt = { publicationName: "pub", tables, types }
    const admin = {
      query: <Row extends object>(sql: string, params: ReadonlyArray<unknown> = []) =>
        Effect.promise(() => database.query<Row>(sql, params))
    }
    const [version] = await database.query<{ readonly version: number }>(
      "SELECT current_setting('server_version_num')::int4 AS version"
    )
    const now = await Effect.runPromise(lookAtCatalogue(admin, looked, version?.version ?? 0, before))
    return { admin, now, looked, tables, types }
  }

  const seen = async (sql: string) => {
    const { looked, now: before } = await take()
    await database.query(sql)
    const { now } = await take(before)
    const names = new Map(
      [...looked.tables, ...looked.types].map(
        (oid, i) => [oid, ["t", "tree", "deep", "mood", "pair"][i]] as const
      )
    )
    const news = newsBetween(before, now, looked)
    return {
      changed: [...news.tables, ...news.types].map((oid) => names.get(oid)),
      unpublished: [...news.unpublished].map((oid) => names.get(oid)),
      publication: news.publicationAltered
    }
  }

  /** Of which tables rows may have got other values, without a word in the stream. */
  const rewritten = async (sql: string) => {
    const { looked, now: before } = await take()
    await database.query(sql)
    const { admin, now } = await take(before)
    const candidates = newsBetween(before, now, looked).rewritten
    const altered = await Effect.runPromise(alteredAmong(admin, candidates))
    return ["t", "tree", "deep"].filter((_, i) => altered.has(looked.tables[i] ?? 0))
  }

  const published = async (sql: string) => {
    const { publication, unpublished } = await seen(sql)
    return [unpublished, publication]
  }

  it("sees every alteration, and nothing where there is none", async () => {
    const quiet = { unpublished: [], publication: false }
    const cases: ReadonlyArray<readonly [sql: string, changed: ReadonlyArray<string>]> = [
      ["INSERT INTO s.t VALUES (1, 'x', 'a', NULL); ANALYZE s.t; INSERT INTO s.lone VALUES (1)", []],
      ["ALTER TABLE s.lone ADD COLUMN more int", []],
      ["ALTER TABLE s.t RENAME COLUMN v TO w", ["t"]],
      ["ALTER TABLE s.t ALTER COLUMN w DROP NOT NULL", ["t"]],
      ["ALTER TABLE s.t ADD COLUMN more int", ["t"]],
      ["ALTER TABLE s.t DROP COLUMN more", ["t"]],
      ["ALTER TABLE s.t ALTER COLUMN w TYPE varchar(20)", ["t"]],
      ["ALTER TABLE s.t DROP CONSTRAINT t_pkey", ["t"]],
      ["ALTER TABLE s.t ADD PRIMARY KEY (id)", ["t"]],
      ["ALTER TABLE s.t REPLICA IDENTITY FULL", ["t"]],
      ["ALTER TABLE s.t RENAME TO u; ALTER TABLE s.u RENAME TO t", ["t"]],
      ["TRUNCATE s.t", ["t"]],
      ["ALTER TABLE s.t SET SCHEMA other; ALTER TABLE other.t SET SCHEMA s", ["t"]],
      ["ALTER SCHEMA s RENAME TO x; ALTER SCHEMA x RENAME TO s", ["t", "tree", "deep"]],
      ["ALTER TYPE mood ADD VALUE 'b'", ["mood"]],
      ["ALTER TYPE mood RENAME VALUE 'b' TO 'c'", ["mood"]],
      ["ALTER TYPE mood RENAME TO feeling; ALTER TYPE feeling RENAME TO mood", ["mood"]],
      ["ALTER TYPE pair ADD ATTRIBUTE b int", ["pair"]],
      ["ALTER TYPE pair DROP ATTRIBUTE b", ["pair"]],
      ["CREATE TABLE s.new PARTITION OF s.tree FOR VALUES FROM (10) TO (20)", ["tree"]],
      ["ALTER TABLE s.tree DETACH PARTITION s.new", ["tree"]],
      ["ALTER TABLE s.tree ATTACH PARTITION s.new FOR VALUES FROM (10) TO (20)", ["tree"]],
      ["DROP TABLE s.new", ["tree"]],
      ["CREATE TABLE s.new PARTITION OF s.leaf FOR VALUES FROM (5) TO (10)", ["tree"]],
      ["ALTER TABLE s.new SET UNLOGGED", ["tree"]],
      ["ALTER TABLE s.tree RENAME COLUMN v TO w", ["tree", "deep"]]
    ]
    for (const [sql, changed] of cases) {
      const { changed: found, ...rest } = await seen(sql)
      assert.deepStrictEqual({ changed: found, ...rest }, { ...quiet, changed: [...changed] }, sql)
    }
  })

  it("is the look before, as long as nothing is altered, however much is written", async () => {
    const { now: before } = await take()
    await database.query("INSERT INTO s.t VALUES (2, 'x', 'a', NULL); CREATE INDEX ON s.lone (id)")
    const { now } = await take(before)
    assert.notStrictEqual(now.snapshot, before.snapshot)
    assert.strictEqual(now.tables, before.tables)
    const { now: quiet } = await take(now)
    assert.strictEqual(quiet.tables, before.tables)
    await database.query("ALTER TABLE s.t ALTER COLUMN w SET DEFAULT 'x'")
    assert.notStrictEqual((await take(quiet)).now.tables, before.tables)
    // What comes with the new look is what the next one is compared with.
    const { now: whole } = await take()
    const { now: next } = await take(whole)
    // Other databases of the cluster have transactions, too.
    assert.deepStrictEqual({ ...next, snapshot: whole.snapshot }, whole)
  })

  it("sees whose rows may have other values, of which no change tells", async () => {
    const cases: Array<readonly [sql: string, tables: ReadonlyArray<string>]> = [
      ["ALTER TABLE s.t ALTER COLUMN w TYPE varchar(20) USING upper(w)", ["t"]],
      ["ALTER TABLE s.tree ALTER COLUMN w TYPE text USING upper(w)", ["tree", "deep"]],
      ["TRUNCATE s.t", []],
      ["VACUUM FULL s.t", []],
      ["CLUSTER s.t USING t_pkey", []],
      ["ALTER TABLE s.t ALTER COLUMN w SET NOT NULL", []],
      ["ALTER TABLE s.t ADD COLUMN made uuid DEFAULT gen_random_uuid()", []],
      ["ALTER TABLE s.t DROP COLUMN made, ALTER COLUMN w DROP NOT NULL", []],
      [
        "CREATE TABLE s.late (id int, w text); ALTER TABLE s.tree ATTACH PARTITION s.late FOR VALUES FROM (90) TO (99)",
        []
      ]
    ]
    if (inject("pg").majorVersion >= 17)
      cases.push(
        ["ALTER TABLE s.t ADD COLUMN made text GENERATED ALWAYS AS (upper(w)) STORED", []],
        ["ALTER TABLE s.t ALTER COLUMN made SET EXPRESSION AS (lower(w))", ["t"]]
      )
    for (const [sql, tables] of cases) assert.deepStrictEqual(await rewritten(sql), [...tables], sql)
    assert.isFalse(mayHaveOtherValues("7.2.9", "8.2.9"))
    assert.isFalse(mayHaveOtherValues("7.2.9", "7.2.8"))
    assert.isTrue(mayHaveOtherValues("7.2.9", "8.2.8"))
  })

  it("sees what was not published meanwhile, by name, root or schema", async () => {
    const detached = "ALTER TABLE s.tree DETACH PARTITION s.leaf"
    assert.deepStrictEqual(await published(detached), [["deep"], false])
    const attached = "ALTER TABLE s.tree ATTACH PARTITION s.leaf FOR VALUES FROM (0) TO (10)"
    assert.deepStrictEqual(await published(attached), [[], false])
    assert.deepStrictEqual(await published("ALTER PUBLICATION pub ADD TABLE s.lone"), [[], false])
    assert.deepStrictEqual(await published("ALTER PUBLICATION pub DROP TABLE s.t"), [["t"], false])
    assert.deepStrictEqual(await published("ALTER PUBLICATION pub ADD TABLE s.t"), [[], false])
    const again = "ALTER PUBLICATION pub DROP TABLE s.tree; ALTER PUBLICATION pub ADD TABLE s.tree"
    assert.deepStrictEqual(await published(again), [["tree", "deep"], false])
    assert.deepStrictEqual(await published("ALTER PUBLICATION pub ADD TABLE s.deep"), [[], false])
    assert.deepStrictEqual(await published(again), [["tree"], false])
    const toggled = "ALTER PUBLICATION pub SET (publish = 'insert'); ALTER PUBLICATION pub RESET"
    assert.deepStrictEqual(
      await published(
        toggled.replace(
          "ALTER PUBLICATION pub RESET",
          "ALTER PUBLICATION pub SET (publish = 'insert, update, delete, truncate')"
        )
      ),
      [[], true]
    )
    if (inject("pg").majorVersion < 15) return
    assert.deepStrictEqual(await published("ALTER PUBLICATION pub ADD TABLES IN SCHEMA s"), [[], false])
    assert.deepStrictEqual(await published("ALTER PUBLICATION pub DROP TABLE s.t"), [[], false])
    const schema =
      "ALTER PUBLICATION pub DROP TABLES IN SCHEMA s; ALTER PUBLICATION pub ADD TABLES IN SCHEMA s"
    assert.deepStrictEqual(await published(schema), [["t"], false])
  })
})
