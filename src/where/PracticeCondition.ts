import type { TypeCatalogue } from "./catalogue/TypeCatalogue.ts"
import type { WhereRequest } from "./CompileWhere.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"

const column = {
  typeSchema: "pg_catalog",
  typeModifier: -1,
  dimensions: 0,
  typeKind: "b",
  generated: "no"
} as const

/** Of no database: conditions on it are checked for the sake of it. */
export const practiceTable: TableInfo = {
  oid: 1,
  schema: "public",
  name: "practice",
  kind: "table",
  columns: [
    {
      ...column,
      name: "id",
      attnum: 1,
      typeOid: 20,
      typeName: "int8",
      element: undefined,
      baseTypeOid: undefined,
      collationOid: 0,
      notNull: true
    },
    {
      ...column,
      name: "name",
      attnum: 2,
      typeOid: 25,
      typeName: "text",
      element: undefined,
      baseTypeOid: undefined,
      collationOid: 100,
      notNull: false
    }
  ],
  primaryKey: ["id"],
  ancestorOids: [],
  leafOids: []
}
/** Has a bit of everything that most conditions have. */
const practiceClause = "id > 1 AND (name = 'a' OR name IN ('b', 'c')) AND name IS NOT NULL"

/** A condition to be checked for nothing but what is slow the first time: the parser's code is translated function by function. */
export const practiceRequest = (catalogue: TypeCatalogue): WhereRequest => ({
  sql: practiceClause,
  params: {},
  table: practiceTable,
  catalogue
})
