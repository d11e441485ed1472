import { Clock, Duration, Effect } from "effect"
import type { TestClock } from "effect/testing"

/** Names of libuv requests, and of callbacks, that stand for work which is still under way. */
const busy = /^(FSReq|CloseReq|FileHandleCloseReq|Immediate)/
const quietTurns = 3

/** Completes when no file operation and no callback is under way any more: what is left waits for time to pass. */
export const settled = async (): Promise<void> => {
  for (let quiet = 0; quiet < quietTurns;) {
    await new Promise((resolve) => setImmediate(resolve))
    quiet = process.getActiveResourcesInfo().some((name) => busy.test(name)) ? 0 : quiet + 1
  }
}

/** Something that can be stopped as a whole, as SIGSTOP stops a process: what would wake it waits until it is let go. */
export class Gate {
  private waiting: Array<() => void> | undefined

  get isShut(): boolean {
    return this.waiting !== undefined
  }

  shut(): void {
    this.waiting ??= []
  }

  /** Everything that has come meanwhile happens now, in the order in which it came. */
  open(): void {
    const waiting = this.waiting ?? []
    this.waiting = undefined
    for (const work of waiting) work()
  }

  /** Runs `work` now, or when the gate opens. */
  through(work: () => void): void {
    if (this.waiting === undefined) work()
    else this.waiting.push(work)
  }

  readonly pass: Effect.Effect<void> = Effect.callback<void>((resume) =>
    this.through(() => resume(Effect.void))
  )
}

/**
 * Time that passes only when the test says so, and only while nothing else is going on: it stands still until every call
 * of the disk has completed. Whatever the speed of the machine, the same happens in the same order.
 */
export class VirtualTime {
  private readonly clock: TestClock.TestClock
  /** Moments at which somebody wants to be woken, with the number of those who do. */
  private readonly moments = new Map<number, number>()

  constructor(clock: TestClock.TestClock) {
    this.clock = clock
  }

  get now(): number {
    return this.clock.currentTimeMillisUnsafe()
  }

  /** The clock for the instance behind the gate. */
  clockBehind(gate: Gate): Clock.Clock {
    const { clock } = this
    return {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
      currentTimeMillis: clock.currentTimeMillis,
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
      currentTimeNanos: clock.currentTimeNanos,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: clock.monotonicTimeNanos,
      sleep: (duration) => Effect.andThen(this.sleep(Duration.toMillis(duration)), gate.pass)
    }
  }

  private sleep(asked: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      // Whole ones: the clock counts nanoseconds, and the sum of two fractions is not always a number of them.
      const millis = Math.ceil(asked)
      const moment = this.now + millis
      if (millis <= 0 || !Number.isFinite(millis)) return this.clock.sleep(Duration.millis(millis))
      this.moments.set(moment, (this.moments.get(moment) ?? 0) + 1)
      return Effect.ensuring(
        this.clock.sleep(Duration.millis(millis)),
        Effect.sync(() => {
          const left = (this.moments.get(moment) ?? 1) - 1
          if (left > 0) this.moments.set(moment, left)
          else this.moments.delete(moment)
        })
      )
    })
  }

  /** Runs `work` after `millis`, whichever instances are frozen. */
  after(millis: number, work: () => void): void {
    Effect.runFork(Effect.andThen(this.sleep(millis), Effect.sync(work)))
  }

  /** When somebody wants to be woken next. */
  private get nextMoment(): number {
    let next = Infinity
    for (const moment of this.moments.keys()) next = Math.min(next, moment)
    return next
  }

  private async goTo(moment: number): Promise<void> {
    await Effect.runPromise(this.clock.adjust(Duration.millis(Math.max(0, moment - this.now))))
    await settled()
  }

  /** Lets time pass until somebody is woken, but not beyond `end`. */
  async step(end: number): Promise<void> {
    await settled()
    await this.goTo(Math.min(this.nextMoment, end))
  }

  /** Lets time pass, from one moment that somebody waits for to the next. `each` is run at each of them. */
  async advance(millis: number, each?: () => void | Promise<void>): Promise<void> {
    const end = this.now + millis
    await settled()
    await each?.()
    while (this.nextMoment <= end) {
      await this.goTo(this.nextMoment)
      await each?.()
    }
    await this.goTo(end)
    await each?.()
  }
}
