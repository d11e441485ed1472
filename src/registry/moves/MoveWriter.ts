import type { Tuple } from "../../postgres/Tuple.ts"
import { IdList } from "../routing/Matcher.ts"
import { placeBehind } from "../emptying/Places.ts"
import type { LaneTable } from "./LaneTable.ts"
import type { Output, Pieces } from "../routing/Output.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import { isEmptied } from "./Wanted.ts"
import type { WorkingTable } from "./WorkingSet.ts"

/** A row that shapes get, or lose, because a sub-select gives another answer than before. */
export interface Move {
  /** As the working set has it. */
  readonly row: string
  /** The bytes of its key. */
  readonly key: string
  /** So many equal rows, of a table without a key. */
  readonly times: number
  readonly entering: ReadonlyArray<number>
  readonly leaving: ReadonlyArray<number>
}

const rowsPerPiece = 64

/**
 * Writes the moves of a transaction. Their places are behind all of its operations, for each shape one after the other in the
 * order of the rows' keys: what another shape gets changes nothing of them, so they are the same whenever the transaction is
 * processed again.
 */
export class MoveWriter {
  private readonly output: Output
  private readonly transaction: RawTransaction
  /** By shape: the number of the next move. */
  private readonly next = new Map<number, number>()

  constructor(transaction: RawTransaction, output: Output) {
    this.output = output
    this.transaction = transaction
  }

  /** Brings the moves in order. */
  *write(working: WorkingTable, moves: Array<Move>): Pieces {
    let written = 0
    moves.sort(byKey)
    for (const { entering, leaving, row: bytes, times } of moves) {
      const row = working.tupleOf(bytes)
      for (let n = times; n > 0; n--) {
        this.one(working.table, row, entering, leaving)
        if (++written % rowsPerPiece === 0) yield
      }
    }
  }

  /** The next one in their order. */
  one(table: LaneTable, row: Tuple, entering: ReadonlyArray<number>, leaving: ReadonlyArray<number>): void {
    const { items } = this.output
    const { nextOp } = this.transaction
    const firstOp = isEmptied(this.transaction, table) ? placeBehind(nextOp) : nextOp
    for (const [op, ids] of this.placed(entering, firstOp))
      items.write(table.own, op, undefined, row, noIds, ids)
    for (const [op, ids] of this.placed(leaving, firstOp))
      items.write(table.own, op, row, undefined, ids, noIds)
    this.output.endOfItems()
  }

  /** Shapes by the number that the next operation of each has: for most rows the same one. */
  private placed(ids: ReadonlyArray<number>, firstOp: number): ReadonlyMap<number, IdList> {
    const byOp = new Map<number, IdList>()
    for (const id of ids) {
      const op = this.next.get(id) ?? firstOp
      // Two for each operation, as for those of the transaction.
      this.next.set(id, op + 2)
      let list = byOp.get(op)
      if (list === undefined) byOp.set(op, (list = new IdList()))
      list.push(id)
    }
    return byOp
  }
}

const noIds = new IdList()

const byKey = (a: Move, b: Move): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)

/** Where the columns stand by which the rows of a table are ordered: its key, which all its shapes have in common. */
export const keyIndexesOf = (table: LaneTable): ReadonlyArray<number> => {
  const [shape] = table.shapes
  return (shape?.common.keyColumns ?? []).map((name) =>
    table.columns.findIndex((column) => column.name === name)
  )
}
