import { readFileSync } from "node:fs"
import { availableParallelism, loadavg } from "node:os"

/** More than this is no busy machine but a broken one. */
const mostBusy = 25

/** How many threads would run now, where the system tells: the average is a minute behind when the load has just come. */
const runnableNow = (): number => {
  try {
    return Number(/ (\d+)\//.exec(readFileSync("/proc/loadavg", "latin1"))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/**
 * How many times longer than on an idle machine something may take now: as many runnable processes as there are for each
 * processor, now or on average over the last minute.
 */
export const loadFactor = (): number => {
  const [lastMinute = 0] = loadavg()
  return Math.min(mostBusy, Math.max(1, Math.max(lastMinute, runnableNow()) / availableParallelism()))
}

/**
 * Processor time that this process has had, in milliseconds. How much work something is, on a busy machine too: the
 * difference is what it took by itself, not how long others kept it waiting.
 */
export const workedMillis = (): number => {
  const { system, user } = process.cpuUsage()
  return (user + system) / 1000
}

/** A deadline for an idle machine, as it is now. Ask again when it is over: the load may have come since. */
export const patient = (millis: number): number => Math.ceil(millis * loadFactor())
