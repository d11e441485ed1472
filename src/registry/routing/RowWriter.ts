import { Effect } from "effect"
import type { Tuple } from "../../postgres/Tuple.ts"
import { inTurns, type Pieces } from "../../shared/InTurns.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { DeferredRow } from "./DeferredRows.ts"
import { ItemWriter, type OnForbidden, ordinaryTransaction } from "./ItemWriter.ts"
import { isLarge, LargeRows } from "./LargeRows.ts"
import type { IdList, Ids } from "./Matcher.ts"
import type { RouteTarget } from "./TableRoute.ts"

/** After so long everything else gets its turn while a large row is written. */
const largeTurnMillis = 4

/** Writes what the stream brings into the ordinary transaction: rows as they come, and large ones with pauses in between. */
export class RowWriter {
  private readonly engine: StorageEngine
  private readonly writer: JournalWriter
  private readonly items: ItemWriter
  private readonly large: LargeRows

  constructor(
    { engine, writer }: { readonly engine: StorageEngine; readonly writer: JournalWriter },
    onForbidden: OnForbidden
  ) {
    this.engine = engine
    this.writer = writer
    const transaction = ordinaryTransaction(engine, writer)
    this.items = new ItemWriter(transaction, onForbidden)
    this.large = new LargeRows(transaction, onForbidden)
  }

  begin(commitLsn: Lsn, xid: number): void {
    this.items.begin(commitLsn, xid)
    this.large.begin(commitLsn, xid)
  }

  /** See `ItemWriter.write`. Of a large row only `rest` writes anything. */
  write(
    target: RouteTarget,
    op: number,
    oldRow: Tuple | undefined,
    row: Tuple | undefined,
    before: Ids,
    after: Ids
  ): void {
    if (isLarge(oldRow, row)) this.large.sketch(target, op, oldRow, row, before, after)
    else this.items.write(target, op, oldRow, row, before, after)
  }

  /** Behind each change: what is left to do before the next one, whose memory must not change until then. */
  rest(): Effect.Effect<void> | undefined {
    if (!this.large.isEmpty) return this.inTurns(this.writeLarge())
    this.writer.ordinary.endOfItems()
    return undefined
  }

  private *writeLarge(): Pieces {
    yield* this.large.write()
    this.writer.ordinary.endOfItems()
  }

  private inTurns(work: Pieces): Effect.Effect<void> {
    return inTurns(work, this.engine.timers, largeTurnMillis)
  }

  /** Rows that were put off: shapes that have left since get nothing of them. With a large one among them, what leaves in its pauses gets nothing of those behind it. */
  writeDecided(rows: ReadonlyArray<DeferredRow>): Effect.Effect<void> {
    const hasLarge = rows.some(({ oldRow, row }) => isLarge(oldRow, row))
    for (const { after, before, oldRow, op, row, target } of rows) {
      retainPresent(target, before)
      if (after !== before) retainPresent(target, after)
      if (before.count + after.count === 0) continue
      if (hasLarge) this.large.sketch(target, op, oldRow, row, before, after)
      else {
        this.items.write(target, op, oldRow, row, before, after)
        this.writer.ordinary.endOfItems()
      }
    }
    return this.rest() ?? Effect.void
  }

  /** The shape gets nothing of what is being written. */
  leaves(id: number): void {
    this.large.leaves(id)
  }
}

const retainPresent = (target: RouteTarget, list: IdList): void => {
  let count = 0
  for (let i = 0; i < list.count; i++) {
    const id = list.ids[i] as number
    if (target.variant(id) !== undefined) list.ids[count++] = id
  }
  list.count = count
}
