import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { MemberTable } from "../WhereClause.ts"

/** The tables that the sub-selects of one clause read, and which of their columns. */
export class Members {
  private readonly byOid = new Map<number, { readonly table: TableInfo; readonly used: Set<string> }>()

  /** Names of the columns of a table that are used, for its sources to add to. */
  usedOf(table: TableInfo): Set<string> {
    let known = this.byOid.get(table.oid)
    if (known === undefined) this.byOid.set(table.oid, (known = { table, used: new Set() }))
    return known.used
  }

  /** Calls `visit` with every table and the names of its columns that are used. */
  each(visit: (table: TableInfo, used: ReadonlySet<string>) => void): void {
    for (const { table, used } of this.byOid.values()) visit(table, used)
  }

  get isEmpty(): boolean {
    return this.byOid.size === 0
  }

  /** In the order in which the clause names them. */
  get tables(): ReadonlyArray<MemberTable> {
    return [...this.byOid.values()].map(({ table, used }) => ({
      table: { oid: table.oid, schema: table.schema, name: table.name },
      columns: table.columns
        .filter(({ name }) => used.has(name))
        .map(({ attnum, contents, generated, name, notNull, typeModifier, typeOid }) => ({
          name,
          typeOid,
          typeModifier,
          attnum,
          notNull,
          generated: generated !== "no",
          ...(contents === undefined ? {} : { contents })
        })),
      ...(table.leafOids.length === 0 ? {} : { leafOids: table.leafOids })
    }))
  }
}
