import type { TypeContents } from "../postgres/catalogue/TableInfo.ts"

/**
 * How rows are matched against a clause. `indexed`: found by looking up a value of the row. `evaluated`: the
 * clause is evaluated for every changed row of the table. `postgres`: for every changed row that its other
 * conditions do not rule out, Postgres is asked.
 */
export type Classification = "indexed" | "evaluated" | "postgres"

/**
 * A checked and normalised where clause, as plain JSON data that can be stored with a shape and made runnable
 * again without parsing SQL.
 */
export interface WhereClause {
  /** Normalised SQL with parameters substituted: the shape's identity, and what snapshot queries run. */
  readonly sql: string
  /** The typed expression in a form owned by this folder; JSON-serialisable. */
  readonly expression: unknown
  /**
   * One letter for each of the conditions that the clause joins by AND: `r` if it can fail, or take long, because of what
   * stands in a row, else `q`. Left out where it does not matter.
   */
  readonly order?: string
  /**
   * What the clause depends on in the database besides the table; see `usedObjects`. Left out when that is nothing, or the
   * clause was made by an earlier version.
   */
  readonly uses?: ReadonlyArray<string>
  /** The tables that its sub-selects read, at every level of nesting, each once. Left out where it has no sub-selects. */
  readonly members?: ReadonlyArray<MemberTable>
  /** What a change costs. Left out by makers that do not judge that. */
  readonly classification?: Classification
  /** Why it is in that class, for operators. */
  readonly reason?: string
}

/** A table that sub-selects of a clause read, as it was when the clause was compiled. */
export interface MemberTable {
  readonly table: { readonly oid: number; readonly schema: string; readonly name: string }
  /** Only those that the sub-selects use. */
  readonly columns: ReadonlyArray<MemberColumn>
  /** Leaf partitions of a partitioned table. */
  readonly leafOids?: ReadonlyArray<number>
}

/** What is said of a column of a shape's own table as well (`DefinedColumn`). */
export interface MemberColumn {
  readonly name: string
  readonly typeOid: number
  readonly typeModifier?: number
  readonly attnum?: number
  readonly notNull?: boolean
  readonly generated?: boolean
  readonly contents?: TypeContents
}
