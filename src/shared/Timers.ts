import { Clock, Context, Duration, Effect } from "effect"

/**
 * The passing of time. This is the one place that asks the machine for it: everything else is given `Timers`, or runs an
 * Effect, so that a test can turn time. `currentTimers` are made of the `Clock` of the Effect that asks for them.
 */
export interface Timers {
  /**
   * Milliseconds of a clock that is never set. Only differences mean something; deadlines are counted by it, because an
   * operator, or a time server, may set the other one back in the middle of a wait.
   */
  readonly nowMillis: () => number
  /** Milliseconds since 1970, by a clock that may be set. For what others read as a date, and for nothing else. */
  readonly epochMillis: () => number
  /**
   * Runs `work` once, `millis` from now, unless the returned function is called before. What `work` throws is an uncaught
   * exception. `aside`: a process that has nothing else to do need not stay for it.
   */
  readonly after: (millis: number, work: () => void, aside?: "aside") => () => void
  /** As `after`, again and again, until the returned function is called. */
  readonly every: (millis: number, work: () => void, aside?: "aside") => () => void
}

/** The machine's own, for what runs outside of Effects and is given no other. */
export const systemTimers: Timers = {
  nowMillis: () => performance.now(),
  epochMillis: () => Date.now(),
  after: (millis, work, aside) => {
    const timer = setTimeout(work, millis)
    if (aside !== undefined) timer.unref()
    return () => clearTimeout(timer)
  },
  every: (millis, work, aside) => {
    const timer = setInterval(work, millis)
    if (aside !== undefined) timer.unref()
    return () => clearInterval(timer)
  }
}

/** The clock that Effects have unless they are given another one. It is the machine's: its timers need no fibers. */
const defaultClock = Context.get(Context.empty(), Clock.Clock)

/** What fails here fails nobody's Effect: it must not vanish with the fiber. */
const guarded = (work: () => void): Effect.Effect<void> =>
  Effect.sync(() => {
    try {
      work()
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
  })

const start = (waits: Effect.Effect<void>): (() => void) => {
  const fiber = Effect.runFork(waits)
  return () => fiber.interruptUnsafe()
}

const timersOf = (clock: Clock.Clock): Timers => {
  if (clock === defaultClock) return systemTimers
  const wait = (millis: number) => clock.sleep(Duration.millis(Math.max(0, millis)))
  return {
    nowMillis: () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
    epochMillis: () => clock.currentTimeMillisUnsafe(),
    after: (millis, work) => start(Effect.andThen(wait(millis), guarded(work))),
    every: (millis, work) => start(Effect.forever(Effect.andThen(wait(millis), guarded(work))))
  }
}

/** The timers of the Effect that asks. */
export const currentTimers: Effect.Effect<Timers> = Effect.map(Clock.Clock, timersOf)

/** `Timers.nowMillis` of the Effect that asks. */
export const nowMillis: Effect.Effect<number> = Clock.clockWith((clock) =>
  Effect.succeed(Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
)

/** Completes `millis` from now. */
export const pause = (timers: Timers, millis: number): Promise<void> =>
  new Promise((resolve) => timers.after(millis, resolve))

/**
 * Milliseconds of processor time that this thread has taken. What others take from the machine is not in it, so that a busy
 * machine is no reason to say that something took long. Asking takes about a microsecond.
 */
export const threadMillis = (): number => {
  const { system, user } = process.threadCpuUsage()
  return (user + system) / 1000
}
