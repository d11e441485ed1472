import type { Lsn } from "../../shared/Lsn.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { ByteWriter, type Gaps } from "../../shared/ByteWriter.ts"
import { TransactionStamp, type WireEncoder } from "../../shapes/WireEncoder.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { TransactionWriter } from "../../storage/journal/TransactionWriter.ts"
import type { ShapeStore } from "../../storage/state/ShapeStore.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { Ids } from "./Matcher.ts"
import type { RouteTarget, Variant } from "./TableRoute.ts"

/** What items are written to; see `TransactionWriter`. */
export type ItemOutput = Pick<TransactionWriter, "beginItem" | "endItem" | "out">

/** An open transaction in the journal, and the same in memory: the ordinary one or the late one. */
export interface OpenTransaction<Output extends ItemOutput = ItemOutput> {
  readonly writer: Output
  readonly item: ShapeStore["item"]
}

/** Whichever store it is that the engine has by then. */
export const ordinaryTransaction = (
  engine: StorageEngine,
  { ordinary }: JournalWriter
): OpenTransaction<TransactionWriter> => ({
  writer: ordinary,
  item: (op, position, length, ids, from, shapes) =>
    engine.store.item(op, position, length, ids, from, shapes)
})

export const lateTransaction = (
  engine: StorageEngine,
  { late }: JournalWriter
): OpenTransaction<TransactionWriter> => ({
  writer: late,
  item: (op, position, length, ids, from, shapes) =>
    engine.store.item(op, position, length, ids, from, shapes, true)
})

/** Told of the transaction, too. */
export type OnForbidden = (
  target: RouteTarget,
  row: Tuple,
  takers: Ids,
  at: { readonly commitLsn: Lsn; readonly xid: number }
) => void

/**
 * Writes changes as items of an open transaction, into the journal and to the shapes: each is encoded once for all shapes
 * whose messages are the same bytes.
 */
export class ItemWriter {
  private readonly writer: ItemOutput
  private readonly item: OpenTransaction["item"]
  private readonly onForbidden: OnForbidden
  private readonly scratch = new ByteWriter(64 * 1024)
  private commitLsn: Lsn = 0n
  private xid = 0
  private readonly stamp = new TransactionStamp()
  private isStamped = false

  /**
   * `onForbidden`: a row has a value that clients of some of its takers cannot take (see `ForbiddenValues`). These are to
   * be dropped before it is written. With `gaps`, long texts are left out.
   */
  constructor({ item, writer }: OpenTransaction, onForbidden: OnForbidden, gaps?: Gaps) {
    this.scratch.gaps = gaps
    this.item = item
    this.writer = writer
    this.onForbidden = onForbidden
  }

  /** What is written from now on belongs to this transaction. */
  begin(commitLsn: Lsn, xid: number): void {
    this.commitLsn = commitLsn
    this.xid = xid
    this.isStamped = false
  }

  private transactionStamp(): TransactionStamp {
    if (!this.isStamped) this.stamp.set(this.commitLsn, this.xid)
    this.isStamped = true
    return this.stamp
  }

  /**
   * Writes the messages of one change. `before` and `after` are the shapes that had the row and those that have it, and
   * the same object where these are the same.
   */
  write(
    target: RouteTarget,
    op: number,
    oldRow: Tuple | undefined,
    row: Tuple | undefined,
    before: Ids,
    after: Ids
  ): void {
    if (row !== undefined && after.count > 0 && target.forbidden.isIn(row))
      this.onForbidden(target, row, after, { commitLsn: this.commitLsn, xid: this.xid })
    const only = target.onlyVariant
    if (only !== undefined && (before === after || before.count === 0 || after.count === 0)) {
      if (before === after) this.emitUpdate(only.encoder, op, oldRow, row, before)
      else if (before.count === 0) this.emitInsert(only.encoder, op, row, after)
      else this.emitDelete(only.encoder, op, oldRow, before)
      return
    }
    const touched = new Set<Variant>()
    const list = (id: number, kind: "inserts" | "updates" | "deletes") => {
      const variant = target.variant(id)
      if (variant === undefined) return
      touched.add(variant)
      variant[kind].push(id)
    }
    if (before === after) for (let i = 0; i < after.count; i++) list(after.ids[i] as number, "updates")
    else {
      const had = new Set<number>()
      for (let i = 0; i < before.count; i++) had.add(before.ids[i] as number)
      for (let i = 0; i < after.count; i++) {
        const id = after.ids[i] as number
        list(id, had.delete(id) ? "updates" : "inserts")
      }
      for (const id of had) list(id, "deletes")
    }
    for (const variant of touched) {
      if (variant.inserts.count > 0) this.emitInsert(variant.encoder, op, row, variant.inserts)
      if (variant.updates.count > 0) this.emitUpdate(variant.encoder, op, oldRow, row, variant.updates)
      if (variant.deletes.count > 0) this.emitDelete(variant.encoder, op, oldRow, variant.deletes)
      variant.inserts.count = 0
      variant.updates.count = 0
      variant.deletes.count = 0
    }
  }

  /** Writes that the shapes lose a row. */
  remove(encoder: WireEncoder, op: number, row: Tuple, ids: Ids): void {
    this.emitDelete(encoder, op, row, ids)
  }

  private emitInsert(encoder: WireEncoder, op: number, row: Tuple | undefined, ids: Ids): void {
    if (row === undefined) return
    this.writer.beginItem()
    const at = this.writer.out.length
    encoder.insert(this.writer.out, row, this.transactionStamp(), op)
    this.endItem(op, at, ids)
  }

  private emitDelete(encoder: WireEncoder, op: number, oldRow: Tuple | undefined, ids: Ids): void {
    if (oldRow === undefined) return
    this.writer.beginItem()
    const at = this.writer.out.length
    encoder.delete(this.writer.out, oldRow, this.transactionStamp(), op)
    this.endItem(op, at, ids)
  }

  private emitUpdate(
    encoder: WireEncoder,
    op: number,
    oldRow: Tuple | undefined,
    row: Tuple | undefined,
    ids: Ids
  ): void {
    if (oldRow === undefined || row === undefined) return
    const scratch = this.scratch
    scratch.clear()
    const messages = encoder.update(scratch, oldRow, row, this.transactionStamp(), op)
    if (messages === 0) return
    this.copyItem(op, 0, messages === 1 ? scratch.length : encoder.secondStart, ids)
    if (messages === 2) this.copyItem(op + 1, encoder.secondStart, scratch.length, ids)
  }

  private copyItem(op: number, from: number, to: number, ids: Ids): void {
    this.writer.beginItem()
    const at = this.writer.out.length
    this.writer.out.append(this.scratch.buffer.subarray(from, to))
    this.endItem(op, at, ids)
  }

  private endItem(op: number, at: number, ids: Ids): void {
    const length = this.writer.out.length - at
    const position = this.writer.endItem(op, at, ids.ids, ids.count)
    this.item(op, position, length, ids.ids, 0, ids.count)
  }
}
