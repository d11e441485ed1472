import { Effect, type Scope } from "effect"
import { performance } from "node:perf_hooks"
import { Distribution, millisBounds } from "./Distribution.ts"
import type { EventLoopReport } from "./ProcessReport.ts"

const sampleMillis = 100

/**
 * Watches how late timers fire, ten times a second: what a request waits when it arrives at a bad moment, at the least.
 * Runs until the scope closes.
 */
export const monitorEventLoop: Effect.Effect<() => EventLoopReport, never, Scope.Scope> =
  Effect.acquireRelease(
    Effect.sync(() => {
      const delayMillis = new Distribution(millisBounds)
      let due = performance.now() + sampleMillis
      const timer = setInterval(() => {
        const now = performance.now()
        delayMillis.observe(Math.max(0, now - due))
        due = now + sampleMillis
      }, sampleMillis)
      timer.unref()
      return { timer, delayMillis }
    }),
    ({ timer }) => Effect.sync(() => clearInterval(timer))
  ).pipe(
    Effect.map(({ delayMillis }) => () => ({
      delayMillis: delayMillis.snapshot(),
      activeSeconds: performance.eventLoopUtilization().active / 1000
    }))
  )
