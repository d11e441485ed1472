import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { lookAtCatalogue } from "../../src/postgres/catalogue/CatalogueLook.ts"
import { lookAtMembers } from "../../src/postgres/catalogue/MembersLook.ts"
import {
  lacksChanges,
  lostBetween,
  missedBetween,
  type Published,
  type PublishedBefore,
  publishedBefore,
  publishedIn,
  type PublishedRow,
  publishedSql
} from "../../src/postgres/catalogue/PublishedLook.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"

const known = (publication: string, members: Readonly<Record<number, ReadonlyArray<string>>>) => ({
  publication,
  membersOf: (oid: number) => members[oid]
})
const now = (publication: string, ...members: ReadonlyArray<string>) => ({
  publication,
  isComplete: publication.endsWith(":t"),
  members: new Set(members)
})
const tables = [
  { oid: 1, schema: "s", name: "one" },
  { oid: 2, schema: "s", name: "two" }
]

/** Where all tables are there. */
const missedOf = (before: PublishedBefore, published: Published): string | undefined =>
  missedBetween(before, published, lostBetween(before, published))

describe("what a publication may have lacked", () => {
  it.each([
    ["nothing has happened", known("9/1:t", { 1: ["m"], 2: ["n"] }), now("9/1:t", "m", "n"), undefined],
    ["nothing is known", known("", {}), now("9/1:t"), undefined],
    ["a table came back", known("9/1:t", { 1: ["m"], 2: ["n"] }), now("9/1:t", "k", "n"), /s\.one$/],
    ["a table has left", known("9/1:t", { 2: ["n"] }), now("9/1:t", "m"), /s\.two$/],
    [
      "a table is published in one way less",
      known("9/1:t", { 1: ["m", "s5"] }),
      now("9/1:t", "s5"),
      undefined
    ],
    ["it was altered and is right", known("9/1:t", { 1: ["m"] }), now("9/2:t", "m"), /was altered/],
    ["it is still wrong, for its watch", known("9/1:t", { 1: ["m"] }), now("9/2:f", "m"), undefined],
    ["it is gone, for its watch", known("9/1:t", { 1: ["m"] }), now(""), undefined]
  ] as const)("is told where %s", (_, before, published, expected) => {
    const missed = missedOf(publishedBefore(before, tables), published)
    if (expected === undefined) assert.isUndefined(missed)
    else assert.match(missed ?? "", expected)
  })

  it.each([
    ["nothing is known", "", now("9/2:f"), false],
    ["it has never carried all", "9/1:f", now("9/1:f"), false],
    ["nothing has happened", "9/1:t", now("9/1:t"), false],
    ["it was altered and is right", "9/1:t", now("9/2:t"), false],
    ["it was altered and is wrong", "9/1:t", now("9/2:f"), true],
    ["it is gone", "9/1:t", now(""), true]
  ] as const)("cannot be told while it lacks changes: %s", (_, publication, published, expected) => {
    assert.strictEqual(lacksChanges(publishedBefore(known(publication, {}), tables), published), expected)
  })

  it("is told of what was known before the look", () => {
    const members: Record<number, ReadonlyArray<string>> = { 1: ["m"] }
    const before = publishedBefore(known("9/1:t", members), tables)
    members[2] = ["n"]
    assert.isUndefined(missedOf(before, now("9/1:t", "m")), "the second is younger than the look")
  })
})

describe("a look at how a publication has its tables", () => {
  const db = databaseForFile()

  it.effect("finds the same rows of the catalogue as a whole look", () =>
    Effect.gen(function* () {
      yield* Effect.promise(() =>
        db().query(`
          CREATE SCHEMA apart; CREATE TABLE apart.one (id int); CREATE TABLE two (id int); CREATE TABLE three (id int);
          CREATE TABLE tree (id int) PARTITION BY RANGE (id); CREATE TABLE bare (id int, t text) PARTITION BY RANGE (id);
          CREATE TABLE leaf PARTITION OF tree FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id);
          CREATE TABLE deep PARTITION OF leaf FOR VALUES FROM (0) TO (5);
          CREATE PUBLICATION p FOR TABLE two, three, apart.one, tree`)
      )
      const rows = yield* Effect.promise(() =>
        db().query<{ oid: number }>(
          "SELECT oid::int FROM pg_class WHERE relname IN ('one', 'two', 'three', 'tree', 'bare', 'leaf', 'deep')"
        )
      )
      const oids = rows.map(({ oid }) => oid)
      const database = {
        query: <Row extends object>(sql: string, values: ReadonlyArray<unknown> = []) =>
          Effect.promise(() => db().query<Row>(sql, values))
      }
      const whole = yield* lookAtCatalogue(
        database,
        { publicationName: "p", tables: oids, types: [] },
        140000
      )
      for (const version of [140000, 180000]) {
        const members = yield* lookAtMembers(database, "p", [...oids, 1], version)
        assert.strictEqual(members.publication, whole.publication)
        for (const oid of oids) {
          const { definition: _, ...rest } = whole.tables.get(oid) ?? assert.fail(`${oid} is not found`)
          assert.deepStrictEqual(members.tables.get(oid), rest)
        }
        assert.strictEqual(members.tables.size, oids.length)
      }
      assert.strictEqual((yield* lookAtMembers(database, "none", oids, 140000)).tables.size, 0)
      const look = (name: string) =>
        Effect.map(database.query<PublishedRow>(publishedSql(name, 140000)), ([row]) => publishedIn(row))
      const published = yield* look("p")
      assert.strictEqual(published.publication, whole.publication)
      assert.isTrue(published.isComplete)
      assert.deepStrictEqual(
        [...published.members].toSorted(),
        [...new Set([...whole.tables.values()].flatMap(({ members }) => members))].toSorted()
      )
      assert.deepStrictEqual(yield* look("n'one"), {
        publication: "",
        isComplete: false,
        members: new Set<string>()
      })
    })
  )
})
