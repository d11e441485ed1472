import { assert, describe, it } from "@effect/vitest"
import type { Relation } from "../../src/postgres/Relation.ts"
import type { ColumnInfo, TableInfo } from "../../src/postgres/catalogue/TableInfo.ts"
import { column, table as tableOf } from "../../testing/postgres/TableInfos.ts"
import { makeDefinition, type ShapeRequest } from "../../src/shapes/MakeDefinition.ts"
import {
  affectedAmong,
  affectedTemplate,
  gainedAttached,
  isAffectedBy,
  partitionsChanged
} from "../../src/shapes/SchemaChange.ts"
import { packDefinition } from "../../src/shapes/PackedDefinition.ts"
import { type ShapeDefinition, shapeIdentity } from "../../src/shapes/ShapeDefinition.ts"

const int4 = 23
const text = 25
const varchar = 1043
const numeric = 1700

const items = tableOf(
  [
    column("id", { typeOid: int4, notNull: true }),
    column("title", { notNull: true }),
    column("note", { typeOid: varchar, typeModifier: 24 }),
    column("price", { typeOid: numeric, typeModifier: ((10 << 16) | 2) + 4 }),
    column("sum", { typeOid: int4, generated: "stored" })
  ],
  { oid: 100, name: "items", primaryKey: ["id"] }
)

const where = { sql: "note = 'x'", expression: {} }

const partition = (oid: number, parentOid: number, attached: boolean) => ({ oid, parentOid, attached })

const shape = (
  columns: ReadonlyArray<string> | undefined,
  more: Partial<ShapeRequest> = {},
  table: TableInfo = items
): ShapeDefinition =>
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

const all = shape(undefined)
const titles = shape(["id", "title"])
const filtered = shape(["id", "title"], { where, whereColumns: ["note"] })
const filteredSomehow = shape(["id", "title"], { where })

/** As a server before Postgres 18 describes the table: without generated columns. */
const relationOf = (table: TableInfo): Relation => ({
  oid: table.oid,
  schema: table.schema,
  name: table.name,
  replicaIdentity: "f",
  columns: table.columns
    .filter((c) => c.generated === "no")
    .map(({ name, typeModifier, typeOid }) => ({ name, typeOid, typeModifier, isKey: true }))
})
const completeRelationOf = (table: TableInfo): Relation => ({
  ...relationOf(table),
  columns: table.columns.map(({ name, typeModifier, typeOid }) => ({
    name,
    typeOid,
    typeModifier,
    isKey: true
  }))
})

const changeColumn = (name: string, change: Partial<ColumnInfo>): TableInfo => ({
  ...items,
  columns: items.columns.map((c) => (c.name === name ? { ...c, ...change } : c))
})
const dropColumn = (name: string): TableInfo => ({
  ...items,
  columns: items.columns.filter((c) => c.name !== name)
})

type Affected = readonly [all: boolean, titles: boolean, filtered: boolean, filteredSomehow: boolean]

const none: Affected = [false, false, false, false]
const every: Affected = [true, true, true, true]

/** What happens to the table, and which shapes go: those of all columns, of two, of two filtered by a third. */
const changes: ReadonlyArray<readonly [string, TableInfo, Affected]> = [
  ["nothing", items, none],
  ["the table is renamed", { ...items, name: "goods" }, every],
  ["the table moves to another schema", { ...items, schema: "old" }, every],
  ["another table takes its name", { ...items, oid: 101 }, every],
  [
    "a column is added",
    { ...items, columns: [...items.columns, column("more", { attnum: 6 })] },
    [true, false, false, false]
  ],
  ["an unselected column is dropped", dropColumn("price"), [true, false, false, true]],
  ["the filtered column is dropped", dropColumn("note"), [true, false, true, true]],
  ["a selected column is dropped", dropColumn("title"), every],
  ["a selected column is renamed", changeColumn("title", { name: "heading" }), every],
  ["a selected column changes type", changeColumn("title", { typeOid: varchar }), every],
  ["the filtered column changes type", changeColumn("note", { typeOid: text }), [true, false, true, true]],
  ["an unselected column changes type", changeColumn("price", { typeOid: int4 }), [true, false, false, true]],
  ["the filtered column grows", changeColumn("note", { typeModifier: 104 }), none],
  ["the filtered column loses its limit", changeColumn("note", { typeModifier: -1 }), none],
  ["the filtered column shrinks", changeColumn("note", { typeModifier: 14 }), [true, false, true, true]],
  [
    "numbers get more digits before the point",
    changeColumn("price", { typeModifier: ((12 << 16) | 2) + 4 }),
    none
  ],
  [
    "numbers get more digits behind the point",
    changeColumn("price", { typeModifier: ((12 << 16) | 3) + 4 }),
    [true, false, false, true]
  ]
]

