import { makeTuple } from "../../postgres/Tuple.ts"
import { ByteWriter } from "../../shared/ByteWriter.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { makeTransactionStamp, type TransactionStamp } from "../../shapes/WireEncoder.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { RowLayout } from "./RowLayout.ts"

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
 * has to be behind everything that is stored, and before everything that the stream is going to bring. For followers it is a
 * transaction like any other.
 */
export class DifferenceWriter {
  private readonly engine: StorageEngine
  private readonly writer: JournalWriter
  private readonly lsn: Lsn
  private readonly stamp: TransactionStamp
  private readonly scratch = new ByteWriter(64 * 1024)
  private readonly old = makeTuple()
  private readonly now = makeTuple()
  private readonly id = new Uint32Array(1)
  private readonly counts = { inserts: 0, updates: 0, deletes: 0 }
  private nextOp = 0

  constructor(engine: StorageEngine, writer: JournalWriter, lsn: Lsn) {
    this.engine = engine
    this.writer = writer
    this.lsn = lsn
    this.stamp = makeTransactionStamp(lsn, undefined)
    writer.ordinary.beginTransaction(lsn, noXid)
  }

  get difference(): Difference {
    return this.counts
  }

  insert(shape: number, layout: RowLayout, row: Uint8Array): void {
    this.counts.inserts++
    this.scratch.clear()
    layout.encoder.insert(this.scratch, layout.unpack(row, this.now), this.stamp, this.nextOp)
    this.append(shape)
  }

  /** Nothing where no column of the shape differs. */
  update(shape: number, layout: RowLayout, old: Uint8Array, row: Uint8Array): void {
    const { encoder } = layout
    this.scratch.clear()
    const before = layout.unpack(old, this.old)
    const after = layout.unpack(row, this.now)
    if (encoder.update(this.scratch, before, after, this.stamp, this.nextOp) === 0) return
    this.counts.updates++
    this.append(shape)
  }

  delete(shape: number, layout: RowLayout, row: Uint8Array): void {
    this.counts.deletes++
    this.scratch.clear()
    layout.encoder.delete(this.scratch, layout.unpack(row, this.old), this.stamp, this.nextOp)
    this.append(shape)
  }

  private append(shape: number): void {
    const { engine, nextOp: op, writer } = this
    const { ordinary } = writer
    this.id[0] = shape
    ordinary.beginItem()
    const at = ordinary.out.length
    ordinary.out.append(this.scratch.written())
    const length = ordinary.out.length - at
    const position = ordinary.endItem(op, at, this.id, 1)
    engine.store.item(op, position, length, this.id, 0, 1)
    ordinary.endOfItems()
    // Two for each operation, as for those of the stream.
    this.nextOp += 2
  }

  /** Readers see it from now on. */
  commit(): void {
    const { engine, lsn, writer } = this
    const wrote = engine.store.hasPending
    writer.ordinary.commitTransaction(lsn, wrote)
    if (wrote) engine.store.commit(lsn, lsn, noXid, writer.ordinary.segmentOfTransaction)
    else engine.store.abandon()
    writer.flush()
  }

  /** It never happened. */
  abandon(): void {
    if (!this.writer.ordinary.isOpen) return
    this.writer.ordinary.abandonTransaction()
    this.engine.store.abandon()
  }
}
