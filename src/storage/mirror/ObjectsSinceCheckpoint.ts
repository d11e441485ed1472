import type { ChainPlace } from "../chain/ChainObject.ts"

/**
 * Counts what a start would read from the chain behind the newest checkpoint: told of each object by whoever applies or creates
 * it, and of each checkpoint.
 */
export class ObjectsSinceCheckpoint {
  private next = 0
  private from = 0
  private total = 0
  private before = 0
  private readonly nowMillis: () => number
  private checkpointedMillis: number | undefined

  constructor(nowMillis: () => number = () => 0) {
    this.nowMillis = nowMillis
  }

  /** The chain is read from here on, behind a checkpoint or from its beginning. */
  startAt({ next }: ChainPlace): void {
    this.next = next
    this.from = next
    this.before = this.total
  }

  /** An object stands in the chain: it ends at `after`, with so many `bytes` of the journal. */
  note(after: ChainPlace, bytes: number): void {
    this.next = after.next
    this.total += bytes
  }

  /** Bytes of the journal that were told of by now, for `checkpointed`. */
  get totalBytes(): number {
    return this.total
  }

  /** A checkpoint is there that is good from object `n` on, before which so many bytes had been told of. */
  checkpointed(n: number, totalBytes: number): void {
    if (n < this.from) return
    if (n > this.from) this.checkpointedMillis = this.nowMillis()
    this.from = n
    this.before = totalBytes
  }

  /** Since one was told of that was newer than those before; `undefined` before that. */
  get checkpointAgeMillis(): number | undefined {
    return this.checkpointedMillis === undefined ? undefined : this.nowMillis() - this.checkpointedMillis
  }

  get count(): number {
    return Math.max(0, this.next - this.from)
  }

  /** Of the journal. */
  get bytes(): number {
    return this.total - this.before
  }
}