describe("a schema change affects a shape", () => {
  it.each(changes)("when %s: as the catalogue tells it", (_, table, affected) => {
    assert.deepStrictEqual(
      [all, titles, filtered, filteredSomehow].map((definition) => isAffectedBy(definition, table)),
      [...affected]
    )
  })

  it.each(changes)("when %s: as the stream tells it", (_, table, affected) => {
    const selectable = shape(["id", "title", "note", "price"])
    assert.strictEqual(isAffectedBy(all, completeRelationOf(table)), affected[0])
    assert.deepStrictEqual(
      [titles, filtered, filteredSomehow].map((definition) => isAffectedBy(definition, relationOf(table))),
      affected.slice(1)
    )
    if (affected[1]) assert.isTrue(isAffectedBy(selectable, relationOf(table)))
  })

  it.each(changes)("when %s: many shapes as each of them alone", (_, table) => {
    const kinds = [all, titles, filtered, filteredSomehow, shape(["id", "note"]), shape(["id", "sum"])]
    // Shapes that share their parts, as those from storage do, and more kinds than verdicts are kept of.
    const shapes = Array.from({ length: 60 }, (_unused, i) => {
      const kind = kinds[i % kinds.length] as ShapeDefinition
      const definition = i % 4 === 0 ? { ...kind, columns: [...kind.columns] } : { ...kind }
      return { definition, template: packDefinition(i % 3 === 0 ? kind : definition).template }
    })
    for (const now of [table, relationOf(table)]) {
      assert.deepStrictEqual(
        affectedAmong(shapes, now),
        shapes.filter(({ definition }) => isAffectedBy(definition, now))
      )
      const isAffected = affectedTemplate(now)
      for (const definition of kinds)
        assert.strictEqual(isAffected(packDefinition(definition).template), isAffectedBy(definition, now))
    }
  })

  it("when what only the catalogue knows changes", () => {
    const replaced = changeColumn("title", { attnum: 9 })
    assert.isTrue(isAffectedBy(titles, replaced), "dropped and added again")
    assert.isTrue(isAffectedBy(titles, { ...items, primaryKey: ["title"] }), "another key")
    assert.isTrue(isAffectedBy(titles, { ...items, primaryKey: [] }), "no key")
    assert.isTrue(isAffectedBy(titles, changeColumn("title", { notNull: false })), "may be NULL now")
    assert.isFalse(
      isAffectedBy(shape(["id", "note"]), changeColumn("title", { notNull: false })),
      "unselected"
    )
    assert.isFalse(isAffectedBy(shape(["id", "note"]), changeColumn("note", { notNull: true })), "stricter")
  })

  it("not when the publication leaves generated columns out, unless the shape uses them", () => {
    assert.isFalse(isAffectedBy(titles, relationOf(items)))
    assert.isFalse(isAffectedBy(filteredSomehow, relationOf(items)))
    assert.isTrue(isAffectedBy(all, relationOf(items)))
    assert.isTrue(isAffectedBy(shape(["id", "sum"]), relationOf(items)))
    assert.isTrue(isAffectedBy(shape(["id"], { where, whereColumns: ["sum"] }), relationOf(items)))
    assert.isFalse(isAffectedBy(all, completeRelationOf(items)))
  })

  it("when a table without primary key gets another column: every column is part of the key", () => {
    const keyless = { ...items, primaryKey: [], columns: items.columns.filter((c) => c.generated === "no") }
    const definition = shape(["id", "title", "note", "price"], {}, keyless)
    assert.deepStrictEqual(definition.keyColumns, ["id", "title", "note", "price"])
    const wider = { ...keyless, columns: [...keyless.columns, column("more", { attnum: 6 })] }
    assert.isFalse(isAffectedBy(definition, relationOf(keyless)))
    assert.isTrue(isAffectedBy(definition, relationOf(wider)))
    assert.isTrue(isAffectedBy(definition, wider))
    assert.isTrue(isAffectedBy(definition, { ...keyless, primaryKey: ["id"] }))
  })

  it("by a partition's columns, not by its name or the order of its columns", () => {
    const leaf = { ...relationOf(items), oid: 200, name: "items_2026" }
    const turned = { ...leaf, columns: leaf.columns.toReversed() }
    assert.isFalse(isAffectedBy(titles, turned))
    assert.isTrue(isAffectedBy(titles, relationOf({ ...dropColumn("title"), oid: 200, name: "items_2026" })))
  })

  it("when a partition came that was attached, and nobody saw it", () => {
    const tree = (
      partitions: ReadonlyArray<ReturnType<typeof partition>>,
      leafOids: ReadonlyArray<number>
    ) => ({
      ...items,
      kind: "partitioned" as const,
      partitions,
      leafOids
    })
    const before = [partition(101, 100, true), partition(110, 100, true), partition(111, 110, false)]
    const known = [101, 111]
    // However those came that the shape was made with.
    assert.isFalse(gainedAttached(known, tree(before, known)))
    assert.isFalse(gainedAttached(known, tree([...before, partition(102, 100, false)], [...known, 102])))
    assert.isFalse(gainedAttached(known, tree([...before, partition(112, 110, false)], [...known, 112])))
    assert.isTrue(gainedAttached(known, tree([...before, partition(102, 100, true)], [...known, 102])))
    assert.isTrue(
      gainedAttached(
        known,
        tree([...before, partition(120, 100, true), partition(121, 120, false)], [...known, 121])
      )
    )
  })

  it("when partitions go", () => {
    const parted = { ...items, kind: "partitioned" as const, leafOids: [201, 202] }
    const definition = shape(["id"], {}, parted)
    assert.isFalse(isAffectedBy(definition, parted))
    assert.isFalse(isAffectedBy(definition, { ...parted, leafOids: [201, 202, 203] }), "created empty")
    assert.isTrue(isAffectedBy(definition, { ...parted, leafOids: [201] }), "detached")
    assert.isFalse(partitionsChanged([201, 203], { ...parted, leafOids: [201, 203] }))
  })
})

