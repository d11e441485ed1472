import { recordKind } from "../records/Records.ts"
import { visitPart } from "../records/TransactionPart.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"

interface Open {
  readonly commitLsn: bigint
  readonly xid: number
}

/** Where a record stands that has been read. */
interface ReadRecord {
  readonly buffer: Buffer
  /** Its payload is `buffer[at .. end]`. */
  readonly at: number
  readonly end: number
  readonly segment: number
  /** Position in the segment of the first byte of the buffer. */
  readonly base: number
}

/** Applies parts of transactions as they are read, to the store: an ordinary transaction and a late one may be open. */
export class PartsApplied {
  private readonly store: ShapeStore
  private open: Open | undefined
  private openLate: Open | undefined
  private skipping = false

  constructor(store: ShapeStore) {
    this.store = store
  }

  /** A part came, and the last one of its transaction did not. */
  get hasOpen(): boolean {
    return this.open !== undefined || this.openLate !== undefined
  }

  /** False for a record that is no part. */
  apply(kind: number, record: ReadRecord): boolean {
    if (kind === recordKind.transaction) this.ordinary(record)
    else if (kind === recordKind.lateTransaction) this.late(record)
    else return false
    return true
  }

  private ordinary({ at, base, buffer, end, segment }: ReadRecord): void {
    const { store } = this
    visitPart(buffer, at, end, {
      part: (commitLsn, xid) => {
        if (this.open?.commitLsn === commitLsn) return
        store.abandon()
        this.open = { commitLsn, xid }
        // No writer of ours writes one twice: it asks the same (`RowRouter`). If one ever does, its shapes stay.
        this.skipping = commitLsn <= store.lastCommitLsn
      },
      item: (op, messageAt, length, shapes, idsAt) => {
        if (!this.skipping) store.itemFromBuffer(op, base + messageAt, length, buffer, idsAt, shapes)
      },
      partEnd: (last, endLsn) => {
        if (!last || this.open === undefined) return
        if (!this.skipping) {
          store.recentXids.push(this.open.xid)
          store.commit(this.open.commitLsn, endLsn, this.open.xid, segment)
        }
        this.open = undefined
      }
    })
  }

  private late({ at, base, buffer, end, segment }: ReadRecord): void {
    const { store } = this
    visitPart(buffer, at, end, {
      part: (commitLsn, xid, isFirst) => {
        if (!isFirst && this.openLate?.commitLsn === commitLsn) return
        store.abandonLate()
        this.openLate = { commitLsn, xid }
      },
      item: (op, messageAt, length, shapes, idsAt) =>
        store.itemFromBuffer(op, base + messageAt, length, buffer, idsAt, shapes, true),
      partEnd: (last) => {
        if (!last || this.openLate === undefined) return
        store.commitLate(this.openLate.commitLsn, this.openLate.xid, segment)
        this.openLate = undefined
      }
    })
  }

  abandon(): void {
    this.store.abandon()
    this.store.abandonLate()
    this.open = undefined
    this.openLate = undefined
    this.skipping = false
  }
}
