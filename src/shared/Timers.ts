import { type Clock, Duration, Effect } from "effect"

/** The passing of time, for the parts of storage that are no Effects. Given by `Clock`, so that tests can turn it. */
export interface Timers {
  /** Milliseconds of a clock that is never set: only differences mean something. */
  readonly nowMillis: () => number
  /** Milliseconds since 1970, by a clock that an operator may set. */
  readonly epochMillis: () => number
  /** Runs `work` once, `millis` from now, unless the returned function is called before. */
  readonly after: (millis: number, work: () => void) => () => void
}

export const timersOf = (clock: Clock.Clock): Timers => ({
  nowMillis: () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
  epochMillis: () => clock.currentTimeMillisUnsafe(),
  after: (millis, work) => {
    const fiber = Effect.runFork(
      Effect.andThen(clock.sleep(Duration.millis(Math.max(0, millis))), Effect.sync(work))
    )
    return () => fiber.interruptUnsafe()
  }
})

/** The machine's own. */
export const systemTimers: Timers = {
  nowMillis: () => performance.now(),
  epochMillis: () => Date.now(),
  after: (millis, work) => {
    const timer = setTimeout(work, millis)
    return () => clearTimeout(timer)
  }
}

/** Completes `millis` from now. */
export const pause = (timers: Timers, millis: number): Promise<void> =>
  new Promise((resolve) => timers.after(millis, resolve))