describe("definitions", () => {
  it("hold columns in attribute order and the key in key order", () => {
    const table = { ...items, primaryKey: ["title", "id"] }
    const definition = shape(["title", "id", "note"], {}, table)
    assert.deepStrictEqual(definition.columns, ["id", "title", "note"])
    assert.deepStrictEqual(definition.keyColumns, ["title", "id"])
    assert.deepStrictEqual(Object.keys(JSON.parse(definition.schemaHeader)), ["id", "title", "note"])
  })

  it("survive being stored as JSON", () => {
    assert.deepStrictEqual(JSON.parse(JSON.stringify(filtered)), filtered)
    assert.strictEqual(
      shapeIdentity(JSON.parse(JSON.stringify(filtered)) as ShapeDefinition),
      shapeIdentity(filtered)
    )
    assert.isFalse(isAffectedBy(JSON.parse(JSON.stringify(filtered)) as ShapeDefinition, items))
  })

  it("of equal requests have one identity, those of different ones do not", () => {
    const different = [
      all,
      titles,
      filtered,
      shape(items.columns.map((c) => c.name)),
      shape(["id", "title"], { replica: "full" }),
      shape(["id", "title"], { log: "changes_only" }),
      shape(undefined, {}, { ...items, oid: 101 })
    ].map(shapeIdentity)
    assert.strictEqual(new Set(different).size, different.length)
    assert.strictEqual(shapeIdentity(shape(["title", "id"])), shapeIdentity(titles))
  })
})
