import { bytesOf, type Tuple } from "../../postgres/Tuple.ts"
import { ByteWriter } from "../../shared/ByteWriter.ts"
import type { Pieces } from "../../shared/InTurns.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { TextGaps, writerFor } from "../../shapes/TextGaps.ts"
import { LargeItem, largeItemBytes } from "../../storage/journal/LargeItem.ts"
import { type ItemOutput, ItemWriter, type OnForbidden, type OpenTransaction } from "./ItemWriter.ts"
import type { TransactionWriter } from "../../storage/journal/TransactionWriter.ts"

/** Rows with so much text are written in pieces, with everything else in between. */
export const largeRowBytes = 1 << 20

/** Whether one of the rows is large. Asked for every change: messages as large as that have memory of their own. */
export const isLarge = (oldRow: Tuple | undefined, row: Tuple | undefined): boolean =>
  (row !== undefined && row.buffer.length >= largeRowBytes && bytesOf(row) >= largeRowBytes) ||
  (oldRow !== undefined && oldRow.buffer.length >= largeRowBytes && bytesOf(oldRow) >= largeRowBytes)

/** A message without its long texts. */
interface Sketch {
  readonly op: number
  readonly from: number
  readonly to: number
  readonly ids: Uint32Array
}

/** Notes messages in the place of a transaction of the journal. */
class Sketches implements ItemOutput {
  readonly out = new ByteWriter()
  all: Array<Sketch> = []

  beginItem(): void {}

  endItem(op: number, messageAt: number, ids: Uint32Array, shapes: number): number {
    this.all.push({ op, from: messageAt, to: this.out.length, ids: ids.slice(0, shapes) })
    return 0
  }
}

/**
 * Writes changes of large rows into the ordinary transaction, each as `ItemWriter` does, but with pauses: `sketch` notes the messages
 * of a change without their long texts, and `write` composes them one after the other beside the journal, where they are put as
 * a whole. Until that is done the memory of the rows must not change, and nothing else may be written into the transaction.
 *
 * What leaves in a pause gets nothing more: `leaves` says so.
 */
export class LargeRows {
  private readonly writer: TransactionWriter
  private readonly item: OpenTransaction["item"]
  private readonly gaps = new TextGaps()
  private readonly sketches = new Sketches()
  private readonly items: ItemWriter
  private readonly left = new Set<number>()
  private readonly message = new ByteWriter()
  private commitLsn: Lsn = 0n
  private xid = 0
  /** Nothing has been noted since all was forgotten. */
  private isClean = true

  constructor({ item, writer }: OpenTransaction<TransactionWriter>, onForbidden: OnForbidden) {
    this.writer = writer
    this.item = item
    this.sketches.out.gaps = this.gaps
    this.items = new ItemWriter({ writer: this.sketches, item: () => {} }, onForbidden, this.gaps)
  }

  /** What is written from now on belongs to this transaction. What was noted for another one is forgotten. */
  begin(commitLsn: Lsn, xid: number): void {
    this.commitLsn = commitLsn
    this.xid = xid
    this.items.begin(commitLsn, xid)
    if (!this.isClean) this.forget()
  }

  get isEmpty(): boolean {
    return this.sketches.all.length === 0
  }

  /** See `ItemWriter.write`. */
  sketch(...change: Parameters<ItemWriter["write"]>): void {
    this.isClean = false
    this.items.write(...change)
  }

  /** The shape is none of those any more that changes are written for. */
  leaves(id: number): void {
    if (!this.isEmpty) this.left.add(id)
  }

  /** Writes what has been noted. */
  *write(): Pieces {
    for (const sketch of this.sketches.all) {
      const encoded = this.sketches.out.buffer.subarray(sketch.from, sketch.to)
      const bytes = this.gaps.estimate(encoded)
      if (bytes < largeRowBytes) yield* this.writeSmall(sketch, encoded)
      else yield* this.writeLarge(sketch, encoded, bytes)
    }
    this.forget()
  }

  /** Of a large row a message may have little. */
  private *writeSmall({ ids, op }: Sketch, encoded: Buffer): Pieces {
    const { message } = this
    message.clear()
    yield* this.gaps.append(message, encoded)
    const rest = this.remaining(ids)
    if (rest.length === 0) return
    const { writer } = this
    writer.beginItem()
    const at = writer.out.length
    writer.out.append(message.written())
    const position = writer.endItem(op, at, rest, rest.length)
    this.item(op, position, message.length, rest, 0, rest.length)
    writer.endOfItems()
  }

  private *writeLarge({ ids, op }: Sketch, encoded: Buffer, bytes: number): Pieces {
    const item = new LargeItem(writerFor(largeItemBytes + bytes + 4 * ids.length))
    yield* this.gaps.append(item.out, encoded)
    let rest: Uint32Array
    do {
      rest = this.remaining(ids)
      if (rest.length === 0) return
      yield* item.seal(this.commitLsn, this.xid, op, rest)
    } while (this.remaining(ids).length < rest.length)
    this.item(op, this.writer.land(item), item.messageBytes, rest, 0, rest.length)
  }

  private remaining(ids: Uint32Array): Uint32Array {
    return this.left.size === 0 ? ids : ids.filter((id) => !this.left.has(id))
  }

  private forget(): void {
    this.sketches.all = []
    this.sketches.out.clear()
    this.gaps.clear()
    this.left.clear()
    this.isClean = true
  }
}
