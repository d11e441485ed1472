import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { ItemWriter, lateTransaction, ordinaryTransaction } from "../routing/ItemWriter.ts"
import type { Output, Pieces } from "../routing/Output.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"

/** What is written, given where it goes. */
type Compose = (output: Output) => Pieces

/** Where what shapes with sub-selects get of a transaction is written to: its ordinary record, or a late one. */
export class LaneWriter {
  private readonly engine: StorageEngine
  private readonly writer: JournalWriter
  private readonly ordinaryOutput: Output
  private readonly lateOutput: Output

  /** See `ItemWriter`. */
  constructor(
    engine: StorageEngine,
    writer: JournalWriter,
    onForbidden: ConstructorParameters<typeof ItemWriter>[1]
  ) {
    this.engine = engine
    this.writer = writer
    const ordinary = new ItemWriter(ordinaryTransaction(engine, writer), onForbidden)
    const late = new ItemWriter(lateTransaction(engine, writer), onForbidden)
    this.ordinaryOutput = { items: ordinary, endOfItems: () => writer.ordinary.endOfItems() }
    this.lateOutput = { items: late, endOfItems: () => writer.late.endOfItems() }
  }

  /** Into the record that the router has open. */
  ordinary({ commitLsn, xid }: RawTransaction, compose: Compose): Pieces {
    this.ordinaryOutput.items.begin(commitLsn, xid)
    return compose(this.ordinaryOutput)
  }

  /** As a record of its own, whatever else is being written. */
  *late(transaction: RawTransaction, compose: Compose): Pieces {
    yield* compose(this.beginLate(transaction))
    this.endLate(transaction)
  }

  /** The same, from here to `endLate` or `abandon`. */
  beginLate({ commitLsn, xid }: RawTransaction): Output {
    this.writer.late.beginTransaction(commitLsn, xid)
    this.lateOutput.items.begin(commitLsn, xid)
    return this.lateOutput
  }

  endLate({ commitLsn, endLsn, xid }: RawTransaction): void {
    const { store } = this.engine
    const { late } = this.writer
    const wrote = store.hasPendingLate
    late.commitTransaction(endLsn, wrote)
    if (wrote) store.commitLate(commitLsn, xid, late.segmentOfTransaction)
    else store.abandonLate()
  }

  /** What was being written is written again by whoever comes next. */
  abandon(): void {
    if (!this.writer.late.isOpen) return
    this.writer.late.abandonTransaction()
    this.engine.store.abandonLate()
  }
}
