import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { selectColumns } from "../../src/postgres/catalogue/ColumnSelection.ts"
import { column, table } from "../../testing/postgres/TableInfos.ts"

const items = table([column("id"), column("name"), column("qty")], { primaryKey: ["id"] })
const pair = table([column("a"), column("b"), column("c")], { primaryKey: ["b", "a"] })
const keyless = table([column("a"), column("b"), column("c")])
const computed = table([column("id"), column("total", { generated: "stored" })], { primaryKey: ["id"] })
const virtual = table([column("id"), column("total", { generated: "virtual" })], { primaryKey: ["id"] })

const select = (
  from: typeof items,
  requested: ReadonlyArray<string> | undefined,
  queryable?: ReadonlyArray<string>,
  version = 180004
) =>
  Result.match(selectColumns(from, requested, queryable, version), {
    onFailure: ({ parameter, message }): unknown => ({ [parameter]: message }),
    onSuccess: ({ columns, selectsAll }): unknown => [columns.map(({ name }) => name).join(","), selectsAll]
  })

const missingKey = "The list of columns must include all primary key columns, missing: "
const notFound = "The following columns are not found on the table: "
const generated = "The following columns are generated and cannot be included in the shape: "
const hint =
  ". You can exclude them from the shape by explicitly listing which columns to fetch in the 'columns' query param"

describe("the columns of a shape", () => {
  it.each([
    ["all when none are named", select(items, undefined), ["id,name,qty", true]],
    ["in attribute order, however they are named", select(items, ["qty", "id"]), ["id,qty", false]],
    ["none but all of the key", select(items, ["id"]), ["id", false]],
    ["without a part of the key", select(pair, ["a", "c"]), { columns: `${missingKey}b` }],
    ["without the key, in the key's order", select(pair, ["c"]), { columns: `${missingKey}b, a` }],
    ["of a table without a key: all or error", select(keyless, ["a"]), { columns: `${missingKey}b, c` }],
    ["of a table without a key: all", select(keyless, ["c", "b", "a"]), ["a,b,c", false]],
    ["unknown", select(items, ["id", "nope", "ID"]), { columns: `${notFound}nope, ID` }],
    ["twice", select(items, ["id", "name", "name"]), { columns: `${notFound}name` }],
    ["missing key before unknown", select(items, ["nope"]), { columns: `${missingKey}id` }],
    ["within the queryable ones", select(items, undefined, ["id", "qty"]), ["id,qty", false]],
    ["outside the queryable ones", select(items, ["id", "name"], ["id"]), { columns: `${notFound}name` }],
    [
      "queryable without key",
      select(items, undefined, ["name"]),
      { queryable_columns: "The list of queryable columns must include all primary key columns, missing: id" }
    ],
    [
      "queryable unknown",
      select(items, undefined, ["id", "x"]),
      { queryable_columns: "The following queryable columns are not found on the table: x" }
    ],
    ["stored generated on 18", select(computed, undefined), ["id,total", true]],
    [
      "stored generated on 17",
      select(computed, ["id", "total"], undefined, 170010),
      { columns: `${generated}total` }
    ],
    [
      "stored generated on 17, unnamed",
      select(computed, undefined, undefined, 170010),
      { columns: `${generated}total${hint}` }
    ],
    [
      "virtual generated, on any version",
      select(virtual, undefined),
      {
        columns: `${generated}total. A table with virtual columns has no shapes: make each STORED, or drop it`
      }
    ],
    ["generated ones left out", select(virtual, ["id"], undefined, 140000), ["id", false]]
  ])("%s", (_, actual, expected) => {
    assert.deepStrictEqual(actual, expected)
  })
})
