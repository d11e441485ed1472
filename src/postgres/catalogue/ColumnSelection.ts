import { Result } from "effect"
import type { ColumnInfo, TableInfo } from "./TableInfo.ts"

/** Columns that `columns` may name, and those that a shape holds, both in attribute order. */
export interface ColumnSelection {
  readonly queryable: ReadonlyArray<ColumnInfo>
  readonly columns: ReadonlyArray<ColumnInfo>
  /** No `columns` and no `queryable_columns` was given: columns added later belong to the shape as well. */
  readonly selectsAll: boolean
}

interface ColumnSelectionError {
  readonly parameter: "columns" | "queryable_columns"
  readonly message: string
}

/** Columns that identify a row: the primary key, or all columns when there is none. */
export const keyColumns = (table: TableInfo): ReadonlyArray<string> =>
  table.primaryKey.length > 0 ? table.primaryKey : table.columns.map((column) => column.name)

/**
 * Whether the server can send the column's changes: generated columns only since Postgres 18, and of those only the
 * stored ones. Source: PostgreSQL 18 documentation, "Generated Column Replication".
 */
const isReplicated = (column: ColumnInfo, serverVersionNum: number): boolean =>
  column.generated === "no" || (column.generated === "stored" && serverVersionNum >= 180000)

/**
 * Checks the `columns` and `queryable_columns` parameters against the table; `undefined` means not given. The
 * failures are the texts of the HTTP API, the first failing rule counts.
 */
export const selectColumns = (
  table: TableInfo,
  requested: ReadonlyArray<string> | undefined,
  queryable: ReadonlyArray<string> | undefined,
  serverVersionNum: number
): Result.Result<ColumnSelection, ColumnSelectionError> => {
  const keys = keyColumns(table)
  let available = table.columns
  if (queryable !== undefined) {
    const missing = keys.filter((key) => !queryable.includes(key))
    if (missing.length > 0) {
      return refuse(
        "queryable_columns",
        `The list of queryable columns must include all primary key columns, missing: ${list(missing)}`
      )
    }
    const unknown = notAmong(queryable, table.columns)
    if (unknown.length > 0) {
      return refuse(
        "queryable_columns",
        `The following queryable columns are not found on the table: ${list(unknown)}`
      )
    }
    available = table.columns.filter((column) => queryable.includes(column.name))
  }

  let columns = available
  if (requested !== undefined) {
    const missing = keys.filter((key) => !requested.includes(key))
    if (missing.length > 0) {
      return refuse(
        "columns",
        `The list of columns must include all primary key columns, missing: ${list(missing)}`
      )
    }
    const unknown = notAmong(requested, available)
    if (unknown.length > 0) {
      return refuse("columns", `The following columns are not found on the table: ${list(unknown)}`)
    }
    columns = available.filter((column) => requested.includes(column.name))
  }
  const silent = columns.filter((column) => !isReplicated(column, serverVersionNum))
  if (silent.length > 0) {
    const text = `The following columns are generated and cannot be included in the shape: ${list(silent.map((column) => column.name))}`
    // Leaving it out does not help: Postgres would refuse updates of the table once it is published.
    if (silent.some((column) => column.generated === "virtual"))
      return refuse(
        "columns",
        `${text}. A table with virtual columns has no shapes: make each STORED, or drop it`
      )
    return refuse(
      "columns",
      requested !== undefined
        ? text
        : `${text}. You can exclude them from the shape by explicitly listing which columns to fetch in the 'columns' query param`
    )
  }
  return Result.succeed({
    queryable: available,
    columns,
    selectsAll: requested === undefined && queryable === undefined
  })
}

const refuse = (parameter: ColumnSelectionError["parameter"], message: string) =>
  Result.fail({ parameter, message })

/** Names that stand for no column, and second mentions of a column. */
const notAmong = (
  names: ReadonlyArray<string>,
  columns: ReadonlyArray<ColumnInfo>
): ReadonlyArray<string> => {
  const unused = new Set(columns.map((column) => column.name))
  return names.filter((name) => !unused.delete(name))
}

const list = (names: ReadonlyArray<string>): string => names.join(", ")
