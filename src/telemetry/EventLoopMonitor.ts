import { Effect, type Scope } from "effect"
import { performance } from "node:perf_hooks"
import { Distribution, secondsBounds } from "./Distribution.ts"
import type { EventLoopReport } from "./ProcessReport.ts"

const sampleMillis = 100

/**
 * Watches how late timers fire, ten times a second: what a request waits when it arrives at a bad moment, at the least.
 * Runs until the scope closes.
 */
export const monitorEventLoop: Effect.Effect<() => EventLoopReport, never, Scope.Scope> =
  Effect.acquireRelease(
    Effect.sync(() => {
      const delaySeconds = new Distribution(secondsBounds)
      let due = performance.now() + sampleMillis
      const timer = setInterval(() => {
        const now = performance.now()
        delaySeconds.observe(Math.max(0, now - due) / 1000)
        due = now + sampleMillis
      }, sampleMillis)
      timer.unref()
      return { timer, delaySeconds }
    }),
    ({ timer }) => Effect.sync(() => clearInterval(timer))
  ).pipe(
    Effect.map(({ delaySeconds }) => () => ({
      delaySeconds: delaySeconds.snapshot(),
      activeSeconds: performance.eventLoopUtilization().active / 1000
    }))
  )
