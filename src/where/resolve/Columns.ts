import type { ColumnRef } from "libpg-query"
import type { ColumnInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { Column } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { quoteIfNeeded, type Scope, type Source } from "./Scope.ts"
import { stringOf } from "./TypeNames.ts"

/** A column by its name, or by that of its table and its own. Throws `Refusal` where there is none, or more than one. */
export const columnOf = (scope: Scope, ref: ColumnRef): Column => {
  const at = scope.position(ref.location)
  const fields = ref.fields ?? []
  const shown = fields.map((field) => ("A_Star" in field ? "*" : quoteIfNeeded(stringOf(field)))).join(".")
  const unknown = (): never => refuseAt(at, `unknown reference ${shown}`)
  const name = stringOf(fields.at(-1))
  if (fields.length > 3 || fields.some((field) => "A_Star" in field)) return unknown()
  // The condition of a shape is about one table, whose columns stand without its name.
  if (fields.length > 1 && scope.outer === undefined) return unknown()
  const qualifier = fields.slice(0, -1).map(stringOf)
  let up = 0
  for (let around: Scope | undefined = scope; around !== undefined; around = around.outer, up++) {
    const found = around.sources.flatMap((source, i) =>
      qualifier.length === 0
        ? source.columns.has(name) && !source.merged.has(name)
          ? [i]
          : []
        : isNamed(source, qualifier)
          ? [i]
          : []
    )
    if (found.length > 1) return refuseAt(at, `column reference ${shown} is ambiguous`)
    const [index] = found
    const source = index === undefined ? undefined : around.sources[index]
    if (index === undefined || source === undefined) continue
    const info = source.columns.get(name)
    return info === undefined ? unknown() : columnAt(source, info, up, index, at)
  }
  return unknown()
}

const isNamed = (source: Source, qualifier: ReadonlyArray<string>): boolean =>
  source.name === qualifier.at(-1) && (qualifier.length === 1 || source.schema === qualifier[0])

/** A column of a table that is known, as an expression. Notes that it is used. */
export const columnAt = (source: Source, info: ColumnInfo, up: number, index: number, at: number): Column => {
  source.used.add(info.name)
  return {
    kind: "column",
    name: info.name,
    ...(up === 0 ? {} : { up }),
    ...(index === 0 ? {} : { source: index }),
    type: info.typeOid,
    typmod: info.typeModifier,
    collation: info.collationOid,
    strength: info.collationOid === 0 ? "none" : "implicit",
    at
  }
}
