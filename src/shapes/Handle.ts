import { createHash } from "node:crypto"
import { systemTimers } from "../shared/Timers.ts"

const hashBits = 27

/** First part of a handle: a hash of the shape's identity, 0 to 2^27 - 1. The same shape keeps it after a rotation. */
export const identityHash = (identity: string): number =>
  createHash("sha256").update(identity).digest().readUInt32BE(0) >>> (32 - hashBits)

/** The creation time in a handle, in microseconds since 1970; `undefined` when the text is no handle of ours. */
export const handleMicros = (handle: string): number | undefined => {
  const match = /^[0-9]{1,9}-([0-9]{1,16})$/.exec(handle)
  if (match === null) return undefined
  const micros = Number(match[1])
  return Number.isSafeInteger(micros) ? micros : undefined
}

/**
 * Makes handles, `<identity hash>-<microseconds since 1970>`. The second part rises with every handle, whatever the
 * clock does, and starts above `afterMicros`: give it the highest one in storage and no handle is ever issued twice,
 * not even after a restart with a clock set back.
 */
export const makeHandles = (
  afterMicros = 0,
  epochMillis: () => number = systemTimers.epochMillis
): ((identity: string) => string) => {
  let last = afterMicros
  return (identity) => {
    last = Math.max(last + 1, Math.floor(epochMillis() * 1000))
    return `${identityHash(identity)}-${last}`
  }
}
