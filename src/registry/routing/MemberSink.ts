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
  /** Whether the shape is one of its own: then the router has nothing to do with its rows. */
  readonly has: (shape: ShapeState) => boolean
  /** All of those, as they are at the moment. */
  readonly shapes: ReadonlySet<ShapeState>
  /**
   * The transaction at hand truncates the table of these shapes, which have no sub-selects: they are among its own from this
   * transaction on, until what they lose by that is known and nothing is behind any more. False where they have all of that.
   */
  readonly adopt: (shapes: ReadonlyArray<ShapeState>) => boolean
  /**
   * These shapes are to be compared with the database: they are among its own from now on, until they have what there is and nothing is
   * behind any more. What they had of the transaction at hand does not count.
   */
  readonly mend: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  /** The transaction at hand is one of before: its own shapes have it. */
  readonly hasPassed: () => boolean
  readonly removeShape: (shape: ShapeState) => void
  /** The stream starts here: everything before is in the journal. */
  readonly startAt: (lsn: Lsn) => void
  /**
   * False: what comes may be of another history than what is stored. It is received, and nothing is made of it. A stream is trusted
   * until it is said otherwise.
   */
  readonly trust: (isCertain: boolean) => void
  /** Rows of this relation are also rows of these tables. Returns shapes on them that cannot take rows like these. */
  readonly relation: (relation: Relation, tableOids: ReadonlyArray<number>) => ReadonlyArray<ShapeState>
  /** These relations' rows are none of the table's any more. */
  readonly detach: (tableOid: number, relationOids: ReadonlyArray<number>) => void
  readonly begin: (commitLsn: Lsn, xid: number) => void
  /** Completes when there is room for more. Rows are copied; old rows are whole. */
  readonly change: (
    relation: Relation,
    op: number,
    oldRow: Tuple | undefined,
    row: Tuple | undefined
  ) => Effect.Effect<void> | undefined
  /** These relations have no rows any more. */
  readonly truncate: (relationOids: ReadonlyArray<number>) => void
  /**
   * All of the transaction has come, which has so many operations, by number. With `isOpen` the ordinary record of the transaction
   * is open still, and what its shapes get may be written to it.
   */
  readonly commit: (endLsn: Lsn, nextOp: number, isOpen: boolean) => Effect.Effect<void> | undefined
  /** The record of the transaction is whole. */
  readonly committed: () => void
  /** The server has sent everything up to here. */
  readonly received: (lsn: Lsn) => void
  readonly close: () => void
}
