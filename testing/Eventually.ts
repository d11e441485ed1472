import { setTimeout as sleep } from "node:timers/promises"
import { patient } from "./Load.ts"

/**
 * Waits until `condition` gives something other than false, null or undefined, and returns that. It is asked again and
 * again; when it throws, that counts as no. Fails after `deadlineMillis`, which grows with the load of the machine, with what
 * was awaited and the last error.
 */
export const eventually = async <A>(
  what: string,
  condition: () => A | Promise<A>,
  deadlineMillis = 15_000
): Promise<Exclude<A, false | null | undefined>> => {
  const began = performance.now()
  let lastError: unknown
  for (let pauseMillis = 5; ; pauseMillis = Math.min(pauseMillis * 1.5, 100)) {
    try {
      const value = await condition()
      if (isThere(value)) return value
      lastError = undefined
    } catch (error) {
      lastError = error
    }
    const waitedMillis = performance.now() - began
    if (waitedMillis > patient(deadlineMillis)) {
      const reason = lastError instanceof Error ? `: ${lastError.message}` : ""
      throw new Error(`Waited ${Math.round(waitedMillis)} ms in vain for ${what}${reason}`, {
        cause: lastError
      })
    }
    await sleep(pauseMillis)
  }
}

const isThere = <A>(value: A): value is Exclude<A, false | null | undefined> =>
  value !== false && value !== null && value !== undefined
