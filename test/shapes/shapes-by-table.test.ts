import { assert, describe, it } from "@effect/vitest"
import { makeDefinition } from "../../src/shapes/MakeDefinition.ts"
import { ShapesByTable } from "../../src/shapes/ShapesByTable.ts"
import { ShapeState } from "../../src/storage/state/ShapeState.ts"
import { column, table } from "../../testing/postgres/TableInfos.ts"

const tableOf = (oid: number, name: string) => table([column("id")], { oid, name, primaryKey: ["id"] })
const items = tableOf(1, "items")
const inner = (oid: number, name: string) => ({ table: { oid, schema: "public", name }, columns: [] })

let nextId = 1
const shapeOn = (on: typeof items, members: ReadonlyArray<ReturnType<typeof inner>>): ShapeState => {
  const id = nextId++
  const definition = makeDefinition(on, {
    selection: { columns: on.columns, selectsAll: true },
    where: members.length === 0 ? undefined : { sql: "true", expression: {}, members },
    replica: "default",
    log: "full"
  })
  return ShapeState.made(id, `handle-${id}`, definition, `identity-${id}`, 0)
}

const oidsNamed = (shapes: ShapesByTable<ShapeState>, schema: string, name: string): ReadonlyArray<number> =>
  shapes.tablesNamed(schema, name).map(({ oid }) => oid)

const hasMembers = ({ common }: ShapeState["template"]) => common.where?.members !== undefined

describe("shapes by table", () => {
  it("are found by their own table and by those that their sub-selects read, until they go", () => {
    const shapes = new ShapesByTable<ShapeState>()
    const plain = shapeOn(items, [])
    const member = shapeOn(items, [inner(2, "members"), inner(3, "teams")])
    const self = shapeOn(tableOf(2, "members"), [inner(2, "members")])
    for (const shape of [plain, member, self]) shapes.add(shape)
    assert.deepStrictEqual([...shapes.on(1)], [plain, member])
    assert.deepStrictEqual([...shapes.on(2)], [self])
    assert.deepStrictEqual(shapes.onWhere(1, hasMembers), [member])
    assert.deepStrictEqual(
      shapes.onWhere(1, () => true),
      [plain, member]
    )
    assert.deepStrictEqual(
      shapes.onWhere(7, () => true),
      []
    )
    assert.deepStrictEqual([...shapes.withMembers()], [member, self])
    assert.deepStrictEqual([...shapes.withInner(2)], [member, self])
    assert.deepStrictEqual([...shapes.needing(2)], [self, member])
    assert.deepStrictEqual([...shapes.withInner(1)], [])
    assert.deepStrictEqual(
      shapes.tables().map(({ name, oid }) => `${oid} ${name}`),
      ["1 items", "2 members", "3 teams"]
    )
    assert.strictEqual(shapes.named(3), "table public.teams")
    assert.deepStrictEqual(oidsNamed(shapes, "public", "teams"), [3])
    assert.deepStrictEqual(oidsNamed(shapes, "other", "teams"), [])
    shapes.remove(member)
    assert.deepStrictEqual(oidsNamed(shapes, "public", "teams"), [])
    assert.isTrue(shapes.isInUse(2))
    assert.isFalse(shapes.isInUse(3))
    shapes.remove(self)
    assert.isFalse(shapes.isInUse(2))
    assert.deepStrictEqual(
      shapes.tables().map(({ oid }) => oid),
      [1]
    )
    shapes.remove(plain)
    assert.isTrue(shapes.isEmpty)
  })

  it("are on the same list of tables as long as these are the same", () => {
    const shapes = new ShapesByTable<ShapeState>()
    shapes.add(shapeOn(items, []))
    const one = shapes.tables()
    const second = shapeOn(items, [])
    shapes.add(second)
    assert.strictEqual(shapes.tables(), one)
    assert.deepStrictEqual(oidsNamed(shapes, "public", "items"), [1])
    const other = shapeOn(items, [inner(3, "teams")])
    shapes.add(other)
    const renamed = shapeOn(tableOf(4, "items"), [])
    shapes.add(renamed)
    assert.deepStrictEqual(oidsNamed(shapes, "public", "items"), [1, 4], "one had the name before the other")
    shapes.remove(renamed)
    assert.deepStrictEqual(
      shapes.tables().map(({ oid }) => oid),
      [1, 3]
    )
    const two = shapes.tables()
    shapes.remove(second)
    assert.strictEqual(shapes.tables(), two)
    shapes.remove(other)
    assert.deepStrictEqual(
      shapes.tables().map(({ oid }) => oid),
      [1]
    )
    assert.deepStrictEqual([...shapes.tablesBelow()], [1])
  })
})
