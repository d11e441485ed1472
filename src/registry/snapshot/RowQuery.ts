import { quoteIdentifier, quoteTable } from "../../postgres/Identifiers.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { narrowing, type WhereClause } from "../../where/index.ts"
import { makeWireEncoder, variantKey, type WireEncoder } from "../../shapes/WireEncoder.ts"

/** What narrows a query down to a subset. All SQL in it has been checked and printed by us. */
interface RowSelection {
  readonly where?: WhereClause | undefined
  readonly orderBy?: string | undefined
  readonly limit?: number | undefined
  readonly offset?: number | undefined
}

interface SelectList {
  readonly keyColumns: ReadonlyArray<string>
  readonly names: ReadonlyArray<string>
  readonly sql: string
}

/** By the columns of shapes, which those that select alike have in common: thousands of them are made at once. */
const selectLists = new WeakMap<ReadonlyArray<string>, SelectList>()

const selectListOf = ({ columns, keyColumns }: ShapeDefinition): SelectList => {
  const known = selectLists.get(columns)
  if (known?.keyColumns === keyColumns) return known
  const names = [...new Set([...columns, ...keyColumns])]
  const list = { keyColumns, names, sql: names.map(quoteIdentifier).join(", ") }
  selectLists.set(columns, list)
  return list
}

/** The columns of a row query, in the order of its select list: those of the shape, and of its key if not selected. */
export const rowColumns = (definition: ShapeDefinition): ReadonlyArray<string> =>
  selectListOf(definition).names

/** Encodes the rows of `rowQuery`. `headers` are added to those of every row. */
export const makeRowEncoder = (
  definition: ShapeDefinition,
  headers: Readonly<Record<string, unknown>> = {}
): WireEncoder => {
  const encoder = makeWireEncoder(rowColumns(definition), definition, headers)
  if (encoder === undefined) throw new Error("The select list lacks a column of the shape.")
  return encoder
}

let lastKey = ""
let lastDefinition: ShapeDefinition | undefined
let lastEncoder: WireEncoder | undefined

/** Made from the same parts, of what makes an encoder. */
const isWrittenAs = (a: ShapeDefinition, b: ShapeDefinition): boolean =>
  a.table === b.table && a.columns === b.columns && a.keyColumns === b.keyColumns && a.replica === b.replica

/** The same for snapshots, of which many on end are alike. Nothing of one row stays in an encoder for the next. */
export const snapshotEncoder = (definition: ShapeDefinition): WireEncoder => {
  if (lastEncoder !== undefined && lastDefinition !== undefined && isWrittenAs(lastDefinition, definition))
    return lastEncoder
  const key = variantKey(definition)
  if (lastEncoder === undefined || key !== lastKey) lastEncoder = makeRowEncoder(definition)
  lastDefinition = definition
  lastKey = key
  return lastEncoder
}

/**
 * The query for the rows of a shape. Values are not cast: the text format of the protocol is the output function's
 * text. Of a table that is not partitioned only its own rows count, not those of tables that inherit from it: the
 * stream carries their changes under their own names.
 */
export const rowQuery = (
  definition: ShapeDefinition,
  isPartitioned: boolean,
  selection: RowSelection = {}
): string => {
  // The subset's condition is a client's, and must not be evaluated for rows that the shape's own rules out.
  const condition = narrowing([definition.where, selection.where])
  let sql = `SELECT ${selectListOf(definition).sql} FROM ${isPartitioned ? "" : "ONLY "}${quoteTable(definition.table)}`
  if (condition !== undefined) sql += ` WHERE ${condition}`
  if (selection.orderBy !== undefined) sql += ` ORDER BY ${selection.orderBy}`
  if (selection.limit !== undefined) sql += ` LIMIT ${selection.limit}`
  if (selection.offset !== undefined) sql += ` OFFSET ${selection.offset}`
  return sql
}
