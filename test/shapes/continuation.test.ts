import { assert, describe, it } from "@effect/vitest"
import type { ColumnInfo, TableInfo } from "../../src/postgres/catalogue/TableInfo.ts"
import { continuationOf, goesOnAs } from "../../src/shapes/Continuation.ts"
import { makeDefinition, type ShapeRequest } from "../../src/shapes/MakeDefinition.ts"
import { ForbiddenValues } from "../../src/registry/routing/ForbiddenValues.ts"
import { notNullColumns, onceNumbers } from "../../src/shapes/NotNullColumns.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { column, table as tableOf } from "../../testing/postgres/TableInfos.ts"

const type = (typeName: string, typeOid: number, more: Partial<ColumnInfo> = {}) => ({
  typeName,
  typeOid,
  ...more
})
const int4 = type("int4", 23)
const moodOid = 20_000
const mood = type("mood", moodOid, { contents: { [moodOid]: { "1": "sad" } } })
const pair = type("pair", 20_001, { contents: { "20001": [["a", 23, -1]] } })

const items = tableOf(
  [
    column("id", { ...int4, notNull: true }),
    column("title", { ...type("text", 25), notNull: true }),
    column("note", type("varchar", 1043)),
    column("n", int4),
    column("at", type("timestamptz", 1184)),
    column("tags", type("_text", 1009, { element: { typeOid: 25, typeName: "text" } }))
  ],
  { oid: 100, name: "items", primaryKey: ["id"] }
)

const shape = (table: TableInfo, columns?: ReadonlyArray<string>, more: Partial<ShapeRequest> = {}) =>
  makeDefinition(table, {
    selection: {
      columns: table.columns.filter((c) => columns === undefined || columns.includes(c.name)),
      selectsAll: columns === undefined
    },
    where: undefined,
    replica: "default",
    log: "full",
    ...more
  })

const added = (more: Partial<ColumnInfo>): TableInfo => ({
  ...items,
  columns: [...items.columns, column("more", { attnum: 9, ...more })]
})
const changed = (name: string, more: Partial<ColumnInfo>): TableInfo => ({
  ...items,
  columns: items.columns.map((c) => (c.name === name ? { ...c, ...more } : c))
})
const without = (name: string): TableInfo => ({
  ...items,
  columns: items.columns.filter((c) => c.name !== name)
})

/** What happens to the table, and whether shapes of all columns go on, and those of `id`, `title` and `n`. */
const cases: ReadonlyArray<readonly [string, TableInfo, all: boolean, some: boolean]> = [
  ["nothing", items, true, true],
  ["a text is added", added(type("text", 25)), true, true],
  ["a text without NULLs is added", added(type("varchar", 1043, { notNull: true })), true, true],
  ["a label is added", added(mood), true, true],
  ["a number is added", added(int4), false, true],
  ["a composite is added", added(pair), false, true],
  ["a moment is added, for which applications have parsers", added(type("timestamptz", 1184)), false, true],
  [
    "an array is added",
    added(type("_text", 1009, { element: { typeOid: 25, typeName: "text" } })),
    false,
    true
  ],
  ["a column is dropped", without("note"), true, true],
  ["a column that is named is dropped", without("n"), true, false],
  ["a text is renamed", changed("note", { name: "remark" }), true, true],
  ["a number is renamed", changed("n", { name: "m" }), false, false],
  ["varchar becomes text", changed("note", type("text", 25)), true, true],
  ["text becomes a label", changed("note", mood), true, true],
  ["int4 becomes int2", changed("n", type("int2", 21)), true, true],
  ["int4 becomes int8, a BigInt to those who come now", changed("n", type("int8", 20)), true, true],
  ["int4 becomes numeric", changed("n", type("numeric", 1700)), false, false],
  ["int4 becomes text", changed("n", type("text", 25)), false, false],
  [
    "text becomes an array",
    changed("note", type("_text", 1009, { element: { typeOid: 25, typeName: "text" } })),
    false,
    true
  ],
  [
    "another array",
    changed("tags", type("_varchar", 1015, { element: { typeOid: 1043, typeName: "varchar" } })),
    true,
    true
  ],
  ["NULLs may come into a column that had none", changed("title", { notNull: false }), true, true],
  ["NULLs are ruled out", changed("note", { notNull: true }), true, true],
  ["another key", { ...items, primaryKey: ["title"] }, false, false],
  ["another name", { ...items, name: "goods" }, false, false],
  ["another table", { ...items, oid: 101 }, false, false]
]

