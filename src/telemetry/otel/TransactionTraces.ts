import { Context, Exit, Option, type Tracer } from "effect"
import type { Timers } from "../../shared/Timers.ts"
import { formatLsn, serverLsn } from "../../shared/Lsn.ts"
import { isSampled, SpanClock, type Traces } from "./Tracing.ts"

/** What is known of one transaction on its way, in nanoseconds since 1970. */
interface Way {
  readonly commitLsn: bigint
  readonly xid: number
  readonly operations: number
  readonly lagMillis: number
  readonly beganNanos: bigint
  readonly committedNanos: bigint
  /** Of the journal: what is durable up to here has all of it. */
  readonly marker: number
  durableNanos: bigint | undefined
  wokenNanos: bigint | undefined
  answeredNanos: bigint | undefined
  answers: number
}

/**
 * Transactions that are watched at the same time; others are not sampled meanwhile. So no more than a hundred are exported in a second,
 * which takes a hundredth of a processor, however many there are.
 */
const mostWatched = 50
const sweepMillis = 250
/** Nobody has answered with it for so long: nobody else will. */
const quietNanos = 500_000_000n
/** A disk or bucket that has not made it durable by now is another story. */
const longestNanos = 10_000_000_000n

/**
 * The way of some transactions: received, in the journal, those who wait are woken, and answered. Whether one is watched is
 * decided when it begins, and its spans are made when its way is over: nothing else is done for the others, and nothing for a row.
 */
export class TransactionTraces {
  private readonly traces: Traces
  private readonly timers: Timers
  private readonly clock: SpanClock
  /** Between positions of the server, which operators know, and those of the journal; see `Lsn`. */
  private readonly shift: () => bigint
  private readonly ways = new Map<bigint, Way>()
  /** Those of them that are not durable yet, in the order of the journal. */
  private undurable: Array<Way> = []
  private beganNanos: bigint | undefined
  private wokenNanos: bigint | undefined
  private cancelSweep: (() => void) | undefined

  constructor(traces: Traces, timers: Timers, shift: () => bigint = () => 0n) {
    this.shift = shift
    this.traces = traces
    this.timers = timers
    this.clock = new SpanClock(timers)
  }

  /** A transaction begins to arrive. */
  begin(): void {
    this.beganNanos = isSampled(this.traces) && this.ways.size < mostWatched ? this.clock.now() : undefined
  }

  /** The one that has begun is watched. */
  get isWatching(): boolean {
    return this.beganNanos !== undefined
  }

  /** All of it has been received and composed. `marker`: of the journal, behind it. */
  committed(about: Pick<Way, "commitLsn" | "xid" | "operations" | "lagMillis" | "marker">): void {
    const { beganNanos } = this
    if (beganNanos === undefined) return
    this.beganNanos = undefined
    const way: Way = {
      ...about,
      beganNanos,
      committedNanos: this.clock.now(),
      durableNanos: undefined,
      wokenNanos: undefined,
      answeredNanos: undefined,
      answers: 0
    }
    this.ways.set(about.commitLsn, way)
    this.undurable.push(way)
    this.cancelSweep ??= this.timers.every(sweepMillis, () => this.sweep(), "aside")
  }

  /** Everything up to the marker is durable. */
  durable(marker: number): void {
    const [first] = this.undurable
    if (first === undefined || first.marker > marker) return
    const now = this.clock.now()
    this.undurable = this.undurable.filter((way) => {
      if (way.marker > marker) return true
      way.durableNanos = now
      return false
    })
  }

  /** Somebody who waits looks for what has changed; what is delivered to them follows at once. */
  woken(): void {
    this.wokenNanos = this.ways.size === 0 ? undefined : this.clock.now()
  }

  /** They are answered with this transaction. */
  delivered(commitLsn: bigint): void {
    const way = this.ways.get(commitLsn)
    if (way === undefined) return
    way.answeredNanos = this.clock.now()
    way.wokenNanos ??= this.wokenNanos ?? way.answeredNanos
    way.answers++
  }

  /** What is watched is let go of: the writer is another one. */
  close(): void {
    for (const way of this.ways.values()) this.export(way)
    this.ways.clear()
    this.undurable = []
    this.cancelSweep?.()
    this.cancelSweep = undefined
  }

  private sweep(): void {
    const now = this.clock.now()
    for (const way of this.ways.values()) {
      const lastNanos = way.answeredNanos ?? way.committedNanos
      const isOver = way.durableNanos !== undefined && now - lastNanos > quietNanos
      if (!isOver && now - way.beganNanos < longestNanos) continue
      this.ways.delete(way.commitLsn)
      if (way.durableNanos === undefined) this.undurable = this.undurable.filter((other) => other !== way)
      this.export(way)
    }
    if (this.ways.size > 0) return
    this.cancelSweep?.()
    this.cancelSweep = undefined
  }

  private export(way: Way): void {
    const { answeredNanos, beganNanos, committedNanos, durableNanos, wokenNanos } = way
    const lastNanos = [committedNanos, durableNanos, answeredNanos].reduce<bigint>(
      (last, at) => (at !== undefined && at > last ? at : last),
      beganNanos
    )
    const root = this.span("pg_txn.replication_client.transaction_received", Option.none(), beganNanos)
    root.attribute("xid", way.xid)
    root.attribute("lsn", formatLsn(serverLsn(way.commitLsn, this.shift())))
    root.attribute("num_changes", way.operations)
    root.attribute("receive_lag_ms", way.lagMillis)
    root.attribute("answers", way.answers)
    const below = (name: string, from: bigint, to: bigint | undefined) => {
      if (to !== undefined) this.span(name, Option.some(root), from).end(to, Exit.void)
    }
    below("pg_txn.receive", beganNanos, committedNanos)
    below("shape_write.journal", committedNanos, durableNanos)
    below("shape_read.wake_up", committedNanos, wokenNanos)
    if (wokenNanos !== undefined) below("shape_read.answers", wokenNanos, answeredNanos)
    root.end(lastNanos, Exit.void)
  }

  private span(name: string, parent: Option.Option<Tracer.AnySpan>, startTime: bigint): Tracer.Span {
    return this.traces.tracer.span({
      name,
      parent,
      startTime,
      annotations: Context.empty(),
      links: [],
      kind: Option.isNone(parent) ? "consumer" : "internal",
      root: Option.isNone(parent),
      sampled: true
    })
  }
}
