import { Result } from "effect"
import type { Limits } from "../config/Limits.ts"
import { parseCondition } from "./parse/Parser.ts"
import { Refusal, type WhereError } from "./WhereError.ts"

/** A table as a sub-select names it: case folded, quotes removed. Without a schema `public` is meant, as everywhere in the API. */
export interface NamedTable {
  readonly schema: string | undefined
  readonly name: string
}

const defaultSchema = "public"

/** The key of a table in `WhereRequest.tables`. */
export const tableKey = ({ name, schema = defaultSchema }: NamedTable): string =>
  JSON.stringify([schema, name])

/** No sub-select reads a table without one of these words. */
export const mayHaveTables = (sql: string): boolean => /select|table/i.test(sql)

/**
 * The tables that the sub-selects of a condition name, each once, in the order in which they appear. Of a text that cannot be
 * parsed the error is told as `compileWhere` tells it. `loadParser` must have run before.
 */
export const subselectTables = (
  sql: string,
  limits: Limits
): Result.Result<ReadonlyArray<NamedTable>, WhereError> => {
  const found = new Map<string, NamedTable>()
  try {
    collect(parseCondition(sql, limits).node, found)
  } catch (failure) {
    if (failure instanceof Refusal) return Result.fail({ ...failure.error, final: true })
    throw failure
  }
  return Result.succeed([...found.values()])
}

/** Depth is bounded by `Limits.clauseDepth`. */
const collect = (node: unknown, found: Map<string, NamedTable>): void => {
  if (typeof node !== "object" || node === null) return
  if ("RangeVar" in node) {
    const { relname, schemaname } = node.RangeVar as {
      readonly relname?: string
      readonly schemaname?: string
    }
    const table = { schema: schemaname, name: relname ?? "" }
    const key = tableKey(table)
    if (!found.has(key)) found.set(key, table)
  }
  for (const part of Object.values(node)) collect(part, found)
}
