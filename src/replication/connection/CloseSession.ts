import { Effect } from "effect"
import type { Timers } from "../../shared/Timers.ts"
import { closeGraceMillis, closeWindowMillis } from "../ReplicationTimings.ts"
import type { ReplicationSession } from "./ReplicationSession.ts"

const terminate = Buffer.from([0x58, 0, 0, 0, 4]) // X

/**
 * Says goodbye and waits for the server to hang up: by then it has read the last acknowledgement and freed the lock. A
 * server that goes on sending (a large transaction) would read the goodbye only after all of it, but notices at once
 * that its peer is gone; one that waits for a lock is not reading at all. Those connections are dropped.
 */
export const closeSession = (
  session: ReplicationSession,
  timers: Timers,
  lastStatus: Buffer | undefined,
  busy: boolean
): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const { stream, tap } = session
    if (stream.destroyed) return resume(Effect.void)
    if (busy) {
      stream.once("close", () => resume(Effect.void))
      stream.destroy()
      return undefined
    }
    let windows = 0
    let windowsWithData = 0
    let sawData = false
    tap.attach(() => (sawData = true))
    const stopTimer = timers.every(closeWindowMillis, () => {
      windowsWithData = sawData ? windowsWithData + 1 : 0
      sawData = false
      if (windowsWithData === 2 || ++windows * closeWindowMillis >= closeGraceMillis) stream.destroy()
    })
    stream.once("close", () => {
      stopTimer()
      resume(Effect.void)
    })
    stream.resume()
    stream.end(lastStatus === undefined ? terminate : Buffer.concat([lastStatus, terminate]))
    return Effect.sync(() => stream.destroy())
  })
