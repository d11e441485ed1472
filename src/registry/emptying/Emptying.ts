import { Effect, type Scope } from "effect"
import { makeTuple } from "../../postgres/Tuple.ts"
import type { Complaints } from "../../storage/Complaints.ts"
import type { ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { foldLog } from "../folding/FoldLog.ts"
import { HeldRows } from "../folding/HeldRows.ts"
import { RowLayout } from "../folding/RowLayout.ts"
import { firstMovePauseMillis, longestMovePauseMillis } from "../RegistryTimings.ts"
import type { ItemWriter } from "../routing/ItemWriter.ts"
import { IdList } from "../routing/Matcher.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import { mostDeleted, placeOfDelete } from "./Places.ts"

/** Deletes after which it is seen whether others should have their turn. */
const rowsPerLook = 64

interface EmptyingOptions {
  readonly logs: Pick<ShapeLogs["Service"], "read">
  readonly complaints: Complaints
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
}

/** Shapes whose table a transaction has truncated, with the rows that readers of them hold before it. */
interface Held {
  readonly rows: HeldRows
  readonly layouts: ReadonlyMap<ShapeState, RowLayout>
}

/** Which rows shapes lose when their table is truncated only their logs tell: Postgres has none of them any more. */
export class Emptying {
  private readonly options: EmptyingOptions
  private held: Held | undefined

  constructor(options: EmptyingOptions) {
    this.options = options
  }

  /**
   * Reads what those of the shapes hold that the transaction is for, for `write`, until the scope ends. They have to have everything
   * that stands before it; what has it already gets it no second time. One that cannot be read is dropped.
   */
  hold(
    { commitLsn, xid }: RawTransaction,
    all: ReadonlyArray<ShapeState>
  ): Effect.Effect<void, never, Scope.Scope> {
    const { drop } = this.options
    const shapes = all.filter(
      (shape) => shape.end.tx < commitLsn && shape.includesLate(commitLsn, xid) === true
    )
    return Effect.gen({ self: this }, function* () {
      const rows = yield* Effect.catch(HeldRows.make, ({ message }) =>
        Effect.sync(() => drop(shapes, `its table was truncated, and ${message}`))
      )
      if (rows === undefined) return
      const layouts = new Map<ShapeState, RowLayout>()
      this.held = { rows, layouts }
      yield* Effect.addFinalizer(() => Effect.sync(() => (this.held = undefined)))
      for (const shape of shapes) {
        // Rows that were told before the table was altered have other columns.
        const layout = new RowLayout(shape.definition, { mayDiffer: true })
        if (yield* this.fold(shape, layout, rows)) layouts.set(shape, layout)
      }
    })
  }

  private fold(shape: ShapeState, layout: RowLayout, rows: HeldRows): Effect.Effect<boolean> {
    const { complaints, drop, logs } = this.options
    const attempt = (pauseMillis: number): Effect.Effect<boolean> =>
      foldLog(logs, shape, layout, rows).pipe(
        Effect.catch((error: ShapeReadError) => {
          if (shape.dropped) return Effect.succeed(false)
          if (error.mayPass !== true) {
            drop([shape], `what is stored of it cannot be read: ${error.message}`)
            return Effect.succeed(false)
          }
          complaints.about(
            "reading",
            `A shape whose table was truncated cannot be read: ${error.message}. Tried again; its readers wait.`
          )
          const next = Effect.suspend(() => attempt(Math.min(2 * pauseMillis, longestMovePauseMillis)))
          return Effect.andThen(Effect.sleep(pauseMillis), next)
        })
      )
    return attempt(firstMovePauseMillis)
  }

  /** Writes that these of the shapes lose all the rows that are held of them. Gives way between rows. */
  *write(
    shapes: Iterable<ShapeState>,
    items: ItemWriter,
    endOfItems: () => void
  ): Generator<undefined, void> {
    const { held } = this
    if (held === undefined) return
    const row = makeTuple()
    const ids = new IdList()
    let looks = 0
    for (const shape of shapes) {
      const layout = held.layouts.get(shape)
      if (layout === undefined || shape.dropped) continue
      ids.count = 0
      ids.push(shape.id)
      let n = 0
      for (const { row: packed } of held.rows.notFound(shape.id, 1)) {
        if (n >= mostDeleted) break
        items.remove(layout.encoderOf(packed), placeOfDelete(n++), layout.unpack(packed, row), ids)
        endOfItems()
        if (++looks % rowsPerLook === 0) yield
      }
      if (n >= mostDeleted) this.options.drop([shape], "its table was truncated, and it has too many rows")
    }
  }
}
