import { Context, type Tracer } from "effect"
import type { Timers } from "../../shared/Timers.ts"

/** Where spans go, and how many traces begin here. */
export interface Traces {
  readonly tracer: Tracer.Tracer
  /** Of traces that begin here, from 0 to 1. */
  readonly sampledShare: number
  readonly dropsEmpty: boolean
}

/** Undefined where nothing is traced: then no span is made, and nothing asks for the time on account of one. */
export const Tracing = Context.Reference<Traces | undefined>("baton/telemetry/Tracing", {
  defaultValue: () => undefined
})

/** Whether a trace that begins now is one of those. */
export const isSampled = ({ sampledShare }: Traces): boolean => Math.random() < sampledShare

/** Nanoseconds since 1970, finer than the clock that shows dates: spans are shorter than a millisecond. */
export class SpanClock {
  private readonly timers: Timers
  private offsetMillis = 0
  private comparedMillis = -Infinity

  constructor(timers: Timers) {
    this.timers = timers
  }

  now(): bigint {
    const now = this.timers.nowMillis()
    // The other clock may have been set meanwhile.
    if (now - this.comparedMillis > 10_000) {
      this.comparedMillis = now
      this.offsetMillis = this.timers.epochMillis() - now
    }
    return BigInt(Math.round((this.offsetMillis + now) * 1e6))
  }
}
