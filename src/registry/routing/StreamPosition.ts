import { Effect } from "effect"
import type { Lsn } from "../../shared/Lsn.ts"
import { type StorageFault, fromDisk } from "../../storage/disk/DiskFault.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import { levelOfSubselects } from "../../storage/levels/Levels.ts"
import { durableIn, type NotWriting } from "../../storage/NotWriting.ts"
import { recentXidsCapacity } from "../../storage/state/RecentXids.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { Acknowledgement } from "./Acknowledgement.ts"
import { positionMillis, soonestPositionMillis } from "../RegistryTimings.ts"

/** Half a minute of heartbeats, at one every five seconds. */
const needlessBytes = 512n

interface StreamPositionOptions {
  readonly engine: StorageEngine
  readonly writer: JournalWriter
  /** No record can be written in the middle of a transaction. */
  readonly inTransaction: () => boolean
  /** More may be acknowledged. */
  readonly onDurable: () => void
}

/**
 * How far one session of the stream has come, and how much of that may be acknowledged to Postgres. Where no transaction's
 * record says it, because what came concerned no shape, a bare position is recorded from time to time.
 */
export class StreamPosition {
  private readonly options: StreamPositionOptions
  private readonly acknowledgement: Acknowledgement
  private readonly unsubscribe: () => void
  private cancelTimer: (() => void) | undefined
  private recordedMillis = -Infinity
  private needlessLsn: Lsn = 0n
  private confirming: Promise<void> | undefined
  private confirmedMarker = 0
  /** Transactions that no record speaks of. */
  private passedXids: Array<number> = []
  /** How far this session has got, which begins with what only shapes with sub-selects lack. */
  private processedLsn: Lsn = 0n

  constructor(options: StreamPositionOptions) {
    this.options = options
    const { positionLsn, resumeLsn } = options.engine.store
    this.acknowledgement = new Acknowledgement(positionLsn, resumeLsn, options.writer.marker)
    this.unsubscribe = options.engine.listeners.durable.subscribe(() => this.confirmSoon())
    // The first records of the epoch may be durable by now.
    this.confirmSoon()
  }

  close(): void {
    this.cancelTimer?.()
    this.unsubscribe()
  }

  get durableLsn(): Lsn {
    return this.acknowledgement.durableLsn
  }

  processedUpTo(lsn: Lsn): void {
    if (lsn > this.processedLsn) this.processedLsn = lsn
    this.acknowledgement.processedUpTo(lsn)
  }

  /** A transaction came by that has no record of its own. */
  passed(xid: number): void {
    this.passedXids.push(xid)
    if (this.passedXids.length > 2 * recentXidsCapacity) this.passedXids.splice(0, recentXidsCapacity)
  }

  private takePassed(): ReadonlyArray<number> {
    const xids = this.passedXids.slice(-recentXidsCapacity)
    this.passedXids = []
    return xids
  }

  /** The record just composed says that everything up to `lsn` is in the journal. */
  recordedUpTo(lsn: Lsn): void {
    const { engine, writer } = this.options
    // They are acknowledged together with it.
    if (this.passedXids.length > 0) writer.notice({ t: "passed", xids: this.takePassed() })
    this.acknowledgement.recordedAt(writer.marker, lsn, engine.store.behindLsn)
  }

  /**
   * Records that shapes with sub-selects have everything up to `lsn`, and are behind. It has to stand before any record of a
   * transaction beyond, and behind the late transactions up to there. They are never taken back: where they have not been
   * behind, they have what was recorded until now.
   */
  behind(lsn: Lsn): void {
    const { behindLsn, positionLsn } = this.options.engine.store
    const known = behindLsn ?? positionLsn
    const next = lsn > known ? lsn : known
    if (next !== behindLsn) this.recordBehind(next)
  }

  /** Records that these shapes are among those that are behind. */
  late(ids: ReadonlyArray<number>): void {
    const { engine, writer } = this.options
    const notice = { t: "late", ids } as const
    writer.notice(notice)
    engine.store.apply(notice)
  }

