import type { JoinExpr, Node, RangeVar } from "libpg-query"
import { tableDoesNotExist } from "../../postgres/Identifiers.ts"
import type { ColumnInfo, TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { Expression } from "../expression/Expression.ts"
import { requireBoolean } from "../resolve/Boolean.ts"
import { operatorCall } from "../resolve/Calls.ts"
import { columnAt } from "../resolve/Columns.ts"
import { quoteIfNeeded, usableColumns, type Scope, type Source } from "../resolve/Scope.ts"
import { stringOf } from "../resolve/TypeNames.ts"
import { tableKey } from "../SubselectTables.ts"
import { Refusal, refuseAt } from "../WhereError.ts"
import type { Members } from "./Members.ts"

/** What FROM says: the tables, and the conditions of its joins, which are as good as those of WHERE. */
interface From {
  readonly scope: Scope
  readonly conditions: ReadonlyArray<Expression>
}

/** The way from table to table is looked for among all of them. */
const mostTables = 10

export type ResolveIn = (scope: Scope, node: Node | undefined) => Expression

/** Reads FROM. `outer`: what stands around the sub-select, which is at `at` in the text. Throws `Refusal`. */
export const readFrom = (
  outer: Scope,
  items: ReadonlyArray<Node>,
  tables: ReadonlyMap<string, TableInfo>,
  members: Members,
  resolveIn: ResolveIn,
  at: number
): From => {
  const reader = new FromReader(outer, tables, members, resolveIn, at)
  for (const item of items) reader.item(item)
  if (reader.sources.length > mostTables)
    return refuseAt(at, `more than ${mostTables} tables in one sub-select are not supported`)
  const names = reader.sources.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) < i)
  if (twice !== undefined)
    return refuseAt(
      at,
      `table name ${quoteIfNeeded(twice)} is used twice in a sub-select: give one of them an alias`
    )
  return { scope: reader.scope(0, reader.sources.length), conditions: reader.conditions }
}

const nothing: Source["columns"] = new Map()

class FromReader {
  readonly sources: Array<Source> = []
  readonly conditions: Array<Expression> = []
  private readonly outer: Scope
  private readonly tables: ReadonlyMap<string, TableInfo>
  private readonly members: Members
  private readonly resolveIn: ResolveIn
  private readonly at: number

  constructor(
    outer: Scope,
    tables: ReadonlyMap<string, TableInfo>,
    members: Members,
    resolveIn: ResolveIn,
    at: number
  ) {
    this.at = at
    this.outer = outer
    this.tables = tables
    this.members = members
    this.resolveIn = resolveIn
  }

  /** A scope that has these sources only, under the numbers that they have among all. */
  scope(from: number, to: number): Scope {
    const sources = this.sources.map((source, i) =>
      i >= from && i < to ? source : { ...source, name: "", schema: undefined, columns: nothing }
    )
    return { ...this.outer, sources, outer: this.outer }
  }

  item(node: Node | undefined): void {
    if (node !== undefined && "RangeVar" in node) return this.table(node.RangeVar)
    if (node !== undefined && "JoinExpr" in node) return this.join(node.JoinExpr)
    const what =
      node === undefined
        ? "this"
        : "RangeSubselect" in node
          ? "a sub-select"
          : "RangeFunction" in node
            ? "a function"
            : "RangeTableSample" in node
              ? "TABLESAMPLE"
              : "this"
    return refuseAt(this.at, `${what} in FROM of a sub-select is not supported: name the table itself there`)
  }

  private table(node: RangeVar): void {
    const at = this.outer.position(node.location)
    const named = { schema: node.schemaname, name: node.relname ?? "" }
    if (node.catalogname !== undefined)
      return refuseAt(at, "the name of a database in front of a table is not supported: leave it away")
    const table = this.tables.get(tableKey(named))
    if (table === undefined) {
      throw new Refusal({
        message: tableDoesNotExist({ schema: named.schema ?? "public", name: named.name }),
        position: undefined,
        parameter: "table",
        final: false
      })
    }
    if (node.inh !== true && table.kind === "partitioned")
      return refuseAt(at, "ONLY leaves no rows of a partitioned table: leave it away")
    const names = (node.alias?.colnames ?? []).map(stringOf)
    if (names.length > table.columns.length)
      return refuseAt(
        at,
        `table ${quoteIfNeeded(named.name)} has ${table.columns.length} columns, but ${names.length} are named`
      )
    this.sources.push({
      name: node.alias?.aliasname ?? table.name,
      schema: node.alias === undefined ? table.schema : undefined,
      table,
      columns:
        names.length === 0
          ? usableColumns(table, undefined)
          : new Map(table.columns.map((column, i) => [names[i] ?? column.name, column])),
      merged: new Set(),
      used: this.members.usedOf(table)
    })
  }

  private join(node: JoinExpr): void {
    if (node.jointype !== "JOIN_INNER")
      return refuseAt(
        this.at,
        "an outer join in a sub-select is not supported: write JOIN for rows that have a partner, or NOT EXISTS (SELECT ...) for those that have none"
      )
    if (node.isNatural === true)
      return refuseAt(this.at, "NATURAL JOIN is not supported: name the columns, as in JOIN ... USING (id)")
    if (node.alias !== undefined || node.join_using_alias !== undefined)
      return refuseAt(this.at, "an alias of a join is not supported: give its tables aliases")
    const from = this.sources.length
    this.item(node.larg)
    const middle = this.sources.length
    this.item(node.rarg)
    const to = this.sources.length
    for (const name of (node.usingClause ?? []).map(stringOf)) this.using(name, from, middle, to)
    if (node.quals !== undefined) {
      const around = this.scope(from, to)
      this.conditions.push(requireBoolean(around, this.resolveIn(around, node.quals)))
    }
  }

  private using(name: string, from: number, middle: number, to: number): void {
    const left = this.column(name, from, middle)
    const right = this.column(name, middle, to)
    this.sources[right.index]?.merged.add(name)
    this.conditions.push(
      operatorCall(this.outer, undefined, "=", this.columnFrom(left), this.columnFrom(right), this.at)
    )
  }

  private columnFrom({ index, info, source }: Found): Expression {
    return columnAt(source, info, 0, index, this.at)
  }

  private column(name: string, from: number, to: number): Found {
    const found = this.sources.flatMap((source, index) => {
      const info =
        index >= from && index < to && !source.merged.has(name) ? source.columns.get(name) : undefined
      return info === undefined ? [] : [{ index, info, source }]
    })
    const [only] = found
    if (only === undefined || found.length > 1)
      return refuseAt(
        this.at,
        `column ${quoteIfNeeded(name)} of USING ${only === undefined ? "does not exist on both sides of the join" : "is ambiguous"}`
      )
    return only
  }
}

interface Found {
  readonly index: number
  readonly info: ColumnInfo
  readonly source: Source
}
