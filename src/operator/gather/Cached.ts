import { Effect, Semaphore } from "effect"
import type { Timers } from "../../shared/Timers.ts"

/** The last result of `work`, made anew when it is older than `freshMillis`. However many ask at a time, it is made once. */
export const cachedFor = <A, E>(
  timers: Pick<Timers, "nowMillis">,
  freshMillis: number,
  work: Effect.Effect<A, E>
): Effect.Effect<Effect.Effect<A, E>> =>
  Effect.map(Semaphore.make(1), (turns) => {
    let last: { readonly value: A; readonly atMillis: number } | undefined
    return turns.withPermits(1)(
      Effect.suspend(() => {
        if (last !== undefined && timers.nowMillis() - last.atMillis < freshMillis)
          return Effect.succeed(last.value)
        return Effect.tap(work, (value) =>
          Effect.sync(() => void (last = { value, atMillis: timers.nowMillis() }))
        )
      })
    )
  })
