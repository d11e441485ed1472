import type { ByteWriter } from "../../shared/ByteWriter.ts"
import type { Pieces } from "../../shared/InTurns.ts"
import { frameHeaderBytes, sealFrameInPieces } from "../disk/Frame.ts"
import { recordKind } from "../records/Records.ts"
import {
  itemHeaderBytes,
  partHeaderBytes,
  writeItemHeader,
  writePartHeader
} from "../records/TransactionPart.ts"

/** Where the message of a large item begins in its memory. */
const messageAt = frameHeaderBytes + partHeaderBytes + itemHeaderBytes
/** What an item takes beside its message and the ids of its shapes. */
export const largeItemBytes = messageAt

/**
 * One item of an ordinary transaction as a part of its own, which is composed in memory of its own while the journal goes on.
 * `TransactionWriter.land` then puts it there as a whole, without a copy: nothing of it is there before that.
 */
export class LargeItem {
  /** The message is written to this. */
  readonly out: ByteWriter
  private messageEnd = 0

  constructor(out: ByteWriter) {
    this.out = out
    out.reserve(messageAt)
    out.length = messageAt
  }

  get messageBytes(): number {
    return this.messageEnd - messageAt
  }

  /** The message is complete, and it belongs to these shapes. With others it may be sealed once more. */
  *seal(commitLsn: bigint, xid: number, op: number, ids: Uint32Array): Pieces {
    const { out } = this
    if (this.messageEnd === 0) this.messageEnd = out.length
    else out.length = this.messageEnd
    out.reserve(4 * ids.length)
    const { buffer } = out
    for (const id of ids) out.length = buffer.writeUInt32LE(id, out.length)
    writePartHeader(buffer, frameHeaderBytes, { commitLsn, endLsn: 0n, xid, flags: 0 })
    writeItemHeader(buffer, messageAt - itemHeaderBytes, op, this.messageBytes, ids.length, ids)
    yield* sealFrameInPieces(buffer, 0, out.length, recordKind.transaction)
  }

  /** The whole record, once it is sealed. */
  get record(): Buffer {
    return this.out.written()
  }

  /** Of the message in the record. */
  get messageAt(): number {
    return messageAt
  }
}
