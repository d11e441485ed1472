import { isUtf8 } from "node:buffer"
import type { Effect } from "effect"
import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import type { ChangeSink } from "../ChangeSink.ts"

/** Columns of the row whose text is not UTF-8. */
const foreignColumns = ({ buffer, lengths, starts }: Tuple, columns: number): Array<number> | undefined => {
  let foreign: Array<number> | undefined
  for (let i = 0; i < columns; i++) {
    const length = lengths[i] as number
    if (length <= 0) continue
    const start = starts[i] as number
    if (!isUtf8(buffer.subarray(start, start + length))) (foreign ??= []).push(i)
  }
  return foreign
}

/**
 * For databases in SQL_ASCII: Postgres checks and converts no text there, so what comes may be in any encoding. JSON
 * carries UTF-8 only. The sink is told of a row with other bytes before it is given it.
 */
export const guardEncoding = (sink: ChangeSink): ChangeSink => {
  const look = (relation: Relation, row: Tuple | undefined): void => {
    if (row === undefined) return
    const foreign = foreignColumns(row, row.columnCount)
    if (foreign === undefined) return
    const names = foreign.flatMap((i) => relation.columns[i]?.name ?? [])
    sink.unreadable(relation, names)
  }
  return {
    begin: (commitLsn, xid, commitTimeMicros) => sink.begin(commitLsn, xid, commitTimeMicros),
    relation: (relation) => sink.relation(relation),
    insert: (relation, row): Effect.Effect<void> | undefined => {
      look(relation, row)
      return sink.insert(relation, row)
    },
    update: (relation, oldRow, row) => {
      look(relation, oldRow)
      look(relation, row)
      return sink.update(relation, oldRow, row)
    },
    delete: (relation, oldRow, complete) => {
      look(relation, oldRow)
      return sink.delete(relation, oldRow, complete)
    },
    truncate: (relations) => sink.truncate(relations),
    commit: (endLsn) => sink.commit(endLsn),
    keepalive: (walEnd, isAsked) => sink.keepalive(walEnd, isAsked),
    batchEnd: () => sink.batchEnd(),
    durableLsn: () => sink.durableLsn(),
    unreadable: (relation, columns) => sink.unreadable(relation, columns)
  }
}
