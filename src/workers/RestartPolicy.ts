import { stableMillis, firstDelayMillis, longestDelayMillis } from "./WorkerTimings.ts"

/**
 * Milliseconds to wait before a worker is started again, from the wait before (0 for none) and how long it has lived:
 * twice as long each time, so that one that cannot start does not take the processor from those that can.
 */
export const restartDelayMillis = (previousMillis: number, livedMillis: number): number =>
  livedMillis >= stableMillis || previousMillis === 0
    ? firstDelayMillis
    : Math.min(previousMillis * 2, longestDelayMillis)
