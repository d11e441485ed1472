import type { Column, Expression } from "../expression/Expression.ts"

/**
 * Replaces the columns that an expression reads of the row that it is about, and of rows further out. What a sub-select in it
 * reads of rows of its own table is not among them.
 */
export const mapColumns = (expression: Expression, replace: (column: Column) => Expression): Expression =>
  map(expression, replace) as Expression

const map = (value: unknown, replace: (column: Column) => Expression): unknown => {
  if (Array.isArray(value)) {
    const parts = value.map((part) => map(part, replace))
    return parts.some((part, i) => part !== value[i]) ? parts : value
  }
  if (typeof value !== "object" || value === null) return value
  if ("kind" in value && value.kind === "column") return replace(value as Column)
  let changed = false
  const copy: Record<string, unknown> = {}
  for (const [key, part] of Object.entries(value)) {
    copy[key] = key === "query" ? part : map(part, replace)
    changed ||= copy[key] !== part
  }
  return changed ? copy : value
}

/** The columns that `mapColumns` would replace. */
export const columnsIn = (expression: Expression): ReadonlyArray<Column> => {
  const found: Array<Column> = []
  mapColumns(expression, (column) => {
    found.push(column)
    return column
  })
  return found
}

/** Whether it reads anything of a row around the sub-select that it stands in. */
export const reachesOut = (expression: Expression): boolean =>
  columnsIn(expression).some(({ up = 0 }) => up > 0)

/** The same expression as seen from one sub-select further out. */
export const fromOutside = (expression: Expression): Expression =>
  mapColumns(expression, (column) => {
    // In the place where it was: equal expressions are told by their texts.
    const outside = { ...column, up: (column.up ?? 1) - 1 }
    if (outside.up === 0) delete (outside as { up?: number }).up
    return outside
  })
