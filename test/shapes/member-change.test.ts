import { assert, describe, it } from "@effect/vitest"
import type { TableInfo } from "../../src/postgres/catalogue/TableInfo.ts"
import { internDefinition, templateOf } from "../../src/shapes/InternDefinition.ts"
import { makeDefinition } from "../../src/shapes/MakeDefinition.ts"
import { packDefinition, unpackDefinition } from "../../src/shapes/PackedDefinition.ts"
import { isMemberAffectedBy, membersAffectedAmong } from "../../src/shapes/SchemaChange.ts"
import { type ShapeDefinition, shapeIdentity } from "../../src/shapes/ShapeDefinition.ts"
import type { MemberTable } from "../../src/where/index.ts"
import { column, table } from "../../testing/postgres/TableInfos.ts"

const int4 = 23
const text = 25
const varchar = 1043

const members = table(
  [
    column("id", { typeOid: int4, notNull: true, attnum: 1 }),
    column("project_id", { typeOid: int4, attnum: 2 }),
    column("role", { typeOid: varchar, typeModifier: 24, attnum: 3 }),
    column("note", { typeOid: text, attnum: 4 })
  ],
  { oid: 200, name: "members", primaryKey: ["id"] }
)

const reads: MemberTable = {
  table: { oid: 200, schema: "public", name: "members" },
  columns: [
    { name: "project_id", typeOid: int4, attnum: 2, typeModifier: -1 },
    { name: "role", typeOid: varchar, attnum: 3, typeModifier: 24 }
  ]
}

const relationOf = ({ columns, name, oid, schema }: TableInfo) => ({
  oid,
  schema,
  name,
  replicaIdentity: "f" as const,
  columns: columns.map((one) => ({
    name: one.name,
    typeOid: one.typeOid,
    typeModifier: one.typeModifier,
    isKey: true
  }))
})

const altered = (name: string, change: Parameters<typeof column>[1]): TableInfo => ({
  ...members,
  columns: members.columns.map((one) => (one.name === name ? { ...one, ...change } : one))
})
const without = (name: string): TableInfo => ({
  ...members,
  columns: members.columns.filter((one) => one.name !== name)
})

describe("what becomes of a table that sub-selects read", () => {
  it("does not matter as long as it is something that they do not use", () => {
    for (const now of [
      members,
      altered("note", { typeOid: int4 }),
      without("note"),
      without("id"),
      { ...members, primaryKey: [], columns: [...members.columns, column("more")] },
      altered("role", { typeModifier: 104 }),
      altered("project_id", { notNull: true })
    ]) {
      assert.isFalse(isMemberAffectedBy(reads, now))
      assert.isFalse(isMemberAffectedBy(reads, relationOf(now)))
    }
  })

  it("matters where it is the name, the table behind it, or a column that they use", () => {
    for (const now of [
      { ...members, name: "people" },
      { ...members, schema: "other" },
      { ...members, oid: 201 },
      without("role"),
      altered("role", { typeModifier: 14 }),
      altered("project_id", { typeOid: 20 }),
      altered("project_id", { name: "project" })
    ]) {
      assert.isTrue(isMemberAffectedBy(reads, now), JSON.stringify(now))
      assert.isTrue(isMemberAffectedBy(reads, relationOf(now)), JSON.stringify(now))
    }
    // Dropped and added again: only the catalogue tells.
    assert.isTrue(isMemberAffectedBy(reads, altered("role", { attnum: 9 })))
  })

  it("matters where a partition went with its rows, not where one came; rows of a partition are like those of the table", () => {
    const parted: TableInfo = { ...members, kind: "partitioned", leafOids: [301, 302] }
    const readsParted = { ...reads, leafOids: [301, 302] }
    assert.isFalse(isMemberAffectedBy(readsParted, parted))
    assert.isFalse(isMemberAffectedBy(readsParted, { ...parted, leafOids: [301, 302, 303] }))
    assert.isTrue(isMemberAffectedBy(readsParted, { ...parted, leafOids: [302] }))
    const leaf = relationOf({ ...members, oid: 301, name: "members_1" })
    assert.isFalse(isMemberAffectedBy(readsParted, leaf))
    assert.isTrue(isMemberAffectedBy(readsParted, { ...leaf, columns: leaf.columns.slice(0, 1) }))
  })

  it("is judged for each shape by what its own sub-selects use", () => {
    const role = { members: [{ ...reads, columns: reads.columns.slice(1) }] }
    const project = { members: [{ ...reads, columns: reads.columns.slice(0, 1) }] }
    const other = { members: [{ ...reads, table: { ...reads.table, oid: 9, name: "others" } }] }
    const shapes = [role, project, other, { members: [] }, role]
    assert.deepStrictEqual(membersAffectedAmong(shapes, 200, without("role")), [role, role])
    assert.deepStrictEqual(membersAffectedAmong(shapes, 200, without("project_id")), [project])
    assert.deepStrictEqual(membersAffectedAmong(shapes, 9, without("role")), [other])
  })
})

describe("a definition with sub-selects", () => {
  const items = table([column("id", { typeOid: int4, notNull: true })], {
    oid: 100,
    name: "items",
    primaryKey: ["id"]
  })
  const definition = (constant: string, inner: MemberTable = reads): ShapeDefinition =>
    makeDefinition(items, {
      selection: { columns: items.columns, selectsAll: true },
      where: {
        sql: `id IN (SELECT project_id FROM members WHERE role = '${constant}')`,
        expression: {
          version: 1,
          plan: '{"a":"plan"}',
          constants: [constant],
          columns: ["id"],
          moves: [{ nullable: false, probe: ["id"] }]
        },
        classification: "indexed",
        members: [inner]
      },
      whereColumns: ["id"],
      replica: "default",
      log: "full"
    })

  it("is another one where a name in it means another table", () => {
    const renewed = { ...reads, table: { ...reads.table, oid: 205 } }
    assert.notStrictEqual(
      shapeIdentity(definition("a", renewed)),
      shapeIdentity(definition("a")),
      "the text of the clause is the same"
    )
    const stored = JSON.parse(JSON.stringify(definition("a"))) as ShapeDefinition
    assert.strictEqual(shapeIdentity(stored), shapeIdentity(definition("a")))
    const plain = { ...definition("a"), where: undefined }
    assert.isArray(JSON.parse(shapeIdentity(plain)))
    assert.isArray(JSON.parse(shapeIdentity(definition("a"))))
  })

  it("is held in memory as it was, and shares what it has in common with others", () => {
    const one = internDefinition(definition("a"))
    const two = internDefinition(definition("b"))
    assert.deepStrictEqual(one, definition("a"))
    assert.deepStrictEqual(unpackDefinition(packDefinition(one)), definition("a"))
    assert.deepStrictEqual(unpackDefinition(packDefinition(two)), definition("b"))
    assert.strictEqual(templateOf(one), templateOf(two))
    assert.strictEqual(one.where?.members, two.where?.members)
    const other = internDefinition(definition("c", { ...reads, columns: [] }))
    assert.notStrictEqual(templateOf(one), templateOf(other))
  })
})
