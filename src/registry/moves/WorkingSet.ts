import type { Flip } from "../../membership/Flip.ts"
import { makeTuple, type Tuple } from "../../postgres/Tuple.ts"
import type { LinkKey } from "../../where/index.ts"
import type { Concerned } from "./LinkIndex.ts"
import { LinkIndex } from "./LinkIndex.ts"
import type { Asked } from "./LinkReader.ts"
import type { LaneMembers } from "./LaneMembers.ts"
import type { LaneTable } from "./LaneTable.ts"
import type { Pieces } from "../routing/Output.ts"
import { asksForAll, asksWithUnknown, knownOfGroup, knownOfLink, type Probe } from "./Probes.ts"
import type { RawChange, RawTransaction } from "../waiting/RawTransaction.ts"
import { type RowChange, RowsInTime } from "../rewinding/RowsInTime.ts"
import { projectInto, rowBytes, rowInto } from "../rewinding/RowBytes.ts"

const rowsPerPiece = 256

/** Which rows a flip can matter to at a place where the sub-select is asked; `undefined`: none. */
export const concernedAt = (flip: Flip, probe: Probe): Concerned | undefined => {
  const { how, nullable } = probe
  const ofGroup = (group: LinkKey, only: "nullProbes" | "all"): Concerned => ({
    group: knownOfGroup(probe, group),
    only: asksWithUnknown(probe) ? "all" : only
  })
  switch (flip.how) {
    case "entered":
    case "left":
      return asksForAll(probe) ? undefined : { link: knownOfLink(probe, flip.link) }
    case "whole":
      return asksForAll(probe) ? ofGroup(flip.group, "all") : undefined
    case "nulls":
      return how === "any" && nullable ? ofGroup(flip.group, "all") : undefined
    case "null-probes":
      return how === "any" && nullable ? ofGroup(flip.group, "nullProbes") : undefined
  }
}

/** What a row takes in memory, with its places in indexes, beside its bytes. */
const rowOverheadBytes = 400

/** Rows of a table, of which those are exact that flips at some places can matter to. */
export class WorkingTable {
  readonly table: LaneTable
  readonly rows: RowsInTime<string>
  private rowsBytes = 0
  private readonly identity: Int32Array
  private readonly columns: number
  private readonly scratch = makeTuple()
  /** For the row at hand. */
  private readonly projected = { oldRow: makeTuple(), row: makeTuple() }
  /** Changed rows that this says nothing is to be said of are not kept. */
  mayConcern: (row: Tuple) => boolean = () => true
  private readonly indexes = new Map<string, { readonly probe: Probe; readonly index: LinkIndex<string> }>()

  /** With `rows`, their changes are counted there, and they cannot be found by what they ask. */
  constructor(table: LaneTable, rows?: RowsInTime<string>) {
    this.table = table
    this.columns = table.columns.length
    this.identity = Int32Array.from(table.columns, (_, i) => i)
    this.rows =
      rows ??
      new RowsInTime((row, isThere) => {
        this.rowsBytes += (isThere ? 1 : -1) * (row.length + rowOverheadBytes)
        if (this.indexes.size === 0) return
        const tuple = this.tupleOf(row)
        for (const { index, probe } of this.indexes.values()) {
          const asked: Asked | undefined = table.readLink(probe)(tuple)
          if (asked === undefined) continue
          if (isThere) index.add(row, asked)
          else index.remove(row, asked)
        }
      })
  }

  /** What it takes in memory, about. */
  get bytes(): number {
    return this.rowsBytes
  }

  /** Of a row with the columns of the table. */
  bytesOf(row: Tuple): string {
    return rowBytes(row, this.identity)
  }

  /** The bytes of some columns of a row: rows are ordered by those of their keys. */
  keyOf(row: Tuple, indexes: ReadonlyArray<number>): string {
    return rowBytes(row, indexes)
  }

  /** Valid until the next one is asked for. */
  tupleOf(row: string): Tuple {
    return rowInto(this.scratch, row, this.columns)
  }

  *apply(transaction: RawTransaction, members: LaneMembers): Pieces {
    if (!this.isIn(transaction, members)) return
    let changes = 0
    for (const change of transaction.changes()) {
      if (change._tag === "Row") this.change(change, members, (one) => this.rows.apply(one))
      else if (change.tableOids.includes(this.table.oid)) this.rows.clear()
      if (++changes % rowsPerPiece === 0) yield
    }
  }

  /** Nothing of a table that the transaction truncates. */
  *undo(transaction: RawTransaction, members: LaneMembers): Pieces {
    if (!this.isIn(transaction, members)) return
    let changes = 0
    for (const change of transaction.changes()) {
      if (change._tag === "Row") this.change(change, members, (one) => this.rows.undo(one))
      if (++changes % rowsPerPiece === 0) yield
    }
  }

  private isIn(transaction: RawTransaction, members: LaneMembers): boolean {
    const isOwn = (oid: number) => members.tablesOf(oid).includes(this.table)
    return (
      transaction.concerns(isOwn) || transaction.truncations.some((oids) => oids.includes(this.table.oid))
    )
  }

  private change(
    { oldRow, relation, row }: Extract<RawChange, { readonly _tag: "Row" }>,
    members: LaneMembers,
    use: (change: RowChange<string>) => void
  ): void {
    if (!members.tablesOf(relation.oid).includes(this.table)) return
    const indexes = this.table.indexesIn(relation)
    const { projected } = this
    use({
      oldRow: oldRow && this.kept(projectInto(projected.oldRow, oldRow, indexes)),
      row: row && this.kept(projectInto(projected.row, row, indexes))
    })
  }

  private kept(row: Tuple): string | undefined {
    return this.mayConcern(row) ? this.bytesOf(row) : undefined
  }

  /** From now on rows can be found by what they ask there. */
  *index(probe: Probe): Pieces {
    if (this.indexes.has(probe.key)) return
    const index = new LinkIndex<string>()
    const readLink = this.table.readLink(probe)
    let rows = 0
    for (const row of this.rows.rows()) {
      const asked = readLink(this.tupleOf(row))
      if (asked !== undefined) index.add(row, asked)
      if (++rows % rowsPerPiece === 0) yield
    }
    this.indexes.set(probe.key, { probe, index })
  }

  concerned(probe: Probe, which: Concerned): Iterable<string> {
    const known = this.indexes.get(probe.key)
    // Of what was not read nothing is to be said: the flip is beyond what was foreseen.
    if (known === undefined) throw new Error(`no rows were read for ${JSON.stringify(probe.kind.plan.table)}`)
    return known.index.concerned(which)
  }
}

/** The rows that some transactions are processed with. */
export type WorkingSet = ReadonlyMap<LaneTable, WorkingTable>
