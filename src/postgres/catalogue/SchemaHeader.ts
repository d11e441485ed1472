import type { ColumnInfo, TableInfo } from "./TableInfo.ts"

/** What one column looks like in the `electric-schema` header. Attributes that do not apply are left out. */
interface ColumnSchema {
  type: string
  dims?: number
  pk_index?: number
  not_null?: true
  max_length?: number
  length?: number
  precision?: number
  scale?: number
  fields?: string
  type_mod?: number
}

/** Built-in types whose modifiers have a name of their own. Source: `pg_type.dat`. */
const oids = {
  bpchar: 1042,
  varchar: 1043,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  timetz: 1266,
  bit: 1560,
  varbit: 1562,
  numeric: 1700
} as const

/** Bits of an interval's field restriction, as combinations. Source: `INTERVAL_MASK` in `utils/timestamp.h`. */
const intervalFields = new Map([
  [1 << 2, "YEAR"],
  [1 << 1, "MONTH"],
  [1 << 3, "DAY"],
  [1 << 10, "HOUR"],
  [1 << 11, "MINUTE"],
  [1 << 12, "SECOND"],
  [(1 << 2) | (1 << 1), "YEAR TO MONTH"],
  [(1 << 3) | (1 << 10), "DAY TO HOUR"],
  [(1 << 3) | (1 << 10) | (1 << 11), "DAY TO MINUTE"],
  [(1 << 3) | (1 << 10) | (1 << 11) | (1 << 12), "DAY TO SECOND"],
  [(1 << 10) | (1 << 11), "HOUR TO MINUTE"],
  [(1 << 10) | (1 << 11) | (1 << 12), "HOUR TO SECOND"],
  [(1 << 11) | (1 << 12), "MINUTE TO SECOND"]
])

/**
 * The `electric-schema` header: a JSON object from the names of the selected columns to their types, as the official
 * client needs it to parse values. Source: HTTP API, `electric-schema`.
 */
export const schemaHeader = (table: TableInfo, selectedColumns: ReadonlyArray<string>): string => {
  const selected = new Set(selectedColumns)
  const entries: Array<readonly [string, ColumnSchema]> = []
  for (const column of table.columns) {
    if (selected.has(column.name)) entries.push([column.name, columnSchema(table, column)])
  }
  // Header values are Latin-1 at best; JSON can say everything in ASCII. fromEntries keeps a column named __proto__.
  return asciiJson(Object.fromEntries(entries))
}

const columnSchema = (table: TableInfo, column: ColumnInfo): ColumnSchema => {
  const schema: ColumnSchema = { type: column.element?.typeName ?? column.typeName }
  // Columns made by CREATE TABLE AS have an array type but no declared dimensions.
  if (column.element !== undefined) schema.dims = Math.max(1, column.dimensions)
  const keyIndex = table.primaryKey.indexOf(column.name)
  if (keyIndex >= 0) schema.pk_index = keyIndex
  if (column.notNull) schema.not_null = true
  addModifier(schema, column.element?.typeOid ?? column.typeOid, column.typeModifier)
  return schema
}

const addModifier = (schema: ColumnSchema, typeOid: number, modifier: number): void => {
  if (modifier < 0) {
    if (typeOid === oids.varbit) schema.length = -1
    return
  }
  switch (typeOid) {
    case oids.varchar:
      schema.max_length = modifier - 4
      return
    case oids.bpchar:
      schema.length = modifier - 4
      return
    case oids.bit:
    case oids.varbit:
      schema.length = modifier
      return
    case oids.numeric:
      schema.precision = (modifier - 4) >> 16
      // Eleven bits with sign, since Postgres 15 allows negative scales.
      schema.scale = (((modifier - 4) & 0x7ff) ^ 0x400) - 0x400
      return
    case oids.time:
    case oids.timetz:
    case oids.timestamp:
    case oids.timestamptz:
      if (modifier > 0) schema.precision = modifier
      else schema.type_mod = modifier
      return
    case oids.interval: {
      const precision = modifier & 0xffff
      const fields = intervalFields.get((modifier >> 16) & 0x7fff)
      if (precision !== 0xffff) schema.precision = precision
      if (fields !== undefined) schema.fields = fields
      return
    }
    default:
      schema.type_mod = modifier
  }
}

const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
