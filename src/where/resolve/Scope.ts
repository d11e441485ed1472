import type { Node, SubLink } from "libpg-query"
import type { Limits } from "../../config/Limits.ts"
import type { ColumnInfo, TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Constant, Expression } from "../expression/Expression.ts"
import { refuse, refuseAt } from "../WhereError.ts"
import { oids } from "../expression/Expression.ts"

/** What a clause may refer to, and what is learned about its parameters while it is resolved. */
export interface Scope {
  readonly catalogue: TypeCatalogue
  /** The tables whose columns may be used, each with a name of its own: one, but in a sub-select that joins several. */
  readonly sources: ReadonlyArray<Source>
  /** What stands around the sub-select that this is the scope of. */
  readonly outer: Scope | undefined
  /** Resolves sub-selects; `undefined` where there can be none. */
  readonly subselect: SubselectResolver | undefined
  readonly params: Readonly<Record<string, string>>
  /** Types that the first use of each parameter fixed. */
  readonly parameterTypes: Map<number, number>
  /** Character position in the user's text of a byte offset in the parsed text. */
  readonly position: (location: number | undefined) => number
  /** Counts resolved nodes, to bound the work one clause can cause. */
  readonly budget: { nodes: number }
  readonly limits: Limits
}

/** A table whose columns may be used. */
export interface Source {
  /** What its columns may be qualified with, and the schema that may stand before it. */
  readonly name: string
  readonly schema: string | undefined
  readonly table: TableInfo
  /** By the name that is used in the text. */
  readonly columns: ReadonlyMap<string, ColumnInfo>
  /** Columns that are the same as one of another source: without a qualifier that one is meant. */
  readonly merged: Set<string>
  /** Names of the columns met so far. */
  readonly used: Set<string>
}

/** `resolveIn` resolves an expression in a scope of its own, as deep as this one is. */
export type SubselectResolver = (
  scope: Scope,
  node: SubLink,
  resolveIn: (scope: Scope, node: Node | undefined) => Expression
) => Expression

/** Resolves a part of the expression that is being resolved. */
export type Inner = (part: Node | undefined) => Expression

/** Nodes that a word, a literal or a sign may come to, on average. */
export const nodesPerToken = 10
/** Depth of expressions; the evaluator and the printer recurse as deep. */
export const depthLimit = 700

const allColumns = new WeakMap<TableInfo, ReadonlyMap<string, ColumnInfo>>()

/** Column names that may be used, by name. */
export const usableColumns = (
  table: TableInfo,
  allowed: ReadonlyArray<string> | undefined
): ReadonlyMap<string, ColumnInfo> => {
  let all = allColumns.get(table)
  if (all === undefined) {
    all = new Map(table.columns.map((column) => [column.name, column]))
    allColumns.set(table, all)
  }
  if (allowed === undefined) return all
  const names = new Set(allowed)
  return new Map([...all].filter(([name]) => names.has(name)))
}

/** Keys must be the numbers 1 to n. */
export const checkParams = (params: Readonly<Record<string, string>>): void => {
  const numbers = Object.keys(params).map((key) => {
    if (!/^\d{1,9}$/.test(key)) return refuse("Parameters can only use numbers as keys", "params")
    return Number(key)
  })
  numbers.sort((a, b) => a - b)
  if (numbers.some((n, i) => n !== i + 1)) {
    refuse("Parameters must be numbered sequentially, starting from 1", "params")
  }
  for (const [key, text] of Object.entries(params)) {
    if (text.includes("\0")) refuse(`parameter $${key}: a NUL character is not allowed`, "params")
    if (!text.isWellFormed()) refuse(`parameter $${key} is not valid Unicode`, "params")
  }
}

export const parameter = (scope: Scope, number: number, at: number): Constant => {
  const value = scope.params[String(number)]
  if (number < 1 || value === undefined) return refuseAt(at, `parameter $${number} was not provided`)
  return {
    kind: "constant",
    value,
    parameter: number,
    type: scope.parameterTypes.get(number) ?? oids.unknown,
    typmod: -1,
    collation: 0,
    strength: "none",
    at
  }
}

/** As it would have to be written in SQL. */
export const quoteIfNeeded = (name: string): string =>
  /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
