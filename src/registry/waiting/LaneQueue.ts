import type { Lsn } from "../../shared/Lsn.ts"
import { RecentXids } from "../../storage/state/RecentXids.ts"
import { PageStore } from "./PageStore.ts"
import { RawTransaction } from "./RawTransaction.ts"

/** Transactions for which rows are read at once. */
const mostInBatch = 1000
/** Of so many transactions it may be that a snapshot which is taken now does not show them yet. */
const mostLatest = 64

/**
 * The transactions that have been received, as far as the lane is concerned, and how far it is among them. A transaction is
 * identified by its serial number, too: transactions that concern nobody have one.
 */
export class LaneQueue {
  /** Received and not processed, in their order. */
  readonly waiting: Array<RawTransaction> = []
  /** Everything that commits before is processed. */
  position: Lsn = 0n
  /** The one that is being received. */
  current: RawTransaction | undefined
  /** All transactions that somebody was concerned by: in order, and those of them that are processed. */
  readonly received = new RecentXids()
  readonly processed = new RecentXids()
  readonly store: PageStore
  /** The end of the latest. */
  private receivedEnd: Lsn = 0n
  private serial = 0
  /** The last ones that have begun, whether they concern anybody or not. */
  readonly latestXids: Array<number> = []

  /** What is received is in memory up to so many bytes, and beyond that in a file in one of the directories. */
  constructor(mostMemoryBytes: number, directories: ReadonlyArray<string>) {
    this.store = new PageStore(mostMemoryBytes, directories)
  }

  /** These are what has been processed, as far as storage knows. */
  remember(known: RecentXids): void {
    this.processed.forget()
    for (const xid of known.seenBefore(known.point)) this.processed.push(xid)
  }

  startAt(lsn: Lsn): void {
    this.position = lsn
    this.receivedEnd = lsn
  }

  /** The last one that has begun. */
  get latestSerial(): number {
    return this.serial
  }

  /** All up to this one are processed. */
  get processedSerial(): number {
    const [first] = this.waiting
    if (first !== undefined) return first.serial - 1
    return this.current === undefined ? this.serial : this.serial - 1
  }

  begin(commitLsn: Lsn, xid: number): void {
    this.serial++
    this.latestXids.push(xid)
    if (this.latestXids.length > mostLatest) this.latestXids.shift()
    this.current = new RawTransaction(commitLsn, xid, this.serial, this.store)
  }

  /** The whole transaction, if it is news. */
  end(endLsn: Lsn, nextOp: number): RawTransaction | undefined {
    const { current } = this
    this.current = undefined
    if (current === undefined) return undefined
    if (current.commitLsn < this.position) {
      current.release()
      return undefined
    }
    current.endLsn = endLsn
    current.nextOp = nextOp
    this.receivedEnd = endLsn
    if (!current.isEmpty) this.received.push(current.xid)
    return current
  }

  push(transaction: RawTransaction): void {
    this.waiting.push(transaction)
  }

  /**
   * Those that wait and can be processed together: the first, and others up to one before which something else comes.
   */
  batch(isBoundary: (one: RawTransaction) => boolean): ReadonlyArray<RawTransaction> {
    const next = this.waiting.findIndex((one, i) => i > 0 && isBoundary(one))
    return this.waiting.slice(0, next < 0 ? mostInBatch : Math.min(next, mostInBatch))
  }

  /** The first of those that wait has been processed. */
  shift(): void {
    const first = this.waiting.shift()
    if (first !== undefined) this.passed(first)
  }

  /** It has been processed. */
  passed(transaction: RawTransaction): void {
    if (!transaction.isEmpty) this.processed.push(transaction.xid)
    this.position = transaction.endLsn
    transaction.release()
  }

  /** Nothing waits: it is as far as the stream. */
  caughtUp(): void {
    this.position = this.receivedEnd
  }
}
