import { Deferred, Effect, type Scope } from "effect"
import { currentTimers } from "../shared/Timers.ts"

/** What the process does about a signal that asks it to stop. */
type StopReaction = "drain" | "ignore" | "exit"

/**
 * A terminal sends SIGINT to the whole process group, and `npm` sends it on to its child as well: one Ctrl-C arrives
 * twice, milliseconds apart. An operator who presses it again on purpose needs longer than this.
 */
export const sameSignalMillis = 1_000

/** The first signal drains, those right after it are the same one, and a later one ends the process at once. */
export const reactTo = (firstAtMillis: number | undefined, nowMillis: number): StopReaction =>
  firstAtMillis === undefined ? "drain" : nowMillis - firstAtMillis < sameSignalMillis ? "ignore" : "exit"

/** Where signals come from and what an impatient one does; the process itself but in tests. */
interface SignalSource {
  readonly on: (signal: "SIGTERM" | "SIGINT", listener: () => void) => unknown
  readonly off: (signal: "SIGTERM" | "SIGINT", listener: () => void) => unknown
  readonly exit: (code: number) => void
}

/** Exit code of a process that a second signal has ended: what shells say of one that SIGINT has ended. */
const impatientExitCode = 130

/** Listens to SIGTERM and SIGINT from now on; the result completes with the first one. */
export const stopSignal = (
  source: SignalSource = process
): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const timers = yield* currentTimers
    const stopped = yield* Deferred.make<void>()
    let firstAtMillis: number | undefined
    const onSignal = () => {
      const nowMillis = timers.nowMillis()
      const reaction = reactTo(firstAtMillis, nowMillis)
      if (reaction === "exit") source.exit(impatientExitCode)
      if (reaction !== "drain") return
      firstAtMillis = nowMillis
      Deferred.doneUnsafe(stopped, Effect.void)
    }
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      yield* Effect.acquireRelease(
        Effect.sync(() => source.on(signal, onSignal)),
        () => Effect.sync(() => source.off(signal, onSignal))
      )
    }
    return Deferred.await(stopped)
  })
