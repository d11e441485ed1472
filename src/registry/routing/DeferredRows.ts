import type { Effect } from "effect"
import type { DecisionBudget } from "./DecisionBudget.ts"
import type { Relation } from "../../postgres/Relation.ts"
import { copyTuple } from "../../postgres/CopyTuple.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { type Ids, IdList } from "./Matcher.ts"
import type { RouteTarget } from "./TableRoute.ts"

/** Rows that are kept at most before Postgres is asked about them, however few shapes there are to ask about. */
const mostRows = 1000
/** Pairs of a row and a condition to ask about: what one statement takes less time for than it is given. */
const mostQuestions = 5000
/** Bytes of the rows and of the lists of their shapes. One row alone may be larger. */
const mostBytes = 4 << 20
/** What a row takes beside its values. */
const rowBytes = 512

/** A change that is written later: some of its shapes only Postgres can tell, or it comes after one of that kind. */
export interface DeferredRow {
  readonly target: RouteTarget
  readonly relation: Relation
  readonly op: number
  readonly oldRow: Tuple | undefined
  readonly row: Tuple | undefined
  /** Shapes to ask about, for the old and for the new row. */
  readonly askBefore: ReadonlyArray<number>
  readonly askAfter: ReadonlyArray<number>
  /** Shapes that the old and the new row belong to: those known without asking, and those that Postgres adds. */
  readonly before: IdList
  readonly after: IdList
}

/** Shapes that cannot be decided about, with the reason. What else Postgres says is added to the rows. */
export interface Undecidable {
  /** Postgres raises an error for a row. */
  readonly failed: Map<number, string>
  /** It would take too much. */
  readonly aboveLimit: Map<number, string>
}

/** Has Postgres decide about rows. Fails when it cannot be asked. */
export type Decide = (rows: ReadonlyArray<DeferredRow>, budget: DecisionBudget) => Effect.Effect<Undecidable>

/**
 * The changes of the open transaction that are not written yet, in the order of their operations. Bounded: once it is
 * full, the router has to have it decided and emptied before the next change comes.
 */
export class DeferredRows {
  private rows: Array<DeferredRow> = []
  private questions = 0
  private bytes = 0

  get isEmpty(): boolean {
    return this.rows.length === 0
  }

  get isFull(): boolean {
    return this.rows.length >= mostRows || this.questions >= mostQuestions || this.bytes >= mostBytes
  }

  /** Copies the rows and lists: theirs are used again for the next change. `before` may be `after` itself. */
  add(change: Omit<DeferredRow, "before" | "after">, before: Ids, after: Ids): void {
    const oldRow = copyOf(change.oldRow)
    const row = copyOf(change.row)
    const newer = copyOfIds(after)
    const older = before === after ? newer : copyOfIds(before)
    this.rows.push({ ...change, oldRow, row, before: older, after: newer })
    this.questions += change.askBefore.length + change.askAfter.length
    this.bytes +=
      rowBytes + (oldRow?.buffer.length ?? 0) + (row?.buffer.length ?? 0) + 4 * (before.count + after.count)
  }

  /** Everything that was added since the last time. */
  take(): ReadonlyArray<DeferredRow> {
    const { rows } = this
    this.rows = []
    this.questions = 0
    this.bytes = 0
    return rows
  }
}

const copyOfIds = ({ ids, count }: Ids): IdList => {
  const list = new IdList()
  if (count > 0) list.ids = ids.slice(0, count)
  list.count = count
  return list
}

const copyOf = (tuple: Tuple | undefined): Tuple | undefined =>
  tuple === undefined ? undefined : copyTuple(tuple)
