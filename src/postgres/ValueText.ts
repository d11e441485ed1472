import { quoteIdentifier } from "./Identifiers.ts"
import type { ColumnInfo } from "./catalogue/TableInfo.ts"

/** `pg_type` OIDs whose cast to text returns exactly the characters that the output function writes. */
const castsLikeOutput = new Set([25, 1043]) // text, varchar

/**
 * SQL for the text of a column, `NULL` for NULL: what the type's output function writes, hence what the replication
 * stream carries. A cast to text is not the same: it turns `t` into `true`, adds `/32` to an inet, cuts the blanks off a
 * `char(5)`, and extensions may define casts of their own. Settings such as DateStyle apply (`displaySettings`).
 *
 * `source` qualifies the column (`"t"`); by default it stands alone.
 */
export const valueText = (column: ColumnInfo, source?: string): string => {
  const name = quoteIdentifier(column.name)
  const reference = source === undefined ? name : `${source}.${name}`
  if (column.outputFunction === undefined || castsLikeOutput.has(column.baseTypeOid ?? column.typeOid)) {
    return `${reference}::pg_catalog.text`
  }
  // Functions such as enum_out(anyenum) refuse a domain.
  const value = column.baseTypeName === undefined ? reference : `${reference}::${column.baseTypeName}`
  return `pg_catalog.textin(${column.outputFunction}(${value}))`
}
