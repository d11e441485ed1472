/** So many positions are remembered apart; odd, so that the latest stays when every other one goes. */
const mostPending = 20_001

/**
 * Which LSN may be acknowledged to Postgres: nothing that is not durable, everything that is.
 *
 * `processed` is how far the stream has been received and dealt with. A position counts as durable only when a journal
 * record that says so is: the record of a transaction, or a bare position for what concerned no shape. So the slot's
 * confirmed position is never ahead of the journal, and storage that is older than the slot is recognised as such. While shapes
 * with sub-selects are behind, nothing counts as recorded beyond where they are.
 */
export class Acknowledgement {
  private processed: bigint
  private recorded: bigint
  /** What may be acknowledged of that once it is durable. */
  private acknowledgeable: bigint
  private durable = 0n
  private pending: Array<{ marker: number; lsn: bigint }>
  /** Of so many positions one is remembered, and the latest. */
  private step = 1
  private sinceKept = 0

  /**
   * `recorded` was read in the journal, or has been written to it by the same writer up to `marker`; up to `limit` it is complete for every
   * shape. Whether it is durable is not known: who wrote it may have died before its sync. So it waits like what is written here.
   */
  constructor(recorded: bigint, limit: bigint, marker: number) {
    this.processed = recorded
    this.recorded = recorded
    this.acknowledgeable = limit
    this.pending = [{ marker, lsn: limit }]
  }

  /** The stream has been dealt with up to `lsn`. */
  processedUpTo(lsn: bigint): void {
    if (lsn > this.processed) this.processed = lsn
  }

  /**
   * Records up to `marker` say that everything up to `lsn` is in the journal, and for every shape all of it up to `limit`, if
   * there is one.
   */
  recordedAt(marker: number, recorded: bigint, limit: bigint | undefined): void {
    if (recorded > this.recorded) this.recorded = recorded
    const lsn = limit !== undefined && limit < this.recorded ? limit : this.recorded
    if (lsn <= this.acknowledgeable) return
    this.acknowledgeable = lsn
    if (++this.sinceKept < this.step && this.pending.length > 0) this.pending.pop()
    else this.sinceKept = 0
    this.pending.push({ marker, lsn })
    if (this.pending.length > mostPending) this.thinOut()
  }

  /** What does not become durable for long is acknowledged in fewer and larger steps. */
  private thinOut(): void {
    this.step *= 2
    this.pending = this.pending.filter((_, i) => i % 2 === 1)
  }

  /** Records up to `marker` are durable, and all that was read before they were written. True when more may be acknowledged than before. */
  durableUpTo(marker: number): boolean {
    let n = 0
    while (n < this.pending.length && (this.pending[n]?.marker ?? Infinity) <= marker) n++
    if (n === 0) return false
    this.durable = this.pending[n - 1]?.lsn ?? this.durable
    this.pending.splice(0, n)
    if (this.pending.length === 0) this.step = 1
    return true
  }

  get durableLsn(): bigint {
    return this.durable
  }

  /** Records say that everything up to here is in the journal. */
  get recordedLsn(): bigint {
    return this.recorded
  }

  /** A position that should be recorded, because no record covers it; `undefined` when there is none. */
  get unrecorded(): bigint | undefined {
    return this.processed > this.recorded ? this.processed : undefined
  }
}