  /**
   * Records that shapes with sub-selects have everything that has come. False, and they stay behind, while the stream brings
   * once more what other shapes have already, since they have nothing of the rest: to be asked again when more has come.
   */
  caughtUp(): boolean {
    const { behindLsn, positionLsn } = this.options.engine.store
    if (behindLsn === undefined) return true
    if (this.processedLsn < positionLsn) {
      this.behind(this.processedLsn)
      return false
    }
    this.recordBehind(undefined)
    return true
  }

  private recordBehind(lsn: Lsn | undefined): void {
    const { engine, writer } = this.options
    if (writer.closed || engine.store.level < levelOfSubselects) return
    const notice = { t: "behind", lsn: lsn === undefined ? null : String(lsn) } as const
    writer.notice(notice)
    engine.store.apply(notice)
    this.recordedUpTo(engine.store.positionLsn)
    writer.flush()
  }

  /**
   * Nothing but heartbeats of ours stands before this position that has not been recorded: that is not worth a write to the disk, or to
   * a bucket, each time. Until it has come to some hundred bytes.
   */
  needless(lsn: Lsn): void {
    const { recordedLsn, unrecorded } = this.acknowledgement
    if (lsn - recordedLsn > needlessBytes || (unrecorded ?? 0n) > this.needlessLsn) return
    this.needlessLsn = lsn
  }

  /** Postgres waits until everything is acknowledged. */
  wanted(): void {
    this.needlessLsn = 0n
  }

  /** Sees to it that what has been processed is recorded soon, if it is not. */
  recordSoon(): void {
    const { unrecorded } = this.acknowledgement
    if (unrecorded === undefined || this.cancelTimer !== undefined) return
    if (unrecorded <= this.needlessLsn && this.passedXids.length === 0) return
    const { timers } = this.options.engine
    const everyMillis = this.options.engine.options.positionMillis ?? positionMillis
    const waitMillis = this.recordedMillis + everyMillis - timers.nowMillis()
    if (waitMillis <= 0 && !this.options.inTransaction()) {
      this.record()
      return
    }
    this.cancelTimer = timers.after(Math.max(waitMillis, soonestPositionMillis), () => {
      this.cancelTimer = undefined
      this.recordSoon()
    })
  }

  /** Records what has been processed, if nothing does. */
  record(): void {
    const { engine, writer } = this.options
    const lsn = this.acknowledgement.unrecorded
    if (lsn === undefined || this.options.inTransaction() || writer.closed) return
    this.recordedMillis = engine.timers.nowMillis()
    const position = { t: "position", lsn: String(lsn) } as const
    writer.notice({ ...position, xids: this.takePassed() })
    // The store has seen the transactions themselves.
    engine.store.apply(position)
    this.recordedUpTo(lsn)
    writer.flush()
  }

  /**
   * Completes when everything recorded so far is durable, and acknowledgeable if it counts. Fails with the disk when it cannot
   * be seen whether it does: then nothing more is acknowledged.
   */
  readonly settle: Effect.Effect<void, NotWriting | StorageFault> = Effect.suspend(() =>
    Effect.andThen(
      durableIn(this.options.writer),
      fromDisk(() => this.confirm())
    )
  )

  /** Where storage cannot be read now, the next record that becomes durable is another occasion. */
  private confirmSoon(): void {
    this.confirm().catch(() => {})
  }

  /**
   * Lets what is durable be acknowledged, provided that nobody has claimed a later epoch: then it is certain that the
   * successor reads it. That completes only when the epoch itself is durable, and what was read of the journal before it. Postgres forgets what it is told is safe, so a writer that was fenced off tells it nothing more.
   */
  private confirm(): Promise<void> {
    this.confirming ??= this.confirmDurable().finally(() => (this.confirming = undefined))
    return this.confirming
  }

  private async confirmDurable(): Promise<void> {
    const { engine, writer } = this.options
    while (this.confirmedMarker < writer.durableMarker) {
      const marker = writer.durableMarker
      if (await engine.isFenced()) return
      this.confirmedMarker = marker
      if (this.acknowledgement.durableUpTo(marker)) this.options.onDurable()
    }
  }
}
