/** Transactions remembered: more than can commit while one of them is still becoming visible. */
export const recentXidsCapacity = 4096
const capacity = recentXidsCapacity

/**
 * The transactions seen last on the stream. A transaction reaches the stream when its commit record is flushed, a
 * moment *before* new snapshots show it; a snapshot for a new shape is only good if it shows every transaction
 * that went by before the shape was there to receive it.
 */
export class RecentXids {
  private readonly xids = new Uint32Array(capacity)
  private total = 0
  /** What came before this point is forgotten. */
  private from = 0

  push(xid: number): void {
    this.xids[this.total++ % capacity] = xid
  }

  /** What comes next is of another history, in which these ids mean nothing. */
  forget(): void {
    this.from = this.total
  }

  /** A point in the stream: see `seenBefore`. */
  get point(): number {
    return this.total
  }

  /** The remembered transactions that went by before `point`. */
  seenBefore(point: number): Array<number> {
    const seen: Array<number> = []
    for (let i = Math.max(this.from, this.total - capacity); i < point; i++)
      seen.push(this.xids[i % capacity] as number)
    return seen
  }
}
