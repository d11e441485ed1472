/** A worker that lived this long had started well: what ended it is looked at as new. */
const stableMillis = 10_000
const firstDelayMillis = 100
const longestDelayMillis = 10_000

/**
 * Milliseconds to wait before a worker is started again, from the wait before (0 for none) and how long it has lived:
 * twice as long each time, so that one that cannot start does not take the processor from those that can.
 */
export const restartDelayMillis = (previousMillis: number, livedMillis: number): number =>
  livedMillis >= stableMillis || previousMillis === 0
    ? firstDelayMillis
    : Math.min(previousMillis * 2, longestDelayMillis)
