import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import { makeDefinition } from "../shapes/MakeDefinition.ts"

const column = {
  typeSchema: "pg_catalog",
  typeModifier: -1,
  dimensions: 0,
  typeKind: "b",
  element: undefined,
  baseTypeOid: undefined,
  notNull: true,
  generated: "no"
} as const

/** Each database has it, with a few rows that everybody may read. It can have no shapes but for practice. */
export const practiceTable: TableInfo = {
  oid: 2601,
  schema: "pg_catalog",
  name: "pg_am",
  kind: "table",
  columns: [
    { ...column, name: "oid", attnum: 1, typeOid: 26, typeName: "oid", collationOid: 0 },
    { ...column, name: "amname", attnum: 2, typeOid: 19, typeName: "name", collationOid: 950 }
  ],
  primaryKey: ["oid"],
  ancestorOids: [],
  leafOids: []
}

/** One that no access method has. */
export const practiceRow = ["1", "practice"]

export const practiceShape = makeDefinition(practiceTable, {
  selection: { columns: practiceTable.columns, selectsAll: true },
  where: undefined,
  replica: "default",
  log: "full"
})
