import { assert, describe, it } from "@effect/vitest"
import { compareTables } from "../../src/postgres/catalogue/TableChange.ts"
import type { ColumnInfo } from "../../src/postgres/catalogue/TableInfo.ts"
import { column, table } from "../../testing/postgres/TableInfos.ts"

const id = column("id", { typeOid: 23, typeName: "int4" })
const price = column("price", { typeOid: 1700, typeName: "numeric", typeModifier: 655366 })
const name = column("name", { typeOid: 1043, typeName: "varchar", typeModifier: 14 })
const base = table([id, price, name], { primaryKey: ["id"] })
const tree = table([id], {
  kind: "partitioned",
  leafOids: [11, 12],
  partitions: [
    { oid: 11, parentOid: 1, attached: true },
    { oid: 20, parentOid: 1, attached: true },
    { oid: 12, parentOid: 20, attached: false }
  ]
})

const mood = column("mood", {
  typeOid: 20001,
  contents: { "20001": { "1": "sad", "2": "happy" }, "20002": [["a", 23, -1]] }
})
const withMood = table([id, mood])
const alteredMood = (contents: ColumnInfo["contents"]) =>
  table([id, { ...mood, ...(contents === undefined ? {} : { contents }) }])

const nothing = {
  renamed: false,
  columnsAdded: [],
  columnsDropped: [],
  columnsAltered: [],
  keyChanged: false,
  leavesCreated: [],
  leavesAttached: [],
  leavesRemoved: [],
  ancestorsChanged: false
}

describe("two descriptions of a table", () => {
  it.each([
    ["the same", base, base, undefined],
    [
      "nullable or not",
      base,
      table([{ ...id, notNull: true }, price, name], { primaryKey: ["id"] }),
      undefined
    ],
    [
      "a wider varchar",
      base,
      table([id, price, { ...name, typeModifier: 24 }], { primaryKey: ["id"] }),
      undefined
    ],
    [
      "a label more",
      withMood,
      alteredMood({ "20001": { "1": "sad", "2": "happy", "3": "calm" }, "20002": [["a", 23, -1]] }),
      undefined
    ],
    [
      "a label renamed",
      withMood,
      alteredMood({ "20001": { "1": "sad", "2": "glad" }, "20002": [["a", 23, -1]] }),
      { columnsAltered: ["mood"] }
    ],
    [
      "a field more",
      withMood,
      alteredMood({
        "20001": { "1": "sad", "2": "happy" },
        "20002": [
          ["a", 23, -1],
          ["b", 25, -1]
        ]
      }),
      { columnsAltered: ["mood"] }
    ],
    ["another name", base, { ...base, name: "other" }, { renamed: true }],
    ["another schema", base, { ...base, schema: "other" }, { renamed: true }],
    [
      "a column more",
      base,
      table([id, price, name, column("x")], { primaryKey: ["id"] }),
      { columnsAdded: ["x"] }
    ],
    ["a column less", base, table([id, price], { primaryKey: ["id"] }), { columnsDropped: ["name"] }],
    [
      "a column renamed",
      base,
      table([id, price, { ...name, name: "title" }], { primaryKey: ["id"] }),
      { columnsAdded: ["title"], columnsDropped: ["name"] }
    ],
    [
      "another type",
      base,
      table([{ ...id, typeOid: 20 }, price, name], { primaryKey: ["id"] }),
      { columnsAltered: ["id"] }
    ],
    [
      "another scale, which rewrites values",
      base,
      table([id, { ...price, typeModifier: 655368 }, name], { primaryKey: ["id"] }),
      { columnsAltered: ["price"] }
    ],
    [
      "a column dropped and made anew",
      base,
      { ...base, columns: base.columns.map((old) => (old.name === "price" ? { ...old, attnum: 4 } : old)) },
      { columnsAltered: ["price"] }
    ],
    ["another key", base, { ...base, primaryKey: ["id", "name"] }, { keyChanged: true }],
    [
      "a key in another order",
      { ...base, primaryKey: ["name", "id"] },
      { ...base, primaryKey: ["id", "name"] },
      { keyChanged: true }
    ],
    [
      "a partition created below a known one that was attached once",
      tree,
      {
        ...tree,
        leafOids: [11, 12, 13],
        partitions: [...(tree.partitions ?? []), { oid: 13, parentOid: 20, attached: false }]
      },
      { leavesCreated: [13] }
    ],
    [
      "a partition attached",
      tree,
      {
        ...tree,
        leafOids: [11, 12, 13],
        partitions: [...(tree.partitions ?? []), { oid: 13, parentOid: 20, attached: true }]
      },
      { leavesAttached: [13] }
    ],
    [
      "a tree attached",
      tree,
      {
        ...tree,
        leafOids: [11, 12, 31],
        partitions: [
          ...(tree.partitions ?? []),
          { oid: 30, parentOid: 1, attached: true },
          { oid: 31, parentOid: 30, attached: false }
        ]
      },
      { leavesAttached: [31] }
    ],
    [
      "a partition of which nothing more is known",
      tree,
      { ...tree, leafOids: [11, 12, 13] },
      { leavesAttached: [13] }
    ],
    ["a partition gone", tree, { ...tree, leafOids: [12] }, { leavesRemoved: [11] }],
    ["made a partition", base, { ...base, ancestorOids: [7] }, { ancestorsChanged: true }]
  ])("%s", (_, before, after, expected) => {
    const difference = compareTables(before, after)
    assert.deepStrictEqual(difference, expected === undefined ? undefined : { ...nothing, ...expected })
  })
})
