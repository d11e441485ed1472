import type { Effect } from "effect"
import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"

/**
 * Where shapes with sub-selects get their changes from: the router hands on what comes of the tables that they look at, and has
 * nothing else to do with them. Called in stream order, as `ChangeSink` is.
 */
export interface MemberSink {
  /** Whether it has the shape, or is to have it: then the router has not. */
  readonly has: (shape: ShapeState) => boolean
  readonly addShape: (shape: ShapeState) => void
  readonly removeShape: (shape: ShapeState) => void
  readonly begin: (commitLsn: Lsn, xid: number, commitTimeMicros: bigint) => void
  /** Rows of this relation are also rows of these tables, the relation's own first. */
  readonly relation: (relation: Relation, tableOids: ReadonlyArray<number>) => void
  /** Completes when there is room for more. Rows are copied; old rows are whole. */
  readonly change: (
    relation: Relation,
    op: number,
    oldRow: Tuple | undefined,
    row: Tuple | undefined
  ) => Effect.Effect<void> | undefined
  /** Old rows of the relation do not come whole. */
  readonly withoutOldRow: (relation: Relation) => void
  readonly truncate: (relations: ReadonlyArray<Relation>) => void
  /**
   * All of the transaction has come, which has so many operations, by number. With `isOpen` the ordinary record of the transaction
   * is still open, and what its shapes get may be written to it.
   */
  readonly commit: (endLsn: Lsn, nextOp: number, isOpen: boolean) => Effect.Effect<void> | undefined
  /** The server has sent everything up to here. */
  readonly received: (lsn: Lsn) => void
  readonly close: () => void
}
