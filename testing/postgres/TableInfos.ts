import type { ColumnInfo, TableInfo } from "../../src/postgres/catalogue/TableInfo.ts"

/** A column with little said about it. */
export const column = (name: string, changes: Partial<ColumnInfo> = {}): ColumnInfo => ({
  name,
  attnum: 1,
  typeOid: 25,
  typeName: "text",
  typeSchema: "pg_catalog",
  typeModifier: -1,
  dimensions: 0,
  typeKind: "b",
  element: undefined,
  baseTypeOid: undefined,
  collationOid: 0,
  notNull: false,
  generated: "no",
  ...changes
})

/** A table of these columns, in this order. */
export const table = (columns: ReadonlyArray<ColumnInfo>, changes: Partial<TableInfo> = {}): TableInfo => ({
  oid: 1,
  schema: "public",
  name: "t",
  kind: "table",
  columns: columns.map((it, i) => ({ ...it, attnum: i + 1 })),
  primaryKey: [],
  ancestorOids: [],
  leafOids: [],
  ...changes
})
