import type { ByteWriter } from "../../shared/ByteWriter.ts"
import { frameHeaderBytes, sealFrame } from "../disk/Frame.ts"
import { recordKind } from "../records/Records.ts"
import type { LargeItem } from "./LargeItem.ts"
import {
  firstPart,
  itemHeaderBytes,
  lastPart,
  partHeaderBytes,
  writeItemHeader,
  writePartHeader
} from "../records/TransactionPart.ts"

/** A part of a transaction is closed when it has reached this size. */
export const partBytes = 256 * 1024

/** What parts of transactions are composed in. */
export interface PartMemory {
  readonly out: ByteWriter
  /** The segment that is being written. */
  readonly segment: number
  /** Position in the segment of the first byte of `out.buffer`. */
  readonly base: number
  /** Before a new record. */
  makeRoom(): void
  /** Where a segment has become large enough, the next one is begun. */
  rotateIfFull(): void
  /** All of `out` from `from` on, where it had no more than whole records, is one more of them. */
  sealed(from: number): void
  /** Takes memory with one whole record over. Returns its position in the segment. */
  adopt(record: Buffer): number
}

/**
 * The transactions that a writer has open: an ordinary one, and a late one, see `recordKind.lateTransaction`. Of all their
 * parts one stands open at most, at the end of the memory that records are composed in.
 */
export class OpenTransactions {
  readonly ordinary: TransactionWriter
  readonly late: TransactionWriter
  private readonly memory: PartMemory
  /** Where the open part's frame starts in `out`, -1 when there is none, and whose it is. */
  private at = -1
  private owner: TransactionWriter | undefined

  constructor(memory: PartMemory) {
    this.memory = memory
    this.ordinary = new TransactionWriter(memory, this, recordKind.transaction)
    this.late = new TransactionWriter(memory, this, recordKind.lateTransaction)
  }

  get hasPart(): boolean {
    return this.at >= 0
  }
  get hasAny(): boolean {
    return this.ordinary.isOpen || this.late.isOpen
  }

  /** Afterwards a part of `owner` stands open. */
  openPart(owner: TransactionWriter): void {
    if (this.at >= 0) {
      if (this.owner === owner) return
      this.seal()
    }
    const { memory } = this
    memory.makeRoom()
    const { out } = memory
    this.at = out.length
    this.owner = owner
    out.reserve(frameHeaderBytes + partHeaderBytes)
    out.length += frameHeaderBytes + partHeaderBytes
  }

  /** Closes the open part, if there is one. */
  seal(): void {
    if (this.at < 0) return
    this.owner?.writeHead(this.at, false, 0n)
    this.sealed()
  }

  /** Closes the last part of `owner`, which stands open. */
  sealLast(owner: TransactionWriter, endLsn: bigint): void {
    owner.writeHead(this.at, true, endLsn)
    this.sealed()
  }

  private sealed(): void {
    const { at } = this
    this.at = -1
    this.memory.sealed(at)
  }

  /** Bytes of the open part, if it is this transaction's. */
  bytesOf(owner: TransactionWriter): number {
    return this.at >= 0 && this.owner === owner ? this.memory.out.length - this.at : 0
  }

  /** Takes back what stands in the open part, if it is this transaction's. */
  discard(owner: TransactionWriter): void {
    if (this.at < 0 || this.owner !== owner) return
    this.memory.out.length = this.at
    this.at = -1
  }
}

/** Composes one transaction after the other, item by item, as parts of one kind. It never waits. */
export class TransactionWriter {
  private readonly memory: PartMemory
  private readonly parts: OpenTransactions
  private readonly kind: number
  private transaction: { readonly commitLsn: bigint; readonly xid: number } | undefined
  private hasParts = false
  /** The segment that the last committed transaction stands in. */
  segmentOfTransaction: number

  constructor(memory: PartMemory, parts: OpenTransactions, kind: number) {
    this.memory = memory
    this.parts = parts
    this.kind = kind
    this.segmentOfTransaction = memory.segment
  }

  get isOpen(): boolean {
    return this.transaction !== undefined
  }

  /** What the message of an item is written to. */
  get out(): ByteWriter {
    return this.memory.out
  }

  beginTransaction(commitLsn: bigint, xid: number): void {
    this.memory.rotateIfFull()
    this.transaction = { commitLsn, xid }
    this.hasParts = false
  }

  /** Starts an item; its message is written to `out` next. */
  beginItem(): void {
    this.parts.openPart(this)
    const { out } = this.memory
    out.reserve(itemHeaderBytes)
    out.length += itemHeaderBytes
  }

  /**
   * Ends the item whose message stands at `messageAt` in `out` and belongs to the first `shapes` of `ids`.
   * Returns the message's position in the segment.
   */
  endItem(op: number, messageAt: number, ids: Uint32Array, shapes: number): number {
    const { base, out } = this.memory
    const length = out.length - messageAt
    out.reserve(4 * shapes)
    const buffer = out.buffer
    writeItemHeader(buffer, messageAt - itemHeaderBytes, op, length, shapes, ids)
    let at = out.length
    for (let i = 0; i < shapes; i++) {
      const id = ids[i] as number
      buffer[at] = id
      buffer[at + 1] = id >>> 8
      buffer[at + 2] = id >>> 16
      buffer[at + 3] = id >>> 24
      at += 4
    }
    out.length = at
    return base + messageAt
  }

  /** Puts an item there that was composed beside the journal. Returns the message's position in the segment. */
  land(item: LargeItem): number {
    if (this.transaction === undefined) throw new Error("item of no transaction")
    this.parts.seal()
    this.hasParts = true
    return this.memory.adopt(item.record) + item.messageAt
  }

  /** Between items: closes the part if it is large, so that huge transactions go to disk while they come. */
  endOfItems(): void {
    if (this.parts.bytesOf(this) >= partBytes) this.parts.seal()
  }

  /** Forgets the open transaction when nothing was written for it; otherwise closes its last part. */
  commitTransaction(endLsn: bigint, wroteItems: boolean): void {
    if (wroteItems) {
      this.parts.openPart(this)
      this.parts.sealLast(this, endLsn)
    }
    this.transaction = undefined
    this.segmentOfTransaction = this.memory.segment
  }

  /** Takes back the open transaction: its sealed parts stay without an end and never happened. */
  abandonTransaction(): void {
    this.parts.discard(this)
    this.transaction = undefined
  }

  /** For `OpenTransactions`: writes frame and head of the part that stands in `out` from `at` to its end. */
  writeHead(at: number, last: boolean, endLsn: bigint): void {
    const { kind, transaction } = this
    if (transaction === undefined) throw new Error("part of no transaction")
    const { out } = this.memory
    // Releases that know of no late transactions know no other flag than the last part's.
    const first = kind === recordKind.lateTransaction && !this.hasParts ? firstPart : 0
    this.hasParts = true
    writePartHeader(out.buffer, at + frameHeaderBytes, {
      commitLsn: transaction.commitLsn,
      endLsn,
      xid: transaction.xid,
      flags: first | (last ? lastPart : 0)
    })
    sealFrame(out.buffer, at, out.length, kind)
  }
}