const columnsOf = (table: TableInfo) =>
  ["id", "title", "n"].filter((name) => table.columns.some((c) => c.name === name))

const after = (before: ShapeDefinition, now: ShapeDefinition): ShapeDefinition => {
  const next = continuationOf(before, now)
  return "reason" in next ? assert.fail(next.reason) : next
}

const where = (sql: string) => ({ where: { sql, expression: {} }, whereColumns: ["note"] })

describe("a shape whose table was altered", () => {
  it.each(cases)("goes on, or not: %s", (_, table, all, some) => {
    assert.strictEqual(goesOnAs(shape(items), shape(table)), all)
    assert.strictEqual(goesOnAs(shape(items, ["id", "title", "n"]), shape(table, columnsOf(table))), some)
    const changes = { log: "changes_only" } as const
    assert.isFalse(goesOnAs(shape(items, undefined, changes), shape(table, undefined, changes)))
    assert.isFalse(goesOnAs(shape(items), shape(table, undefined, { replica: "full" })))
  })

  it("goes on only where every header that clients may hold fits", () => {
    const first = shape(items)
    const second = after(first, shape(without("n")))
    assert.deepStrictEqual(second.earlierHeaders, [first.schemaHeader])
    const again: TableInfo = {
      ...items,
      columns: without("n").columns.concat(column("n", { ...type("text", 25), attnum: 9 }))
    }
    // Who has come since would read it right, and the others as a number.
    assert.isTrue(goesOnAs(shape(without("n")), shape(again)))
    assert.isFalse(goesOnAs(second, shape(again)))
    const noted = after(first, shape(without("note")))
    const back = after(noted, shape(items))
    assert.deepStrictEqual(back.earlierHeaders, [noted.schemaHeader])
    assert.strictEqual(back.schemaHeader, first.schemaHeader)
  })

  it("goes on with the casts that its condition has now, and with no other condition", () => {
    const before = shape(items, undefined, where(`("note")::text ~~ 'n%'::text`))
    const now = changed("note", type("text", 25))
    assert.isTrue(goesOnAs(before, shape(now, undefined, where(`"note" ~~ 'n%'::text`))))
    assert.isFalse(goesOnAs(before, shape(now, undefined, where(`"note" ~~ 'm%'::text`))))
    assert.isFalse(goesOnAs(before, shape(now)))
    // Nothing has happened to the column: it is another condition.
    assert.isFalse(goesOnAs(before, shape(added(type("text", 25)), undefined, where(`"note" ~~ 'n%'::text`))))
  })

  it("has no NULLs in what some header says to have none", () => {
    const second = after(shape(items), shape(without("title")))
    const nullable: TableInfo = {
      ...items,
      columns: without("title").columns.concat(column("title", { ...type("text", 25), attnum: 9 }))
    }
    assert.deepStrictEqual(notNullColumns(after(second, shape(nullable))), ["id", "title"])
    const third = after(second, shape(changed("title", { attnum: 9 })))
    assert.deepStrictEqual(notNullColumns(third), ["id", "title"])
  })

  it("has no values that its clients cannot take", () => {
    const first = shape(items, ["id", "title", "n"])
    const wide = shape(changed("n", type("int8", 20)), ["id", "title", "n"])
    const second = after(first, wide)
    assert.deepStrictEqual([onceNumbers(first), onceNumbers(second), onceNumbers(wide)], [[], ["n"], []])
    const forbidden = new ForbiddenValues(["id", "title", "n"])
    const whyNot = (definition: ShapeDefinition, ...row: ReadonlyArray<string | null>) => {
      forbidden.add(definition)
      const tuple = tupleOf(row)
      const why = forbidden.whyFor(definition, tuple)
      assert.strictEqual(forbidden.isIn(tuple), why !== undefined)
      forbidden.remove(definition)
      assert.isFalse(forbidden.isIn(tuple))
      return why
    }
    assert.match(whyNot(second, "1", null, "1") ?? "", /title .*NOT NULL/)
    for (const exact of ["9007199254740991", "-9007199254740991", null])
      assert.isUndefined(whyNot(second, "1", "a", exact))
    for (const large of ["9007199254740993", "-9223372036854775808"]) {
      assert.match(whyNot(second, "1", "a", large) ?? "", /n .*no bigint/)
      assert.isUndefined(whyNot(wide, "1", "a", large))
    }
    const narrow = after(wide, first)
    assert.isUndefined(whyNot(narrow, "1", "a", "1"))
    assert.isFalse(goesOnAs(wide, shape(changed("n", type("float8", 701)), ["id", "title", "n"])))
  })
})
