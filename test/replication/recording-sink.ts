import type { Effect } from "effect"
import type { Lsn } from "../../src/shared/Lsn.ts"
import type { Relation } from "../../src/postgres/Relation.ts"
import { columnText, type Tuple, unchangedToastLength } from "../../src/postgres/Tuple.ts"
import type { ChangeSink } from "../../src/replication/ChangeSink.ts"
import type { Value } from "./pgoutput.encoder.ts"

export type SinkEvent =
  | { readonly call: "begin"; readonly lsn: Lsn; readonly xid: number; readonly time: bigint }
  | { readonly call: "relation"; readonly relation: Relation }
  | { readonly call: "insert"; readonly relation: Relation; readonly row: ReadonlyArray<Value> }
  | {
      readonly call: "update"
      readonly relation: Relation
      readonly old: ReadonlyArray<Value> | undefined
      readonly row: ReadonlyArray<Value>
    }
  | {
      readonly call: "delete"
      readonly relation: Relation
      readonly row: ReadonlyArray<Value>
      readonly complete: boolean
    }
  | { readonly call: "truncate"; readonly relations: ReadonlyArray<Relation> }
  | { readonly call: "commit"; readonly lsn: Lsn }
  | { readonly call: "keepalive"; readonly lsn: Lsn }
  | { readonly call: "batchEnd" }

export const valuesOf = (tuple: Tuple): ReadonlyArray<Value> =>
  Array.from({ length: tuple.columnCount }, (_, i) =>
    tuple.lengths[i] === unchangedToastLength ? { unchanged: true } : columnText(tuple, i)
  )

/** Keeps a copy of every call. `answer` decides what the call returns, `durable` what may be acknowledged. */
export const recordingSink = (options: {
  readonly answer?: (event: SinkEvent) => Effect.Effect<void> | undefined
  readonly durable?: () => Lsn
}) => {
  const events: Array<SinkEvent> = []
  const note = (event: SinkEvent) => {
    events.push(event)
    return options.answer?.(event)
  }
  const sink: ChangeSink = {
    begin: (lsn, xid, time) => void note({ call: "begin", lsn, xid, time }),
    relation: (relation) => note({ call: "relation", relation }),
    insert: (relation, row) => note({ call: "insert", relation, row: valuesOf(row) }),
    update: (relation, old, row) =>
      note({
        call: "update",
        relation,
        old: old === undefined ? undefined : valuesOf(old),
        row: valuesOf(row)
      }),
    delete: (relation, row, complete) => note({ call: "delete", relation, row: valuesOf(row), complete }),
    truncate: (relations) => note({ call: "truncate", relations }),
    commit: (lsn) => note({ call: "commit", lsn }),
    keepalive: (lsn) => void note({ call: "keepalive", lsn }),
    batchEnd: () => note({ call: "batchEnd" }),
    unreadable: () => {},
    durableLsn: () => options.durable?.() ?? 0n
  }
  return { sink, events }
}
