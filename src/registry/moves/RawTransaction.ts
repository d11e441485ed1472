import { TuplePages } from "../../postgres/CopyTuple.ts"
import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import type { Lsn } from "../../shared/Lsn.ts"

/** What a change takes beside the values of its rows. */
const changeBytes = 400

/** One operation, as it came. */
export type RawChange =
  | {
      readonly _tag: "Row"
      readonly relation: Relation
      readonly op: number
      readonly oldRow: Tuple | undefined
      readonly row: Tuple | undefined
    }
  /** All rows of these tables are gone. */
  | { readonly _tag: "Truncate"; readonly tableOids: ReadonlyArray<number> }

/** A transaction of the stream, as far as shapes with sub-selects can be concerned: in memory of its own. */
export class RawTransaction {
  readonly commitLsn: Lsn
  readonly xid: number
  /** Of all transactions, whether they concern somebody or not. */
  readonly serial: number
  /** The end of its commit record; known when all of it has come. */
  endLsn: Lsn = 0n
  /** The number that another operation would have; known when all of it has come. */
  nextOp = 0
  readonly changes: Array<RawChange> = []
  bytes = 0
  private pages: TuplePages | undefined

  constructor(commitLsn: Lsn, xid: number, serial: number) {
    this.commitLsn = commitLsn
    this.xid = xid
    this.serial = serial
  }

  add(relation: Relation, op: number, oldRow: Tuple | undefined, row: Tuple | undefined): void {
    const pages = (this.pages ??= new TuplePages())
    const older = oldRow === undefined ? undefined : pages.copy(oldRow)
    const newer = row === undefined ? undefined : pages.copy(row)
    this.changes.push({ _tag: "Row", relation, op, oldRow: older?.row, row: newer?.row })
    this.bytes += changeBytes + (older?.bytes ?? 0) + (newer?.bytes ?? 0)
  }

  truncate(tableOids: ReadonlyArray<number>): void {
    this.changes.push({ _tag: "Truncate", tableOids })
    this.bytes += changeBytes
  }
}
