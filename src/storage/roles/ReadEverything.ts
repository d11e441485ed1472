import { longestLateMillis } from "../disk/Disk.ts"
import { pause } from "../../shared/Timers.ts"
import { lockMillis, lookMillis, sayAfterMillis } from "../StorageTimings.ts"
import type { JournalReading } from "./JournalReading.ts"
import type { RoleContext } from "./RoleContext.ts"

export interface Certainty {
  readonly holdsLock: () => Promise<boolean>
  /**
   * LSN up to which Postgres was told that changes are in the journal that stands here; `undefined` where that cannot be
   * compared. It is asked for with the lock held, so it stays what it is.
   */
  readonly confirmedLsn: () => Promise<bigint | undefined>
}

/**
 * Reads the journal to its end, all that its writer had made durable when it lost the lock. Where files may be seen late
 * that is not what this machine sees first: as long as Postgres was told of more, it looks again, for as long as a file
 * system may remember what was before. Only then is storage older than the slot. False when the lock is lost meanwhile.
 */
export const readEverything = async (
  context: RoleContext,
  reading: JournalReading,
  certainty: Certainty
): Promise<boolean> => {
  const { contents, timers } = context
  const began = timers.nowMillis()
  let askedAt = began
  let said = false
  for (;;) {
    const result = await reading.toEnd()
    const isRead = result === "idle" && (await contents.segments.proveAll())
    const waited = timers.nowMillis() - began
    if (isRead && (!(await isMissing(context, reading, certainty)) || waited >= longestLateMillis))
      return true
    if (!isRead && result !== "behind") {
      await reading.load()
      continue
    }
    if (!said && context.paths.disk.mayBeLate && waited >= sayAfterMillis) {
      said = true
      context.warn(
        `The end of the journal cannot be seen from here yet: this file system shows late what another machine has written. It is looked for again, for ${longestLateMillis / 1000} s at most, before it is taken for lost. Shapes are served meanwhile.`,
        "BATON-STORAGE-LATE"
      )
    }
    if (timers.nowMillis() - askedAt >= lockMillis) {
      if (!(await certainty.holdsLock())) return false
      askedAt = timers.nowMillis()
    }
    await pause(timers, lookMillis)
  }
}

const isMissing = async (
  { contents, paths }: RoleContext,
  reading: JournalReading,
  certainty: Certainty
): Promise<boolean> => {
  // Where there is no journal, none is seen late: its directory has been opened anew.
  if (!paths.disk.mayBeLate || reading.end.epoch === 0) return false
  return ((await certainty.confirmedLsn()) ?? 0n) > contents.store.resumeLsn
}
