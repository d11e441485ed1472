import type { Column, Expression, NestedLoop } from "./Expression.ts"

type Replace = (column: Column) => Expression

/**
 * Replaces the columns that an expression reads of the row that it is about, and of rows further out. What a sub-select in it
 * reads of rows of its own tables is not among them.
 */
export const mapColumns = (expression: Expression, replace: Replace): Expression =>
  map(expression, replace) as Expression

const map = (value: unknown, replace: Replace): unknown => {
  if (Array.isArray(value)) {
    const parts = value.map((part) => map(part, replace))
    return parts.some((part, i) => part !== value[i]) ? parts : value
  }
  if (typeof value !== "object" || value === null) return value
  if ("kind" in value && value.kind === "column") return replace(value as Column)
  const isLoop = "kind" in value && value.kind === "nestedLoop"
  const inside = isLoop ? asInside(replace) : replace
  let changed = false
  const copy: Record<string, unknown> = {}
  for (const [key, part] of Object.entries(value)) {
    copy[key] =
      key === "query"
        ? part
        : isLoop && key === "selected"
          ? (part as NestedLoop["selected"]).map((one) => mapSelected(one, inside, replace))
          : map(part, inside)
    changed ||= copy[key] !== part
  }
  return changed ? copy : value
}

const mapSelected = (
  { probe, value, ...rest }: NestedLoop["selected"][number],
  inside: Replace,
  outside: Replace
): NestedLoop["selected"][number] => ({
  ...rest,
  value: mapColumns(value, inside),
  ...(probe === undefined ? {} : { probe: mapColumns(probe, outside) })
})

/** What replaces columns around a nested loop, as it does inside of it. */
const asInside =
  (replace: Replace): Replace =>
  (column) => {
    if ((column.up ?? 0) === 0) return column
    const outside = movedBy(column, -1)
    const replaced = replace(outside)
    return replaced === outside ? column : fromInside(replaced)
  }

/** In the place where it was: equal expressions are told by their texts. */
const movedBy = (column: Column, levels: number): Column => {
  const { at, collation, kind, name, source, strength, type, typmod, up = 0 } = column
  const moved = up + levels
  return {
    kind,
    name,
    ...(moved === 0 ? {} : { up: moved }),
    ...(source === undefined ? {} : { source }),
    type,
    typmod,
    collation,
    strength,
    at
  }
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

/** The same expression as seen from so many sub-selects further out; all that it reads is there. */
export const fromOutside = (expression: Expression, levels = 1): Expression =>
  levels === 0 ? expression : mapColumns(expression, (column) => movedBy(column, -levels))

/** The same expression as seen from a sub-select right inside. */
export const fromInside = (expression: Expression): Expression =>
  mapColumns(expression, (column) => movedBy(column, 1))

const isSubselect = (value: object): boolean =>
  "kind" in value && (value.kind === "subselect" || value.kind === "nestedLoop")

/** Whether a sub-select stands in it. */
export const hasSubselect = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  (isSubselect(value) || Object.values(value).some(hasSubselect))

/** The columns that it reads outside of its sub-selects. */
export const columnsBeside = (expression: Expression): ReadonlyArray<Column> => {
  const found: Array<Column> = []
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null || isSubselect(value)) return
    if ("kind" in value && value.kind === "column") found.push(value as Column)
    else for (const part of Object.values(value)) visit(part)
  }
  visit(expression)
  return found
}
