import { performance } from "node:perf_hooks"
import { duties } from "../health/Duties.ts"
import { startDuty } from "../shared/Duty.ts"
import { getHeapStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Effect, type Scope } from "effect"
import { limitCompilerMemory } from "./CompilerMemory.ts"

const everyMillis = 10_000
/** Share of the time below which the event loop counts as idle. */
const idleUtilization = 0.05
/** Memory that may stay unused, besides as much as is in use: what the next burst needs anyway. */
const reserveBytes = 64 * 1024 * 1024
/** A pause is followed by so many times its length without another. */
const restFactor = 500

/** What is known since the last collection. */
interface MemoryState {
  /** What was in use after it. */
  readonly usedBytes: number
  readonly restUntilMillis: number
}

interface MemorySample {
  readonly nowMillis: number
  /** What V8 has from the system, in use or not. */
  readonly heldBytes: number
  /** Share of the time since the last sample in which the event loop was busy. */
  readonly utilization: number
}

/** Whether this is a moment to give memory back: nothing else is going on, and it pays. */
export const isTimeToCollect = (state: MemoryState, sample: MemorySample): boolean =>
  sample.utilization < idleUtilization &&
  sample.nowMillis >= state.restUntilMillis &&
  sample.heldBytes > state.usedBytes * 2 + reserveBytes

export const afterCollection = (
  usedBytes: number,
  beganMillis: number,
  endedMillis: number
): MemoryState => ({
  usedBytes,
  restUntilMillis: endedMillis + (endedMillis - beganMillis) * restFactor
})

type Collect = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void

/**
 * Gives memory back while the process is idle. V8 mostly does so by itself some seconds after a burst of work, but not
 * always: then everything that the burst needed would stay until the next one. Takes a tenth of a second or more, in
 * which nothing else happens, so it is done rarely. For a process of our own only, as it sets flags of V8.
 */
export const giveBackIdleMemory: Effect.Effect<void, never, Scope.Scope> = Effect.gen(function* () {
  limitCompilerMemory()
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as Collect
  let state: MemoryState = { usedBytes: 0, restUntilMillis: 0 }
  let before = performance.eventLoopUtilization()
  const look = Effect.sync(() => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    const { total_heap_size, external_memory } = getHeapStatistics()
    const nowMillis = performance.now()
    if (!isTimeToCollect(state, { nowMillis, heldBytes: total_heap_size + external_memory, utilization }))
      return
    // The usual collection keeps emptied pages for the next burst.
    collect({ type: "major", execution: "sync", flavor: "last-resort" })
    const after = getHeapStatistics()
    state = afterCollection(after.used_heap_size + after.external_memory, nowMillis, performance.now())
  })
  yield* startDuty(duties.idleMemory, Effect.forever(Effect.andThen(Effect.sleep(everyMillis), look)))
})
