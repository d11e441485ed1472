import type { Effect } from "effect"
import type { Relation } from "../../postgres/Relation.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { Decide } from "./DeferredRows.ts"
import type { MakeMatcher } from "./Matcher.ts"
import type { MemberSink } from "./MemberSink.ts"
import type { PreparedRoutes } from "./PreparedRoutes.ts"
import type { ShapesByTable } from "../../shapes/ShapesByTable.ts"

/** A transaction that changes shapes. */
interface CommittedTransaction {
  readonly commitLsn: bigint
  readonly xid: number
  readonly commitTimeMicros: bigint
  /** Changes of rows, those that concern no shape included. */
  readonly operations: number
  /** Of the journal, behind it. */
  readonly marker: number
}

/** A table as a transaction of the stream describes it, for the first time in this session. */
export interface Described {
  readonly relation: Relation
  readonly commitLsn: Lsn
  /** Of the transaction that has rows of it. */
  readonly xid: number
  /** Tables with shapes, and partitions of those, that have not been described either: some of them may be next. */
  readonly others: () => Iterable<number>
}

/** What the router of one session of the stream works with, and whom it tells. */
export interface RouterOptions {
  readonly engine: StorageEngine
  readonly writer: JournalWriter
  readonly shapes: ShapesByTable<ShapeState>
  /** Where shapes with sub-selects get their changes. */
  readonly members: MemberSink
  readonly makeMatcher: MakeMatcher
  /** What was made ready before this session began. */
  readonly prepared: PreparedRoutes
  /**
   * OIDs of the partitioned tables above a table. Does not fail: it is asked again until the catalogue answers. `described`: of a
   * table that the stream has not described before.
   */
  readonly ancestors: (oid: number, described?: Described) => Effect.Effect<ReadonlyArray<number>>
  /**
   * Asked before the first change of a table that the stream has described (again): completes when the publication has not lacked
   * changes of tables in use until the transaction was committed, and never where it has, because then the session is over.
   */
  readonly published: (
    shapes: Pick<ShapesByTable<ShapeState>, "isEmpty" | "tables">,
    commitLsn: Lsn
  ) => Effect.Effect<void>
  /**
   * Asked before the first change of a table, one of these, that a transaction describes (again): completes when it was told of shapes
   * that are to be compared because the table's rows have got other values without a word. `undefined`: it is known already.
   */
  readonly described?:
    | ((
        shapes: Pick<ShapesByTable<ShapeState>, "tables">,
        oids: ReadonlyArray<number>,
        commitLsn: Lsn,
        xid: number
      ) => Effect.Effect<void> | undefined)
    | undefined
  /** Adds to each row the shapes that it belongs to as Postgres says. Asks until it can. */
  readonly decide: Decide
  /** For so long the stream may wait for that; see `DecisionBudget`. */
  readonly decisionMillis: number
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  /** A table's rows come without their old values: its identity must be made FULL again. */
  readonly identityLost: (relation: Relation) => void
  /** More may be acknowledged. */
  readonly onDurable: () => void
  /** A transaction that is new to storage begins. */
  readonly onBegin?: (() => void) | undefined
  /** Shapes have changes of this transaction, and nobody has been woken for them yet. */
  readonly onCommit?: ((transaction: CommittedTransaction) => void) | undefined
  /** Everything up to `lsn` has been received and dealt with. */
  readonly onReached?: ((lsn: bigint) => void) | undefined
  readonly onTransaction?: (operations: number, commitTimeMicros: bigint) => void
}
