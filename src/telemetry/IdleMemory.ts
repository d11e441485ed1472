import { performance } from "node:perf_hooks"
import { getHeapStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Effect, type Scope } from "effect"

const everyMillis = 5000
/** Share of the time below which the event loop counts as idle. */
const idleUtilization = 0.05
/** Less garbage than this is not worth a pause. */
const worthBytes = 8 * 1024 * 1024
/** A pause is followed by so many times its length without another. */
const restFactor = 500

/** What is known since the last collection. */
export interface MemoryState {
  readonly heapBytes: number
  readonly restUntilMillis: number
}

export interface MemorySample {
  readonly nowMillis: number
  readonly heapBytes: number
  /** Share of the time since the last sample in which the event loop was busy. */
  readonly utilization: number
}

/** Whether this is a moment to give memory back: nothing else is going on, and it pays. */
export const isTimeToCollect = (state: MemoryState, sample: MemorySample): boolean =>
  sample.utilization < idleUtilization &&
  sample.nowMillis >= state.restUntilMillis &&
  sample.heapBytes - state.heapBytes >= Math.max(worthBytes, state.heapBytes / 4)

export const afterCollection = (
  heapBytes: number,
  beganMillis: number,
  endedMillis: number
): MemoryState => ({
  heapBytes,
  restUntilMillis: endedMillis + (endedMillis - beganMillis) * restFactor
})

const heapBytes = (): number => {
  const { used_heap_size, external_memory } = getHeapStatistics()
  return used_heap_size + external_memory
}

/**
 * Gives memory back while the process is idle. V8 collects when something is allocated: after a burst of work its garbage
 * would stay until the next one. For a process of our own only, as it sets a flag of V8.
 */
export const giveBackIdleMemory: Effect.Effect<void, never, Scope.Scope> = Effect.gen(function* () {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  let state: MemoryState = { heapBytes: 0, restUntilMillis: 0 }
  let before = performance.eventLoopUtilization()
  const look = Effect.sync(() => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    const began = performance.now()
    if (!isTimeToCollect(state, { nowMillis: began, heapBytes: heapBytes(), utilization })) return
    collect()
    state = afterCollection(heapBytes(), began, performance.now())
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(everyMillis), look)))
})
