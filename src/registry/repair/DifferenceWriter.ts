import { Effect } from "effect"
import { makeTuple } from "../../postgres/Tuple.ts"
import { ByteWriter } from "../../shared/ByteWriter.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { makeTransactionStamp, type TransactionStamp } from "../../shapes/WireEncoder.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { TransactionWriter } from "../../storage/journal/TransactionWriter.ts"
import { durableIn, type NotWriting } from "../../storage/NotWriting.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { RowLayout } from "../folding/RowLayout.ts"
import type { Differences } from "./TableComparison.ts"

/** What was found different in rows of shapes. */
export interface Difference {
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
}

/** No transaction of the database has this id. */
const noXid = 0

/**
 * Appends what shapes lack to their logs, as one transaction, which readers see all of or nothing. Its commit is at `lsn`, which
 * has to be behind everything that is stored of the shapes, and before everything that the stream is going to bring them. For
 * followers it is a transaction like any other: an ordinary one, with which all shapes are at `lsn`, or a late one.
 */
export class DifferenceWriter implements Differences {
  private readonly engine: StorageEngine
  private readonly writer: JournalWriter
  private readonly transaction: TransactionWriter
  private readonly isLate: boolean
  private readonly lsn: Lsn
  private readonly stamp: TransactionStamp
  private readonly scratch = new ByteWriter(64 * 1024)
  private readonly old = makeTuple()
  private readonly now = makeTuple()
  private readonly id = new Uint32Array(1)
  private readonly counts = { inserts: 0, updates: 0, deletes: 0 }
  private nextOp = 0
  private segment = 0

  constructor(engine: StorageEngine, writer: JournalWriter, lsn: Lsn, isLate = false) {
    this.engine = engine
    this.writer = writer
    this.transaction = isLate ? writer.late : writer.ordinary
    this.isLate = isLate
    this.lsn = lsn
    this.stamp = makeTransactionStamp(lsn, undefined)
    this.transaction.beginTransaction(lsn, noXid)
  }

  get difference(): Difference {
    return this.counts
  }

  insert(shape: number, layout: RowLayout, _key: string, row: Uint8Array): void {
    this.counts.inserts++
    this.scratch.clear()
    layout.encoder.insert(this.scratch, layout.unpack(row, this.now), this.stamp, this.nextOp)
    this.append(shape)
  }

  /**
   * Nothing where no column of the shape differs. Where readers have a column that the row has no more, only a new row in the place of the
   * old one rids them of it; and an `old_value` is of all columns.
   */
  update(shape: number, layout: RowLayout, key: string, old: Uint8Array, row: Uint8Array): void {
    const { encoder } = layout
    if (layout.hasSurplus(old) || (layout.isFull && layout.lacksColumns(old))) {
      this.delete(shape, layout, key, old)
      return this.insert(shape, layout, key, row)
    }
    this.scratch.clear()
    const before = layout.unpack(old, this.old)
    const after = layout.unpack(row, this.now)
    if (encoder.update(this.scratch, before, after, this.stamp, this.nextOp) === 0) return
    this.counts.updates++
    this.append(shape)
  }

  delete(shape: number, layout: RowLayout, _key: string, row: Uint8Array): void {
    this.counts.deletes++
    this.scratch.clear()
    layout.encoderOf(row).delete(this.scratch, layout.unpack(row, this.old), this.stamp, this.nextOp)
    this.append(shape)
  }

  private append(shape: number): void {
    const { engine, isLate, nextOp: op, transaction } = this
    this.id[0] = shape
    transaction.beginItem()
    const at = transaction.out.length
    transaction.out.append(this.scratch.written())
    const length = transaction.out.length - at
    const position = transaction.endItem(op, at, this.id, 1)
    engine.store.item(op, position, length, this.id, 0, 1, isLate)
    transaction.endOfItems()
    // Two for each operation, as for those of the stream.
    this.nextOp += 2
  }

  private get hasWritten(): boolean {
    const { store } = this.engine
    return this.isLate ? store.hasPendingLate : store.hasPending
  }

  private seal(): void {
    if (!this.transaction.isOpen) return
    this.transaction.commitTransaction(this.lsn, this.hasWritten)
    this.segment = this.transaction.segmentOfTransaction
  }

  /** Completes when all of it is durable, and nobody has seen it: it follows from nothing that Postgres would send again. */
  readonly durable: Effect.Effect<void, NotWriting> = Effect.suspend(() => {
    this.seal()
    if (!this.hasWritten) return Effect.void
    this.writer.flush()
    return durableIn(this.writer)
  })

  /** Readers see it from now on. */
  commit(): void {
    const { engine, lsn, writer } = this
    const { store } = engine
    this.seal()
    const { segment: segmentOfTransaction } = this
    if (!this.hasWritten) this.forget()
    else if (this.isLate) store.commitLate(lsn, noXid, segmentOfTransaction)
    else store.commit(lsn, lsn, noXid, segmentOfTransaction)
    writer.flush()
  }

  /** It never happened. */
  abandon(): void {
    if (this.transaction.isOpen) this.transaction.abandonTransaction()
    this.forget()
  }

  private forget(): void {
    const { store } = this.engine
    if (this.isLate) store.abandonLate()
    else store.abandon()
  }
}
